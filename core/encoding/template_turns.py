"""Converts messages to what a chat template reads: dicts with the keys and forms that it expects."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from ..data.errors import TemplateFailed
from ..data.examples import Message, ToolCall

Turn = dict[str, Any]
Mark = Callable[[Message, int, str, str], str]
"""Puts marks around a text. Arguments: the message, its number, the part ("thought", "content", "call", or "open" for
the position where an inline thought's tag begins), and the text."""

_INLINE_THOUGHT = re.compile(r"(\s*)((?:<think>)?)(.*?)(</think>)(.*)", re.DOTALL)
_SHORT_ID = re.compile(r"[A-Za-z0-9]{9}")
_THOUGHT_KEYS = ("reasoning_content", "thinking", "reasoning")


@dataclass(frozen=True, slots=True)
class TurnForm:
    """The form of messages that a template expects: the keys for a thought (none: it is part of the content), the form
    of tool call arguments ("object", "text", or "content" if it does not support calls), the content of a turn that has
    only calls, and whether it has a system role."""

    thought_keys: tuple[str, ...] = ()
    arguments: str = "content"
    content_of_calls: str | None = ""
    has_system: bool = True


def thought_keys(names: frozenset[str]) -> tuple[str, ...]:
    """Keys for a thought, given what the template reads: transformers' names, or "reasoning" if the template reads only
    that."""
    known = [key for key in _THOUGHT_KEYS if key in names]
    if known == ["reasoning"]:
        return ("reasoning",)
    return ("thinking", "reasoning_content") if known else ()


def unmarked(_message: Message, _turn: int, _part: str, text: str) -> str:
    """A `Mark` that adds no marks."""
    return text


Numbered = tuple[int, Message]
"""A message as chat templates expect it, and the number of the record's message that it begins with."""


def chat_messages(messages: Sequence[Message]) -> list[Numbered]:
    """Messages in the roles that chat templates know: `context` is appended to the user's turn. Tool results are linked
    to their calls, by order if the record gives no ids."""
    turns: list[Numbered] = []
    open_calls: list[ToolCall] = []
    for index, message in enumerate(messages):
        if message.role == "context" and turns and turns[-1][1].role == "user":
            number, user = turns[-1]
            turns[-1] = (number, Message("user", user.content + "\n" + message.content))
            continue
        if message.role == "assistant":
            calls = tuple(
                call if call.call_id else ToolCall(call.name, call.arguments, f"call{index:03d}{number:02d}"[-9:])
                for number, call in enumerate(message.tool_calls)
            )
            open_calls = list(calls)
            message = replace(message, tool_calls=calls)
        elif message.role == "tool":
            message = _linked(message, open_calls)
        elif message.role == "context":
            message = Message("user", message.content)
        turns.append((index, message))
    return turns


def _linked(answer: Message, open_calls: list[ToolCall]) -> Message:
    call = next((call for call in open_calls if answer.call_id and call.call_id == answer.call_id), None)
    if call is None:
        call = next((call for call in open_calls if answer.name and call.name == answer.name), None)
    if call is None and open_calls:
        call = open_calls[0]
    if call is None:
        return answer
    open_calls.remove(call)
    return replace(answer, name=answer.name or call.name, call_id=answer.call_id or call.call_id)


def folded_system(turns: Sequence[Numbered]) -> list[Numbered]:
    """The turns with the system prompt moved to the start of the first user turn."""
    (number, system), *rest = turns
    if not rest or rest[0][1].role != "user":
        return [(number, Message("user", system.content)), *rest]
    return [(rest[0][0], Message("user", f"{system.content}\n\n{rest[0][1].content}")), *rest[1:]]


def short_ids(messages: Sequence[Message]) -> list[Message]:
    """The messages with call ids of nine letters and digits, which some templates require."""
    ids: dict[str, str] = {}

    def short(call_id: str) -> str:
        if not call_id or _SHORT_ID.fullmatch(call_id):
            return call_id
        return ids.setdefault(call_id, f"call{len(ids):05d}")

    return [
        replace(
            message,
            call_id=short(message.call_id),
            tool_calls=tuple(ToolCall(call.name, call.arguments, short(call.call_id)) for call in message.tool_calls),
        )
        for message in messages
    ]


def template_turn(message: Message, index: int, form: TurnForm, mark: Mark = unmarked) -> Turn:
    """One message in the template's form, its texts marked as parts of turn `index`."""

    def marked(part: str, text: str) -> str:
        return mark(message, index, part, text) if text or part == "open" else text

    as_content = form.arguments == "content"
    if message.role != "assistant":
        turn: Turn = {"role": message.role, "content": marked("content", message.content)}
        if message.role == "tool" and not as_content:
            turn |= {key: value for key, value in (("tool_call_id", message.call_id), ("name", message.name)) if value}
        return turn
    said = _with_thought_apart(message) if form.thought_keys else message
    inline_thought = "" if form.thought_keys else said.thought
    if inline_thought and said.tool_calls and not said.content and form.content_of_calls is None and not as_content:
        # With content, such a template writes no calls, so the thought in it is omitted; its mark shows that.
        marked("thought", inline_thought)
        inline_thought = ""
    content = Message("assistant", said.content, inline_thought, said.tool_calls if as_content else ()).text
    turn = {"role": "assistant", "content": _marked_content(content, marked)}
    if said.thought and form.thought_keys:
        turn |= dict.fromkeys(form.thought_keys, marked("thought", said.thought))
    if said.tool_calls and not as_content:
        if not content:
            turn["content"] = form.content_of_calls
        turn["tool_calls"] = [_call(call, form, marked) for call in said.tool_calls]
    return turn


def _with_thought_apart(message: Message) -> Message:
    """A message with the thought at the start of its content separated."""
    found = _INLINE_THOUGHT.fullmatch(message.content) if "</think>" in message.content else None
    if found is None or message.thought:
        return message
    return replace(message, thought=found[3].strip("\n"), content=found[5].lstrip("\n"))


def _call(call: ToolCall, form: TurnForm, marked: Callable[[str, str], str]) -> dict[str, Any]:
    arguments: Any = call.arguments
    if form.arguments == "object":
        try:
            parsed = json.loads(call.arguments)
        except ValueError:
            parsed = None
        arguments = parsed if isinstance(parsed, dict) else call.arguments
    function = {"name": marked("call", call.name), "arguments": arguments}
    return {"id": call.call_id, "type": "function", "function": function}


def _marked_content(text: str, marked: Callable[[str, str], str]) -> str:
    """Content with its marks; an inline thought is marked separately."""
    found = _INLINE_THOUGHT.fullmatch(text) if "</think>" in text else None
    if found is None:
        return marked("content", text)
    space, tag, thought, closed, rest = found.groups()
    return space + marked("open", "") + tag + marked("thought", thought) + closed + marked("content", rest)


@lru_cache(maxsize=256)
def tool_descriptions(tools: str) -> tuple[dict[str, Any], ...] | None:
    """Tool descriptions in the form that chat templates read ({"type": "function", "function": {...}}), None if there
    are none. Raises `TemplateFailed` if they are not JSON objects."""
    if not tools:
        return None
    try:
        parsed = json.loads(tools)
    except ValueError as error:
        raise TemplateFailed("The row's tools are not JSON.") from error
    found = parsed if isinstance(parsed, list) else [parsed]
    if not all(isinstance(tool, dict) for tool in found):
        raise TemplateFailed("The row's tools are not a list of JSON objects.")
    return tuple(
        {"type": "function", "function": tool} if "name" in tool and "parameters" in tool else tool for tool in found
    )
