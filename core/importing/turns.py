"""Turns of a conversation as data files write them, made into messages of plain text.

An assistant's thoughts stand before its answer as `<think>`, its tool calls after it as JSON, one a line: this is
what a model is trained to write, so it is what is scored.
"""

import json
from contextlib import suppress
from typing import Any

from core.examples import Message
from core.importing.json_parsing import parse_json
from core.importing.records import RecordUnusable

ROLE_NAMES = {
    "system": ("system", "developer"),
    "user": ("user", "human"),
    "assistant": ("assistant", "gpt", "model", "bot", "chatgpt", "function_call", "tool_call"),
    "tool": ("tool", "observation", "function", "function_response", "tool_response", "ipython"),
}
"""Our roles, and the names that files give them."""

ROLE_OF = {name: role for role, names in ROLE_NAMES.items() for name in names}
_TEXT_PARTS = ("text", "input_text", "output_text")


def read_text(value: Any, field: str) -> str:
    """A field's text as it is; a number's digits; nothing for null. Raises `RecordUnusable` for any other type."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return json.dumps(value)
    raise RecordUnusable("wrong type", f"{field} is {_kind(value)}, not text")


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
        raise RecordUnusable("wrong type", f"{field} is {_kind(value)}, not a list")
    return value


def read_turns(value: Any, field: str) -> list[Message]:
    """Messages of a list of turns, each an object with a role (or from) and a content (or value)."""
    return [_read_turn(turn, f"turn {number} of {field}") for number, turn in enumerate(read_list(value, field), 1)]


def read_tools(value: Any) -> str:
    """Descriptions of tools as JSON text, empty where there are none."""
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, str):
        return "" if value.strip() in ("", "[]", "{}", "null") else value
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    raise RecordUnusable("wrong type", f"tools is {_kind(value)}, not a list")


def _read_turn(turn: Any, place: str) -> Message:
    if not isinstance(turn, dict):
        raise RecordUnusable("wrong type", f"{place} is {_kind(turn)}, not an object")
    name = turn.get("from") or turn.get("role")
    if name is None:
        raise RecordUnusable("missing field", f"{place} has no role; found {', '.join(turn) or 'nothing'}")
    role = ROLE_OF.get(str(name).strip().lower())
    if role is None:
        raise RecordUnusable("unknown role", f"{place} is by {name!r}")
    content = turn["value"] if turn.get("value") is not None else turn.get("content")
    if role == "assistant":
        return Message(role, _assistant_text(turn, content, place))
    if role == "tool" and isinstance(content, dict):
        return Message(role, json.dumps(content, ensure_ascii=False))
    thoughts, text, calls = _split_parts(content, place)
    return Message(role, "".join(thoughts) + text + "\n".join(calls))


def _assistant_text(turn: dict[str, Any], content: Any, place: str) -> str:
    if isinstance(content, dict):
        return _call_text(content)
    thoughts, text, calls = _split_parts(content, place)
    thoughts = thoughts or [read_text(turn.get("reasoning_content"), place)]
    thought = "".join(thoughts)
    given_calls = read_list(turn.get("tool_calls"), f"tool_calls of {place}")
    if turn.get("function_call"):
        given_calls = [turn["function_call"], *given_calls]
    said = (f"<think>\n{thought}\n</think>\n\n" if thought else "") + text
    calls += [_call_text(call) for call in given_calls]
    return said + ("\n" if text and calls else "") + "\n".join(calls)


def _split_parts(content: Any, place: str) -> tuple[list[str], str, list[str]]:
    """Thoughts, text and tool calls of a turn's content: plain text, or a list of typed parts."""
    if not isinstance(content, list):
        return [], read_text(content, place), []
    thoughts: list[str] = []
    texts: list[str] = []
    calls: list[str] = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
            continue
        if not isinstance(part, dict):
            raise RecordUnusable("wrong type", f"a part of {place} is {_kind(part)}, not an object")
        kind = part.get("type", "text")
        value = part.get("text") if part.get("text") is not None else part.get("value")
        if kind in _TEXT_PARTS:
            texts.append(read_text(value, place))
        elif kind == "reasoning":
            thoughts.append(read_text(value, place))
        elif kind == "tool_call":
            calls.append(_call_text(value))
        else:
            raise RecordUnusable("not text", f"a part of {place} is of type {kind!r}")
    return thoughts, "".join(texts), calls


def _call_text(call: Any) -> str:
    """A tool call as {"name", "arguments"} in JSON, whether it came so, as text, or in OpenAI's wrapping."""
    if isinstance(call, str):
        return call
    function = call.get("function") if isinstance(call, dict) else None
    described = function if isinstance(function, dict) else call
    if not isinstance(described, dict) or "name" not in described:
        return json.dumps(call, ensure_ascii=False)
    arguments = described.get("arguments")
    if isinstance(arguments, str):
        # Arguments that are not JSON are what the model wrote, so they stay as they are.
        with suppress(RecordUnusable):
            arguments = parse_json(arguments)
    return json.dumps({"name": described["name"], "arguments": arguments}, ensure_ascii=False)


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return "text"
    return "true or false" if isinstance(value, bool) else "null" if value is None else "a number"
