"""How text becomes tokens: the template, its inputs and the rule for scored tokens, as part of a cache key."""

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from ..models.cache_key import encoding_key, encoding_version, without_defaults
from .templates import Template

CUT = "cut"
"""A prompt that is left out: the model reads only a beginning-of-text token and the replies."""


@dataclass(frozen=True, slots=True)
class EncodingSpec:
    """How text becomes tokens: everything that a loss depends on besides the model.

    `chat_template` is the template's text if it is not the tokenizer's own, `day` the date (ISO 8601) given to
    templates that ask for one, `replies` which replies are scored (a name in `core.encoding.templates.REPLIES`),
    `prompt` whether the model reads what is not scored: "given", or `CUT`.
    """

    template: str
    max_length: int
    tokenizer_fingerprint: str
    version: int = 0
    chat_template: str | None = None
    day: str | None = None
    replies: str = "all"
    prompt: str = "given"

    def __post_init__(self) -> None:
        object.__setattr__(self, "version", self.version or encoding_version(self.template))

    @property
    def fingerprint(self) -> str:
        """Hex digest of all fields; part of the cache key of every loss."""
        return encoding_key(**asdict(self))

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields, for jobs and records. Defaults are omitted, so that older fingerprints stay valid."""
        return without_defaults(asdict(self))

    @property
    def rendering(self) -> Template:
        """The template that conversations are rendered with."""
        day = date.fromisoformat(self.day) if self.day else None
        return Template(self.template, self.chat_template, day, self.replies)
