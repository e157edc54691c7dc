"""Renders a conversation as text, with the positions of the assistant's turns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any

from ..data.errors import TemplateFailed, TemplateStopped
from ..data.examples import Example, Message
from .chat_template import RenderedChat
from .template_process import described_template, rendered_chats
from .template_turns import tool_descriptions
from .templates import CHATML, Template, TurnPlace, plain_text

_STOPPED_IN_A_ROW = 5


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
    (found,) = _render_each([example], tokenizer, Template(template) if isinstance(template, str) else template)
    if isinstance(found, TemplateFailed):
        raise found
    return found


def render_all(examples: Sequence[Example], tokenizer: Any, template: Template) -> list[Rendered | str]:
    """`render` for many conversations; for one that the template refuses, the reason instead.

    Raises `TemplateFailed` if the template has to be stopped for several in a row: all of them would take days.
    """
    rendered: list[Rendered | str] = []
    stopped = 0
    for found in _render_each(examples, tokenizer, template):
        if isinstance(found, Rendered):
            rendered.append(found)
            stopped = 0
            continue
        stopped = stopped + 1 if isinstance(found, TemplateStopped) else 0
        if stopped == _STOPPED_IN_A_ROW:
            raise TemplateFailed(
                f"{found} This happened {stopped} times in a row. Choose template alpaca or plain, or another model."
            ) from found
        rendered.append(str(found))
    return rendered


def _render_each(
    examples: Sequence[Example], tokenizer: Any, template: Template
) -> Iterator[Rendered | TemplateFailed]:
    if template.name not in ("chat", "chatml"):
        for example in examples:
            text, places = plain_text(example.turns, template.name, tokenizer.eos_token or "")
            yield _rendered(example.turns, RenderedChat(text, places), template.replies)
        return
    day = template.day or date.today()
    for source, group in groupby(examples, lambda example: _source(example, tokenizer, template)):
        if isinstance(source, TemplateFailed):
            yield from (source for _ in group)
            continue
        conversations = [(example.turns, example.tools) for example in group]
        chats = rendered_chats(described_template(tokenizer, source, day), conversations)
        for (turns, _), chat in zip(conversations, chats, strict=True):
            yield chat if isinstance(chat, TemplateFailed) else _rendered(turns, chat, template.replies)


def _rendered(turns: Sequence[Message], chat: RenderedChat, replies: str) -> Rendered:
    scored = [place for place in chat.places if place.role == "assistant" and not turns[place.turn].is_context]
    if replies == "last":
        scored = scored[-1:]
    length = sum(place.length for place in scored)
    left_out = sum(place.left_out for place in scored) / length if length else 0.0
    spans = tuple(span for place in scored for span in place.spans)
    ends = tuple((place.end_of_turn, place.spans[-1][1]) for place in scored if place.end_of_turn is not None)
    return Rendered(chat.text, chat.places, spans, left_out, chat.folded_system, ends)


def _source(example: Example, tokenizer: Any, template: Template) -> str | TemplateFailed:
    """The text of the chat template for a conversation: the tokenizer may have another one for tools."""
    if template.name == "chatml":
        return CHATML
    try:
        return template.source or _own_source(tokenizer, example.tools)
    except TemplateFailed as error:
        return error


def _own_source(tokenizer: Any, tools: str) -> str:
    """The tokenizer's own template; of several, the one for tools if the conversation has tools."""
    try:
        return str(tokenizer.get_chat_template(None, list(tool_descriptions(tools) or ()) or None))
    except ValueError as error:
        raise TemplateFailed(f"The tokenizer has no suitable chat template: {str(error)[:200]}") from error
