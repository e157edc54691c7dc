"""Reads tool calls and tool descriptions in the forms of OpenAI, Anthropic, Gemini and ShareGPT."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..data.examples import ToolCall
from .json_parsing import check_parts, parse_json
from .records import RecordUnusable, kind_of

_CALLED = ("function", "functionCall", "function_call")
_NAMES = ("name", "tool_name", "function_name")
_ARGUMENTS = ("arguments", "parameters", "args", "input", "tool_input", "tool_arguments")
_IDS = ("id", "call_id", "tool_call_id", "tool_use_id")


def read_calls(value: Any, place: str) -> tuple[list[ToolCall], list[str]]:
    """Tool calls in a value (one, a list, or JSON text of these), and the texts among them that are not calls.

    Raises `RecordUnusable` for a call without a name, and for anything else.
    """
    if isinstance(value, str):
        value = _parsed_calls(value)
    calls: list[ToolCall] = []
    texts: list[str] = []
    for item in value if isinstance(value, list) else [value]:
        described = _parsed_calls(item) if isinstance(item, str) else item
        if isinstance(described, str):
            texts.append(described)
        elif isinstance(described, list):
            calls += [_read_call(call, place) for call in described]
        else:
            calls.append(_read_call(described, place))
    return calls, texts


def first_of(fields: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """The first value that is not null under these names, else None."""
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def is_absent(value: Any) -> bool:
    """Whether a value is missing: null, empty, or an object of nulls (Arrow's padding)."""
    if isinstance(value, dict):
        return all(item is None for item in value.values())
    return value is None or value in ("", [])


def _parsed_calls(text: str) -> Any:
    """The call or calls if the text is JSON, else the text."""
    try:
        value = parse_json(text)
    except RecordUnusable:
        return text
    calls = value if isinstance(value, list) else [value]
    described = [_described(call) for call in calls]
    return value if calls and all(call and first_of(call, _NAMES) is not None for call in described) else text


def _described(call: Any) -> dict[str, Any] | None:
    """The object with the call's name and arguments, without its wrapper."""
    if not isinstance(call, dict):
        return None
    inner = first_of(call, _CALLED)
    if isinstance(inner, dict):
        return inner
    return {"name": inner, **call} if isinstance(inner, str) else call


def _read_call(call: Any, place: str) -> ToolCall:
    described = _described(call)
    if described is None:
        raise RecordUnusable("wrong type", f"a tool call of {place} is {kind_of(call)}, not an object")
    name = first_of(described, _NAMES)
    if not isinstance(name, str):
        raise RecordUnusable("missing field", f"a tool call of {place} has no name; found {', '.join(described)}")
    call_id = first_of(call, _IDS)
    if call_id is None:
        call_id = first_of(described, _IDS)
    return ToolCall(name, _arguments_text(first_of(described, _ARGUMENTS)), "" if call_id is None else str(call_id))


def _arguments_text(arguments: Any) -> str:
    """Arguments as JSON text; text that is not JSON is what the model wrote, so it stays unchanged."""
    if arguments is None or (isinstance(arguments, str) and not arguments.strip()):
        return "{}"
    if isinstance(arguments, str):
        try:
            parsed = parse_json(arguments)
        except RecordUnusable as unusable:
            if unusable.reason == "too many parts":
                raise  # it would be parsed later, by a chat template's reader
            return arguments
        if isinstance(parsed, str):  # JSON encoded twice
            with suppress(RecordUnusable):
                again = parse_json(parsed)
                parsed = again if isinstance(again, dict) else parsed
        arguments = parsed
    return json.dumps(arguments, ensure_ascii=False)


def read_tools(value: Any) -> str:
    """Tool descriptions as JSON text, empty if there are none; Anthropic's and Gemini's are converted to OpenAI's
    form."""
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, str):
        check_parts(value)
        return "" if value.strip() in ("", "[]", "{}", "null") else value
    if isinstance(value, list):
        value = [tool for item in value for tool in _described_tools(item)]
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    raise RecordUnusable("wrong type", f"tools is {kind_of(value)}, not a list")


def _described_tools(tool: Any) -> list[Any]:
    if not isinstance(tool, dict):
        return [tool]
    declared = first_of(tool, ("functionDeclarations", "function_declarations"))
    if isinstance(declared, list):
        return [{"type": "function", "function": function} for function in declared]
    if isinstance(tool.get("input_schema"), dict):
        described = {key: value for key, value in tool.items() if key not in ("input_schema", "type")}
        return [{"type": "function", "function": {**described, "parameters": tool["input_schema"]}}]
    return [tool]
