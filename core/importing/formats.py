"""The formats of fine-tuning records: which fields each needs, and how they become a conversation.

Text is taken as it is, never stripped. To add a format, add a line to `FORMATS` and its function here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from core.examples import Example, Message
from core.importing.records import RecordUnusable
from core.importing.turns import read_list, read_text, read_tools, read_turns

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FormatField:
    """A field of a format: the names it goes by (the first is its own), and whether a record must have it."""

    names: tuple[str, ...]
    required: bool = True

    @property
    def name(self) -> str:
        """Its own name, to which a column of another name can be mapped."""
        return self.names[0]

    def value(self, fields: Fields) -> Any:
        """Its value under the first of its names that the record has, else None."""
        return next((fields[name] for name in self.names if name in fields), None)

    def is_in(self, fields: Fields) -> bool:
        """Whether a record has it, be it empty."""
        return any(name in fields for name in self.names)


@dataclass(frozen=True, slots=True)
class SourceFormat:
    """A format: its name, what it is for, its fields, and how a record's field values become a conversation."""

    name: str
    summary: str
    fields: tuple[FormatField, ...]
    messages: Callable[[Fields], list[Message]]

    @property
    def required(self) -> tuple[FormatField, ...]:
        """Fields that a record must have."""
        return tuple(field for field in self.fields if field.required)

    def fits(self, fields: Fields) -> bool:
        """Whether a record has every field that the format needs."""
        return all(field.is_in(fields) for field in self.required)


def read_example(source_format: SourceFormat | None, fields: Fields, allow_preference: bool = False) -> Example:
    """The conversation in a record. Raises `RecordUnusable` saying why there is none that can be scored.

    `source_format` is None where no format fits the file. `allow_preference` reads a preference pair's fields too,
    for someone who mapped one of its columns on purpose.
    """
    if not allow_preference and is_preference_pair(fields):
        raise RecordUnusable("preference pair", "fields chosen and rejected")
    found = ", ".join(fields) or "none"
    if source_format is None:
        raise RecordUnusable("missing field", f"no format fits; found {found}")
    for field in source_format.required:
        if not field.is_in(fields):
            raise RecordUnusable("missing field", f"no {' or '.join(field.names)}; found {found}")
    values = {field.name: field.value(fields) for field in source_format.fields}
    # An empty system prompt or input is how files write that there is none.
    said = source_format.messages(values)
    messages = tuple(message for message in said if message.content or message.role not in ("system", "context"))
    _check_conversation(messages)
    return Example(messages, read_tools(values.get("tools")))


def is_preference_pair(fields: Fields) -> bool:
    """Whether a record is for preference training: a chosen and a rejected answer."""
    return fields.get("chosen") is not None and fields.get("rejected") is not None


def format_named(name: str) -> SourceFormat | None:
    """The format of a name, or None."""
    return next((source_format for source_format in FORMATS if source_format.name == name), None)


def _check_conversation(messages: tuple[Message, ...]) -> None:
    answers = [message.content for message in messages if message.role == "assistant"]
    if not answers:
        raise RecordUnusable("no assistant turn", f"turns by: {', '.join(m.role for m in messages) or 'nobody'}")
    if not answers[-1].strip():
        raise RecordUnusable("empty response")
    if not any(message.content.strip() for message in messages if message.role != "assistant"):
        raise RecordUnusable("empty prompt")


def _alpaca(values: Fields) -> list[Message]:
    instruction, context = read_text(values["instruction"], "instruction"), read_text(values["input"], "input")
    # Without an instruction the input is the whole question, which no template should call an addition.
    asked = [Message("user", instruction), Message("context", context)] if instruction else [Message("user", context)]
    return [_system(values), *_history(values["history"]), *asked, _answer(values, "output")]


def _history(value: Any) -> list[Message]:
    pairs = read_list(value, "history")
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise RecordUnusable("wrong type", "history is not a list of pairs (question, answer)")
    roles = ("user", "assistant")
    return [Message(role, read_text(text, "history")) for pair in pairs for role, text in zip(roles, pair, strict=True)]


def _sharegpt(values: Fields) -> list[Message]:
    return _with_system(values, read_turns(values["conversations"], "conversations"))


def _messages(values: Fields) -> list[Message]:
    return _with_system(values, read_turns(values["messages"], "messages"))


def _prompt_completion(values: Fields) -> list[Message]:
    turns: list[Message] = []
    for field, role in (("prompt", "user"), ("completion", "assistant")):
        value = values[field]
        turns += read_turns(value, field) if isinstance(value, list) else [Message(role, read_text(value, field))]
    return _with_system(values, turns)


def _question_answer(values: Fields) -> list[Message]:
    question = Message("user", read_text(values["question"], "question"))
    context = Message("context", read_text(values["context"], "context"))
    return [_system(values), question, context, _answer(values, "answer")]


def _system(values: Fields) -> Message:
    return Message("system", read_text(values["system"], "system"))


def _answer(values: Fields, field: str) -> Message:
    return Message("assistant", read_text(values[field], field))


def _with_system(values: Fields, turns: list[Message]) -> list[Message]:
    """The turns under the record's system prompt, unless they begin with one of their own."""
    return turns if turns and turns[0].role == "system" else [_system(values), *turns]


_SYSTEM = FormatField(("system",), required=False)
_TOOLS = FormatField(("tools",), required=False)

FORMATS = (
    SourceFormat(
        "messages",
        "OpenAI's chat format: messages of role and content (text or a list of parts).",
        (FormatField(("messages",)), _SYSTEM, _TOOLS),
        _messages,
    ),
    SourceFormat(
        "sharegpt",
        "ShareGPT conversations: turns of from (human, gpt, ...) and value.",
        (FormatField(("conversations",)), _SYSTEM, _TOOLS),
        _sharegpt,
    ),
    SourceFormat(
        "alpaca",
        "Alpaca: an instruction, perhaps an input, and an output.",
        (
            FormatField(("instruction",)),
            FormatField(("input", "context"), required=False),
            FormatField(("output", "response")),
            _SYSTEM,
            FormatField(("history",), required=False),
        ),
        _alpaca,
    ),
    SourceFormat(
        "prompt-completion",
        "A prompt and its completion (or response), as text or as lists of messages.",
        (FormatField(("prompt",)), FormatField(("completion", "response")), _SYSTEM, _TOOLS),
        _prompt_completion,
    ),
    SourceFormat(
        "question-answer",
        "A question and its answer, perhaps with a context.",
        (FormatField(("question",)), FormatField(("answer",)), FormatField(("context",), required=False), _SYSTEM),
        _question_answer,
    ),
)
"""Every format, the fullest first: of two that fit a record alike, detection takes the first."""

FIELD_NAMES = frozenset(name for source_format in FORMATS for field in source_format.fields for name in field.names)
"""Every field name that some format reads."""
