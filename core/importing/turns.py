"""Converts a conversation's turns, as data files write them, into messages.

An assistant's thought and tool calls are kept separate from its text, as chat templates expect.
"""

from typing import Any

from ..data.examples import Message
from .blocks import Content, read_content, tool_text
from .literals import parse_literal
from .markup import read_markup
from .records import RecordUnusable, kind_of
from .roles import CALL_ROLES, ROLE_OF
from .tool_calls import first_of, is_absent, read_calls
from .turn_weights import is_context

_SPEAKERS = ("from", "role", "speaker", "author", "sender")
_SPOKEN = (*_SPEAKERS, "parts")
_TEXTS = ("value", "content")
_OTHER_TEXTS = ("text", "parts", "message", "utterance", "body", "msg", "reply", "refusal")
_QUESTIONS = ("human", "user", "input", "question", "prompt", "instruction", "query", "q")
_ANSWERS = ("assistant", "gpt", "bot", "output", "answer", "response", "completion", "a")
_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thought", "reasoning_details")
_CALLS = ("function_call", "functionCall", "tool_calls")
_NOT_TEXT = frozenset(
    (*_SPEAKERS, "id", "name", "type", "timestamp", "time", "date", "created_at", "create_time", "model", "lang",
     "language", "tool_call_id", "weight", "train", "loss_mask", "message_id", "parent_id", "hash", "status")
)  # fmt: skip
"""Keys of a turn that hold metadata, not its content."""


def read_list(value: Any, field: str) -> list[Any]:
    """A field's list, also if it is given as text (as in CSV): JSON, or as printed by Python.

    Raises `RecordUnusable` for anything else.
    """
    if isinstance(value, str) and value.strip():
        try:
            value = parse_literal(value)
        except RecordUnusable as unusable:
            if unusable.reason != "bad JSON":
                raise
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        raise RecordUnusable("wrong type", f"{field} is {kind_of(value)}, not a list")
    return value


def read_turns(value: Any, field: str, notices: list[str]) -> list[Message]:
    """Messages of a list of turns: objects with a role (or from) and a content (or value).

    Lists of texts, of pairs, or of objects with question and answer are read as alternating user and assistant turns; a
    text as chat markup. Warnings go into `notices`. Raises `RecordUnusable`.
    """
    if isinstance(value, str) and value.strip()[:1] not in ("[", "{"):
        marked = read_markup(value)
        if marked is not None:
            return marked
    turns = _alternating(read_list(value, field))
    messages = [_read_turn(turn, f"turn {number} of {field}", notices) for number, turn in enumerate(turns, 1)]
    return [message for turn in messages for message in turn]


def _alternating(turns: list[Any]) -> list[Any]:
    """Add speakers to turns without one: by position for texts and pairs, by key for questions and answers."""
    if len(turns) > 1 and all(isinstance(turn, str) for turn in turns):
        return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]
    if turns and all(_is_pair(turn) for turn in turns):
        return _alternating([text for pair in turns for text in pair])
    if turns and all(isinstance(turn, dict) and not any(key in turn for key in _SPOKEN) for turn in turns):
        return [said for turn in turns for said in _question_and_answer(turn)]
    return turns


def _is_pair(turn: Any) -> bool:
    return isinstance(turn, list) and len(turn) == 2 and all(isinstance(text, str) for text in turn)


def _question_and_answer(turn: dict[str, Any]) -> list[dict[str, Any]]:
    """The turns in an object with a question and its answer; any other object unchanged."""
    question = next((key for key in _QUESTIONS if isinstance(turn.get(key), str)), None)
    answer = next((key for key in _ANSWERS if isinstance(turn.get(key), str)), None)
    if question is None or answer is None:
        return [turn]
    system = [{"role": "system", "content": turn["system"]}] if turn.get("system") else []
    marks = {key: value for key, value in turn.items() if key not in ("system", question, answer)}
    asked = {"role": "user", "content": turn[question]}
    return [*system, asked, {**marks, "role": "assistant", "content": turn[answer]}]


