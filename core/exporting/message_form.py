"""How a chat template wants its messages, told from its text alone: nothing of it is run here.

The encoder tries it out instead (`chat_template`), for which it needs transformers; a test holds the two to each
other for every template that TRL brings.
"""

import re
from functools import lru_cache

from jinja2 import Environment, TemplateSyntaxError

from ..encoding.template_marks import names_read
from ..encoding.template_turns import TurnForm

USUAL_FORM = TurnForm(("reasoning_content",), "object")
"""For a base whose template is not at hand: what most templates read."""

_GENERATION = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")
_JOINED_ARGUMENTS = re.compile(r"""\+\s*\w+(?:\.function|\['function'\])?(?:\.|\[['"])arguments(?:['"]\])?\s*\+""")
_NO_CONTENT = re.compile(r"""\sand\s+\S*content(?:['"]\])?\s+is\s+none""")
_NO_SYSTEM = re.compile(r"raise_exception\(\s*['\"][^'\"]*system role[^'\"]*not supported", re.IGNORECASE)
_NINE_CHARACTERS = re.compile(r"length 9\b")


@lru_cache(maxsize=8)
def message_form(source: str) -> TurnForm:
    """Under which keys a template reads a thought, how it takes arguments of tool calls, whether it has a system
    role. An empty text, or one that is no template, has the usual form."""
    names = _names(source)
    if not names:
        return USUAL_FORM
    thoughts: tuple[str, ...] = tuple(key for key in ("reasoning_content", "thinking") if key in names)
    if not thoughts and "reasoning" in names:
        thoughts = ("reasoning",)
    has_system = not _NO_SYSTEM.search(source)
    if "tool_calls" not in names:
        return TurnForm(thoughts, has_system=has_system)
    if _JOINED_ARGUMENTS.search(source):
        return TurnForm(thoughts, "text", None if _NO_CONTENT.search(source) else "", has_system)
    return TurnForm(thoughts, "object", has_system=has_system)


def wants_short_ids(source: str) -> bool:
    """Whether a template refuses ids of calls that are not nine letters and digits."""
    return bool(_NINE_CHARACTERS.search(source))


def _names(source: str) -> frozenset[str]:
    environment = Environment(extensions=["jinja2.ext.loopcontrols"])
    try:
        return names_read(environment, _GENERATION.sub("", source))
    except (TemplateSyntaxError, RecursionError, ValueError):  # ValueError: a number of thousands of digits
        return frozenset()
