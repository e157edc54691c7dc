"""Turns of a conversation as data files write them, made into messages.

An assistant's thought and tool calls stand apart from its text, as chat templates want them.
"""

from collections.abc import Iterable
from typing import Any

from core.examples import Message
from core.importing.blocks import Content, read_content, tool_text
from core.importing.json_parsing import parse_json
from core.importing.records import RecordUnusable, kind_of
from core.importing.tool_calls import first_of, is_absent, read_calls
from core.importing.turn_weights import is_context

ROLE_NAMES = {
    "system": ("system", "developer"),
    "user": ("user", "human", "prompter"),
    "assistant": ("assistant", "gpt", "model", "bot", "chatgpt", "bing", "bard", "ai", "function_call", "tool_call"),
    "tool": ("tool", "observation", "function", "function_response", "tool_response", "tool_result", "ipython"),
}
"""Our roles, and the names that files give them."""

ROLE_OF = {name: role for role, names in ROLE_NAMES.items() for name in names}
CALL_ROLES = ("function_call", "tool_call")
"""Roles whose text is a tool call in JSON, not an answer in words."""

_SPEAKERS = ("from", "role", "speaker", "author", "sender")
_TEXTS = ("value", "content")
_OTHER_TEXTS = ("text", "parts", "message", "utterance", "body", "msg", "reply", "refusal")
_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thought", "reasoning_details")
_CALLS = ("function_call", "functionCall", "tool_calls")
_NOT_TEXT = frozenset(
    (*_SPEAKERS, "id", "name", "type", "timestamp", "time", "date", "created_at", "create_time", "model", "lang",
     "language", "tool_call_id", "weight", "train", "loss_mask", "message_id", "parent_id", "hash", "status")
)  # fmt: skip
"""Keys of a turn whose text is about it, and not what is said."""


def read_list(value: Any, field: str) -> list[Any]:
    """A field's list, also where it is written as JSON text (as in CSV). Raises `RecordUnusable` for anything else."""
    if isinstance(value, str) and value.strip():
        try:
            value = parse_json(value)
        except RecordUnusable as unusable:
            if unusable.reason != "bad JSON":
                raise
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        raise RecordUnusable("wrong type", f"{field} is {kind_of(value)}, not a list")
    return value


def read_turns(value: Any, field: str, notices: list[str]) -> list[Message]:
    """Messages of a list of turns, each an object with a role (or from) and a content (or value).

    What deserves a look, though it is read, goes into `notices`. Raises `RecordUnusable`.
    """
    return _joined(
        _read_turn(turn, f"turn {number} of {field}", notices) for number, turn in enumerate(read_list(value, field), 1)
    )


def _joined(parts: Iterable[list[Message]]) -> list[Message]:
    return [message for part in parts for message in part]


def _read_turn(turn: Any, place: str, notices: list[str]) -> list[Message]:
    """A turn's messages: one, or more where answers of tools stand in it as parts."""
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
        raise RecordUnusable("wrong type", f"{place} has a thought or a tool call and is by {speaker!r}")
    text = "".join(found.texts)
    return [*found.results, *([Message(role, text)] if text or not found.results else [])]


def _speaker(turn: dict[str, Any], place: str) -> tuple[str, str]:
    """Who speaks, as written in small letters, and the role that it is."""
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
        raise RecordUnusable("unknown role", f"{place} is by {name!r}")
    return speaker, role


def _content(turn: dict[str, Any], role: str, place: str) -> Any:
    """A turn's content, under whatever name; null where it says that it has none. Raises `RecordUnusable` where text
    stands under a name that is not known, or different texts under several."""
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
        raise RecordUnusable("wrong type", f"{place} has a tool's answer and is by the assistant")
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
        notices.append("two different thoughts in one turn, of which the first is read")
    return thoughts[0] if thoughts else ""


def _is_gemini_answer(content: Any) -> bool:
    return isinstance(content, list) and any(
        isinstance(part, dict) and (part.get("functionResponse") or part.get("function_response")) for part in content
    )
