"""Renders a conversation as text, with the positions of the assistant's turns."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from ..data.errors import TemplateFailed, TemplateTooSlow
from ..data.examples import Example
from .chat_template import chat_template_of
from .template_turns import tool_descriptions
from .templates import CHATML, Template, TurnPlace, plain_text

_SLOW_IN_A_ROW = 5


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as text, with the positions of its turns and the character spans [start, end) that are scored.

    `left_out`: share of the scored replies' text that the template omits. `end_spans`: the parts of `spans` that are
    ends of turn.
    """

    text: str
    places: tuple[TurnPlace, ...]
    spans: tuple[tuple[int, int], ...]
    left_out: float = 0.0
    folded_system: bool = False
    end_spans: tuple[tuple[int, int], ...] = ()


def render(example: Example, tokenizer: Any, template: Template | str) -> Rendered:
    """The conversation up to its last assistant turn, as the model reads it. Raises `TemplateFailed` if the template
    refuses it."""
    if isinstance(template, str):
        template = Template(template)
    turns = example.turns
    folded = False
    if template.name in ("chat", "chatml"):
        source = CHATML if template.name == "chatml" else template.source or _own_source(tokenizer, example.tools)
        day = template.day or date.today()
        chat = chat_template_of(tokenizer, source, day).render(turns, example.tools)
        text, places, folded = chat.text, chat.places, chat.folded_system
    else:
        text, places = plain_text(turns, template.name, tokenizer.eos_token or "")
    scored = [place for place in places if place.role == "assistant" and not turns[place.turn].is_context]
    if template.replies == "last":
        scored = scored[-1:]
    length = sum(place.length for place in scored)
    left_out = sum(place.left_out for place in scored) / length if length else 0.0
    spans = tuple(span for place in scored for span in place.spans)
    ends = tuple((place.end_of_turn, place.spans[-1][1]) for place in scored if place.end_of_turn is not None)
    return Rendered(text, places, spans, left_out, folded, ends)


def render_all(examples: Sequence[Example], tokenizer: Any, template: Template) -> list[Rendered | str]:
    """`render` for many conversations; for one that the template refuses, the reason instead.

    Raises `TemplateFailed` if the template is too slow for several in a row: all of them would take days.
    """
    rendered: list[Rendered | str] = []
    slow = 0
    for example in examples:
        try:
            rendered.append(render(example, tokenizer, template))
            slow = 0
        except TemplateFailed as error:
            slow = slow + 1 if isinstance(error, TemplateTooSlow) else 0
            if slow == _SLOW_IN_A_ROW:
                raise TemplateFailed(
                    f"{error} This happened {slow} times in a row. Choose template alpaca or plain, or another model."
                ) from error
            rendered.append(str(error))
    return rendered


def _own_source(tokenizer: Any, tools: str) -> str:
    """The tokenizer's own template; of several, the one for tools if the conversation has tools."""
    try:
        return str(tokenizer.get_chat_template(None, list(tool_descriptions(tools) or ()) or None))
    except ValueError as error:
        raise TemplateFailed(f"The tokenizer has no suitable chat template: {str(error)[:200]}") from error
