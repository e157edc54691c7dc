"""Templates that turn conversations into text; those that are not chat templates (Alpaca, plain) are implemented
here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from ..data.examples import Message

TEMPLATES = {
    "chat": "the tokenizer's own chat template",
    "chatml": "ChatML: <|im_start|>role, the text, <|im_end|>, for a base without a template of its own",
    "alpaca": "Stanford Alpaca's prompt: ### Instruction, ### Input, ### Response",
    "plain": "the prompt, a line break, the response",
}
REPLIES = {"all": "every reply of a conversation", "last": "only the last reply of a conversation"}
ALPACA_HEAD = (
    "Below is an instruction that describes a task{paired}. Write a response that appropriately completes the request."
)
ALPACA_PAIRED = ", paired with an input that provides further context"
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'"
    " }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
DATE_FUNCTION = "strftime_now"
"""The function that chat templates call for the date (transformers' name)."""


@dataclass(frozen=True, slots=True)
class Template:
    """How conversations become text: a name in `TEMPLATES`, for "chat" the template's text if it is not the tokenizer's
    own, the date given to it, and which replies are scored (a name in `REPLIES`)."""

    name: str
    source: str | None = None
    day: date | None = None
    replies: str = "all"


@dataclass(frozen=True, slots=True)
class TurnPlace:
    """The position of a turn in a text: the character spans [start, end) that belong to it.

    For an assistant turn these are what the model writes, its end of turn included; for other turns, their contents.
    `length` counts the characters of an assistant turn in the record, `left_out` those that the template omits.
    `end_of_turn`: the first character after an assistant turn's own text, None if its last span has nothing after it.
    """

    turn: int
    role: str
    spans: tuple[tuple[int, int], ...]
    length: int = 0
    left_out: int = 0
    end_of_turn: int | None = None

    def to_fields(self) -> list[Any]:
        """As JSON fields."""
        return [self.turn, self.role, self.spans, self.length, self.left_out, self.end_of_turn]

    @classmethod
    def from_fields(cls, fields: list[Any]) -> "TurnPlace":
        """Reverse of `to_fields`."""
        turn, role, spans, *more = fields
        return cls(turn, role, tuple((start, end) for start, end in spans), *more)


def asks_for_date(source: str) -> bool:
    """Whether a chat template's text asks for the date."""
    return DATE_FUNCTION in source


def plain_text(messages: Sequence[Message], template: str, end_of_turn: str) -> tuple[str, tuple[TurnPlace, ...]]:
    """A conversation in the template "alpaca" or "plain", and the positions of its turns."""
    text, places = "", []
    for piece, turn in alpaca_turns(messages) if template == "alpaca" else _plain_turns(messages):
        if turn is None:
            text += piece
            continue
        role = messages[turn].role
        written = piece + (end_of_turn if role == "assistant" else "")
        ends_at = len(text) + len(piece) if len(written) > len(piece) else None
        places.append(TurnPlace(turn, role, ((len(text), len(text) + len(written)),), len(piece), end_of_turn=ends_at))
        text += written
    return text, tuple(places)


def alpaca_turns(messages: Sequence[Message]) -> Iterator[tuple[str, int | None]]:
    """Pieces of text, each with the number of its turn, None for text added by the template.

    Source: Stanford Alpaca's prompt_no_input / prompt_input."""
    system = next((index for index, message in enumerate(messages) if message.role == "system"), None)
    has_context = any(message.role == "context" for message in messages)
    head = ALPACA_HEAD.format(paired=ALPACA_PAIRED if has_context else "")
    yield (head, None) if system is None or not messages[system].content else (messages[system].content, system)
    headings = {
        "user": "### Instruction:\n",
        "context": "### Input:\n",
        "tool": "### Tool:\n",
        "assistant": "### Response:\n",
    }
    for index, message in enumerate(messages):
        if index != system:
            yield f"\n\n{headings.get(message.role, '')}", None
            yield message.text, index


def _plain_turns(messages: Sequence[Message]) -> Iterator[tuple[str, int | None]]:
    for index, message in enumerate(messages):
        yield message.text, index
        yield "\n", None