def _read_turn(turn: Any, place: str, notices: list[str]) -> list[Message]:
    """A turn's messages: one, or more if it contains tool results."""
    if not isinstance(turn, dict):
        raise RecordUnusable("wrong type", f"{place} is {kind_of(turn)}, not an object")
    speaker, role = _speaker(turn, place)
    content = _content(turn, role, place)
    if role == "tool":
        name = first_of(turn, ("name", "tool_name"))
        call_id = first_of(turn, ("tool_call_id", "tool_use_id", "call_id"))
        found = read_content(content, place, notices) if _is_gemini_answer(content) else Content()
        if found.results:
            return found.results
        text = tool_text(content, place, notices)
        return [Message("tool", text, name=str(name or ""), call_id="" if call_id is None else str(call_id))]
    if role == "assistant":
        return [_assistant(turn, content, speaker in CALL_ROLES, place, notices)]
    found = read_content(content, place, notices)
    if found.thoughts or found.calls:
        raise RecordUnusable("wrong type", f"{place} has a thought or a tool call but the role {speaker!r}")
    text = "".join(found.texts)
    return [*found.results, *([Message(role, text)] if text or not found.results else [])]


def _speaker(turn: dict[str, Any], place: str) -> tuple[str, str]:
    """The speaker's name in lower case, and its role."""
    name = next((turn[key] for key in _SPEAKERS if turn.get(key)), None)
    if isinstance(name, dict) and name.get("role"):
        name = name["role"]
    if name is None and turn.get("parts"):
        name = "user"  # Gemini's rule
    if name is None:
        raise RecordUnusable("missing field", f"{place} has no role; found {', '.join(turn) or 'nothing'}")
    speaker = str(name).strip().lower()
    role = ROLE_OF.get(speaker)
    if role is None:
        raise RecordUnusable("unknown role", f"{place} has the role {name!r}")
    return speaker, role


def _content(turn: dict[str, Any], role: str, place: str) -> Any:
    """A turn's content, under any known name; null if it has none. Raises `RecordUnusable` for text under an unknown
    name, or different texts under several names."""
    value = first_of(turn, _TEXTS)
    if value not in (None, "", []):
        return value
    others = {key: turn[key] for key in _OTHER_TEXTS if not is_absent(turn.get(key))}
    if len(others) == 1 or (others and len({str(text) for text in others.values()}) == 1):
        return next(iter(others.values()))
    says_otherwise = role == "assistant" and any(not is_absent(turn.get(key)) for key in (*_CALLS, *_THOUGHTS))
    unknown = [key for key, text in turn.items() if key not in _NOT_TEXT and isinstance(text, str) and text.strip()]
    is_empty = any(key in turn for key in (*_TEXTS, *_OTHER_TEXTS)) and not unknown
    if not others and (says_otherwise or is_empty):
        return value
    raise RecordUnusable("missing field", f"{place} has no content; found {', '.join(turn)}")


def _assistant(turn: dict[str, Any], content: Any, is_call: bool, place: str, notices: list[str]) -> Message:
    if is_call or (isinstance(content, dict) and "name" in content):
        calls, texts = read_calls(content, place)
        found = Content(texts=texts, calls=calls)
    else:
        found = read_content(content, place, notices)
    if found.results:
        raise RecordUnusable("wrong type", f"{place} has a tool result but the role assistant")
    for key in _CALLS:
        if not is_absent(turn.get(key)):
            calls, texts = read_calls(turn[key], f"{key} of {place}")
            if isinstance(turn[key], str) and texts:
                raise RecordUnusable("wrong type", f"{key} of {place} is text, not a list")
            found.calls += calls
            found.texts += ["\n" + text for text in texts]
    thought = "".join(found.thoughts) or _thought(turn, place, notices)
    return Message(
        "assistant",
        "".join(found.texts),
        thought if thought.strip() else "",
        tuple(found.calls),
        is_context=is_context(turn, place, notices),
    )


def _thought(turn: dict[str, Any], place: str, notices: list[str]) -> str:
    thoughts: list[str] = []
    for key in _THOUGHTS:
        value = turn.get(key)
        if is_absent(value) or isinstance(value, bool):
            continue
        if isinstance(value, list):
            value = [{"type": "thinking", **part} if isinstance(part, dict) else part for part in value]
        found = read_content(value, f"{key} of {place}", notices)
        thoughts.append("".join(found.thoughts + found.texts))
    if len(set(thoughts)) > 1:
        notices.append("two different thoughts in one turn, only the first is used")
    return thoughts[0] if thoughts else ""


def _is_gemini_answer(content: Any) -> bool:
    return isinstance(content, list) and any(
        isinstance(part, dict) and (part.get("functionResponse") or part.get("function_response")) for part in content
    )
