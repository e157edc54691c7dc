"""How a row becomes a text for a sentence-embedding model, and which tokens of it are read.

The text is what the row stores, as the tables show it: its prompt (all turns before the last reply that is scored), an
empty line, and that reply. A chat template's markers are left out: a sentence model was trained on plain text, and they
would make all rows alike.
"""

import json
from dataclasses import asdict, dataclass

from ...data.errors import EncodingOutdated, JsonInvalid
from ...data.examples import Example
from ...data.json_types import checked
from ...system.untrusted_json import parse_json

TEXT_RULE = 1
# How a row becomes a text and a text a vector. Raise it when the same row would get another one.
# 1: prompt, empty line, reply; sentence-transformers' own encode, with the default prompt of the model's folder.


@dataclass(frozen=True, slots=True)
class TextEncoding:
    """The rule of a row's text, the most tokens that the model reads of it (None: all), and the model's precision."""

    max_length: int | None
    dtype: str
    rule: int = TEXT_RULE

    @property
    def key(self) -> str:
        """All of it, as part of the key of embeddings."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_key(cls, key: str) -> "TextEncoding":
        """Reverse of `key`. Raises `EncodingOutdated` for that of another version of the program."""
        try:
            found = checked(parse_json(key, "the encoding"), cls, "the encoding")
        except JsonInvalid as error:
            raise _outdated() from error
        if found.rule != TEXT_RULE:
            raise _outdated()
        return found


def row_text(example: Example) -> str:
    """The text of a row; empty if its reply is, for that row has no embedding."""
    response = example.response.strip()
    if not response:
        return ""
    prompt = example.prompt.strip()
    return f"{prompt}\n\n{response}" if prompt else response


def _outdated() -> EncodingOutdated:
    return EncodingOutdated(
        "The embeddings are of another version of the program, which reads rows differently. Embed the run again."
    )
