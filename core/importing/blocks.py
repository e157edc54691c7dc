"""Reads a turn's content: plain text, or the typed parts of OpenAI, Anthropic, Gemini and others."""

import json
from dataclasses import dataclass, field
from typing import Any

from ..data.examples import Message, ToolCall
from .records import RecordUnusable, kind_of
from .tool_calls import first_of, is_absent, read_calls

_TEXT_PARTS = ("text", "input_text", "output_text", "refusal")
_TEXTS = ("text", "value", "content", "refusal")
_THOUGHT_PARTS = ("thinking", "reasoning", "reasoning_content", "think", "thought", "thoughts", "reasoning_text",
                  "reasoning.text", "reasoning.summary")  # fmt: skip
_THOUGHTS = ("thinking", "reasoning", "reasoning_content", "text", "summary", "value", "content")
_ENCRYPTED_PARTS = ("redacted_thinking", "reasoning.encrypted")
_CALL_PARTS = ("tool_call", "tool_use", "function_call", "functionCall", "server_tool_use", "tool-call")
_RESULT_PARTS = ("tool_result", "function_response", "functionResponse", "tool_response", "tool-result")
_CALL_KEYS = ("functionCall", "function_call", "tool_call")
_RESULT_KEYS = ("functionResponse", "function_response")
_MEDIA_PARTS = ("image", "image_url", "input_image", "audio", "input_audio", "audio_url", "video", "video_url", "file",
                "input_file", "document")  # fmt: skip


@dataclass(slots=True)
class Content:
    """What a turn's content holds: thoughts, texts and tool calls in their order, and tool results."""

    thoughts: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    results: list[Message] = field(default_factory=list)


def read_text(value: Any, place: str) -> str:
    """A field as text: text unchanged, a number as digits, null as "". Raises `RecordUnusable` for any other type."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return json.dumps(value)
    raise RecordUnusable("wrong type", f"{place} is {kind_of(value)}, not text")


def read_content(content: Any, place: str, notices: list[str]) -> Content:
    """The parts of a turn's content. Raises `RecordUnusable` for a part that is not text or has no text."""
    found = Content()
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        found.texts.append(read_text(content, place))
        return found
    for part in content:
        if isinstance(part, str):
            part = {"type": "text", "text": part}
        if not isinstance(part, dict):
            raise RecordUnusable("wrong type", f"a part of {place} is {kind_of(part)}, not an object")
        if found.calls and _kind(part) in _TEXT_PARTS and str(first_of(part, _TEXTS) or "").strip():
            notices.append("text after a tool call in one turn, moved before the call")
        _read_part(part, place, found, notices)
    return found


def _kind(part: dict[str, Any]) -> str:
    """The type of a part. Gemini's parts have no type; their keys show it."""
    if part.get("type") is not None:
        return str(part["type"])
    if not is_absent(first_of(part, _CALL_KEYS)):
        return "tool_call"
    if not is_absent(first_of(part, _RESULT_KEYS)):
        return "tool_result"
    if part.get("thought") is True:
        return "thinking"
    if isinstance(part.get("content_type"), str):  # a message of a ChatGPT export
        return str(part["content_type"])
    others = [key for key, value in part.items() if value is not None and key not in (*_TEXTS, "type", "thought")]
    return "text" if first_of(part, _TEXTS) is not None or not others else others[0]


def _read_part(part: dict[str, Any], place: str, found: Content, notices: list[str]) -> None:
    kind = _kind(part)
    if kind in _TEXT_PARTS:
        nested = part.get("parts")
        found.texts += read_content(nested, place, notices).texts if nested else [_text_of(part, _TEXTS, place)]
    elif kind in _THOUGHT_PARTS:
        found.thoughts.append(_text_of(part, _THOUGHTS, place))
    elif kind in _ENCRYPTED_PARTS:
        notices.append("an encrypted thought, skipped")
    elif kind in _CALL_PARTS:
        calls, texts = read_calls(_called(part), place)
        found.calls += calls
        found.texts += texts
    elif kind in _RESULT_PARTS:
        found.results.append(_result(part, place, notices))
    else:
        raise RecordUnusable("not text", f"a part of {place} is of type {kind!r}")


def _text_of(part: dict[str, Any], names: tuple[str, ...], place: str) -> str:
    value = first_of(part, names)
    if value is None and not any(name in part for name in names):
        raise RecordUnusable("missing field", f"a part of {place} has no text; found {', '.join(part) or 'nothing'}")
    if isinstance(value, list):  # Mistral's thinking parts hold a list of text parts
        return "".join(read_content(value, place, []).texts)
    return read_text(value, place)


def _called(part: dict[str, Any]) -> Any:
    inner = first_of(part, (*_CALL_KEYS, "value"))
    return part if inner is None else inner


def _result(part: dict[str, Any], place: str, notices: list[str]) -> Message:
    """A tool result inside a turn, as a separate turn."""
    inner = first_of(part, _RESULT_KEYS)
    answer = inner if isinstance(inner, dict) else part
    call_id = first_of(answer, ("tool_use_id", "tool_call_id", "toolCallId", "call_id", "id"))
    name = first_of(answer, ("name", "tool_name", "toolName"))
    content = tool_text(first_of(answer, ("content", "response", "output", "result", "value")), place, notices)
    return Message("tool", content, name=str(name or ""), call_id="" if call_id is None else str(call_id))


def tool_text(content: Any, place: str, notices: list[str]) -> str:
    """The text of a tool result: its text parts, or JSON if it is data."""
    if isinstance(content, list) and not all(isinstance(part, str) or _is_part(part) for part in content):
        return json.dumps(content, ensure_ascii=False)
    if isinstance(content, dict) and not _is_part(content):
        return json.dumps(content, ensure_ascii=False)
    if isinstance(content, bool):
        return json.dumps(content)
    found = read_content(content, place, notices)
    return "".join(found.texts)


def _is_part(value: Any) -> bool:
    """Whether an object is a typed part, not tool data that happens to have a type."""
    kind = value.get("type") if isinstance(value, dict) else None
    return kind in _MEDIA_PARTS or (kind in _TEXT_PARTS and first_of(value, _TEXTS) is not None)
