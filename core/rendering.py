"""A conversation becomes text, with the places in it that are the assistant's."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from core.chat_template import render_chat
from core.errors import TemplateFailed, TemplateTooSlow
from core.examples import Example, Message

_SLOW_IN_A_ROW = 5

TEMPLATES = {
    "chat": "the tokenizer's own chat template",
    "alpaca": "Stanford Alpaca's prompt: ### Instruction, ### Input, ### Response",
    "plain": "the prompt, a line break, the response",
}
ALPACA_HEAD = (
    "Below is an instruction that describes a task{paired}. Write a response that appropriately completes the request."
)
ALPACA_PAIRED = ", paired with an input that provides further context"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as text, with the character spans [start, end) that are the assistant's, end-of-turn included."""

    text: str
    spans: tuple[tuple[int, int], ...]


def render(example: Example, tokenizer: Any, template: str) -> Rendered:
    """The conversation up to its last assistant turn, as the model reads it. Raises `TemplateFailed` if the template
    refuses it."""
    if template == "chat":
        return Rendered(*render_chat(example.turns, example.tools, tokenizer))
    end_of_turn = tokenizer.eos_token or ""
    turns = alpaca_turns(example.turns) if template == "alpaca" else _plain_turns(example.turns)
    text, spans = "", []
    for piece, is_response in turns:
        if is_response:
            spans.append((len(text), len(text) + len(piece) + len(end_of_turn)))
            piece += end_of_turn
        text += piece
    return Rendered(text, tuple(spans))


def render_all(examples: Sequence[Example], tokenizer: Any, template: str) -> list[Rendered | str]:
    """`render` for many conversations; one that the template refuses gives the reason instead.

    Raises `TemplateFailed` if the template is too slow for several in a row: it would be for all of them, for days.
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
                    f"{error} So it did for {slow} in a row. Choose the template alpaca or plain, or another model."
                ) from error
            rendered.append(str(error))
    return rendered


def alpaca_turns(messages: Sequence[Message]) -> Iterator[tuple[str, bool]]:
    """Pieces of text, each with whether it is a response. Source: Stanford Alpaca's prompt_no_input / prompt_input."""
    system = next((index for index, message in enumerate(messages) if message.role == "system"), None)
    has_context = any(message.role == "context" for message in messages)
    head = ALPACA_HEAD.format(paired=ALPACA_PAIRED if has_context else "")
    yield (head if system is None else messages[system].content or head), False
    headings = {"user": "### Instruction:", "context": "### Input:", "tool": "### Tool:"}
    for index, message in enumerate(messages):
        if message.role == "assistant":
            yield "\n\n### Response:\n", False
            yield message.content, True
        elif message.role in headings:
            yield f"\n\n{headings[message.role]}\n{message.content}", False
        elif index != system:
            yield f"\n\n{message.content}", False


def _plain_turns(messages: Sequence[Message]) -> Iterator[tuple[str, bool]]:
    for message in messages:
        yield message.content, message.role == "assistant"
        yield "\n", False
