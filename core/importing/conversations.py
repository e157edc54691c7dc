"""How the fields of each format become a conversation. Text is never stripped."""

from collections.abc import Callable
from typing import Any

from ..data.examples import Message
from .blocks import read_content, read_text
from .choices import chosen_line, read_choices, with_choices
from .fields import Fields, RecordValues
from .markup import read_markup
from .records import RecordUnusable
from .tool_calls import first_of
from .trees import best_thread
from .turn_weights import as_context, with_weights
from .turns import read_list, read_turns


def alpaca(record: RecordValues) -> list[Message]:
    """An instruction, an optional input, an output, and optionally earlier pairs (history)."""
    instruction, context = read_text(record["instruction"], "instruction"), read_text(record["input"], "input")
    # Without an instruction the input is the whole question, so it must not be rendered as additional input.
    asked = [Message("user", instruction), Message("context", context)] if instruction else [Message("user", context)]
    return [_system(record), *history(record["history"]), *asked, _answer(record, "output")]


def turns_of(field: str) -> Callable[[RecordValues], list[Message]]:
    """A reader of the list of turns in `field`."""

    def read(record: RecordValues) -> list[Message]:
        turns = with_weights(read_turns(record[field], field, record.notices), record["weights"], record.notices)
        return with_system(record, turns)

    return read


def prompt_completion(record: RecordValues) -> list[Message]:
    """A prompt and its completion, as text or as lists of messages; replies inside the prompt are context."""
    prompt, completion = record["prompt"], record["completion"]
    turns: list[Message] = []
    if is_turns(prompt):
        turns += [as_context(turn) for turn in read_turns(as_list(prompt), "prompt", record.notices)]
    else:
        turns.append(Message("user", read_text(prompt, "prompt")))
    if is_turns(completion):
        turns += read_turns(as_list(completion), "completion", record.notices)
    else:
        turns.append(_answer(record, "completion"))
    return with_system(record, turns)


def question_answer(record: RecordValues) -> list[Message]:
    """A question and its answer, with an optional context."""
    question, answer = read_text(record["question"], "question"), record["answer"]
    context = Message("context", read_text(record["context"], "context"))
    if choices := read_choices(record["choices"], record.fields):
        question, answer = with_choices(question, choices), chosen_line(answer, choices)
    reply = Message("assistant", _answer_text(answer, "answer", record.notices))
    return [_system(record), Message("user", question), context, reply]


def marked_text(record: RecordValues) -> list[Message]:
    """A conversation in one text, in a known chat markup."""
    text = read_text(record["text"], "text")
    turns = read_markup(text)
    if turns is None:
        raise RecordUnusable("unknown markup", f"the text begins with {text[:80]!r}")
    return with_system(record, turns)


def tree(record: RecordValues) -> list[Message]:
    """A tree of messages, read along its best-ranked replies."""
    return read_turns(best_thread(record.fields.get("prompt"), record.notices), "the tree", record.notices)


def has_turns(field: str, also: tuple[str, ...]) -> Callable[[Fields], bool]:
    """Whether a record has turns in `field`, or a value that can be turns under one of the other names."""

    def holds(fields: Fields) -> bool:
        if field in fields:
            return True
        value = next((fields[name] for name in also if fields.get(name) is not None), None)
        if isinstance(value, str):
            return value.strip()[:2] in ("[{", "[[", "['", '["') or read_markup(value) is not None
        return isinstance(value, list) and len(value) > 0

    return holds


def has_markup(fields: Fields) -> bool:
    """Whether a record's text is in a known chat markup."""
    text = fields.get("text")
    return isinstance(text, str) and read_markup(text) is not None


def history(value: Any) -> list[Message]:
    """The turns of Alpaca's earlier pairs of question and answer."""
    pairs = read_list(value, "history")
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise RecordUnusable("wrong type", "history is not a list of pairs (question, answer)")
    roles = ("user", "assistant")
    return [Message(role, read_text(text, "history")) for pair in pairs for role, text in zip(roles, pair, strict=True)]


def _system(record: RecordValues) -> Message:
    system = record["system"]
    parts = system.get("parts") if isinstance(system, dict) else system
    if isinstance(parts, list) and parts and all(isinstance(part, dict) for part in parts):
        # Gemini's instruction and Anthropic's blocks
        return Message("system", "".join(read_content(parts, "system", record.notices).texts))
    return Message("system", read_text(system, "system"))


def _answer(record: RecordValues, field: str) -> Message:
    return Message("assistant", _answer_text(record[field], field, record.notices))


def _answer_text(value: Any, field: str, notices: list[str]) -> str:
    """An answer's text; the first of a list of texts. Raises `RecordUnusable` if it is not text."""
    if isinstance(value, dict):
        text = first_of(value, ("text", "content", "value"))
        if text == []:
            return ""  # SQuAD has unanswerable questions
        value = value if text is None else text
    if isinstance(value, list) and value and all(isinstance(text, str) for text in value):
        if len(set(value)) > 1:
            notices.append(f"several texts in {field}, only the first is used")
        value = value[0]
    return read_text(value, field)


def is_turns(value: Any) -> bool:
    """Whether a value is a list of turns or one turn."""
    if isinstance(value, list):
        return not value or not all(isinstance(item, str) for item in value)
    return isinstance(value, dict) and ("role" in value or "from" in value)


def as_list(value: Any) -> Any:
    """A turn as a list of one; a list unchanged."""
    return [value] if isinstance(value, dict) else value


def with_system(record: RecordValues, turns: list[Message]) -> list[Message]:
    """The turns after the record's system prompt, unless they begin with a system prompt already."""
    return turns if turns and turns[0].role == "system" else [_system(record), *turns]
