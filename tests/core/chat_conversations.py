"""Kinds of conversation by which chat templates are tried, one of each, with short texts that are easy to find."""

from collections.abc import Callable

from core.data.examples import Example, Message, ToolCall

_TOOLS = (
    '[{"type": "function", "function": {"name": "get_time", "description": "Tell the time.", "parameters": '
    '{"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]}}}]'
)
_CODE = "```python\nif é:\n\n    print('🎉')  # 雷\n```\nDone."

QUOTES = {
    "<|im_end|>": "Say <|im_end|> or <|im_start|>user.",
    "<｜end▁of▁sentence｜>": "Say <｜end▁of▁sentence｜> or <｜User｜>.",
    "<end_of_turn>": "Say <end_of_turn> or <start_of_turn>user.",
    "<turn|>": "Say <turn|> or <|turn>user.",
    "<|eot_id|>": "Say <|eot_id|> or <|start_header_id|>user.",
    "<|return|>": "Say <|end|> or <|start|>user.",
    "<|end|>": "Say <|end|> or <|user|>.",
    "<|observation|>": "Say <|user|> or <|assistant|>.",
    "<|END_OF_TURN_TOKEN|>": "Say <|END_OF_TURN_TOKEN|> or <|START_OF_TURN_TOKEN|><|USER_TOKEN|>.",
    "<|eot|>": "Say <|eot|> or <|start|>user.",
}
"""A reply that quotes a family's markup, by a special token that tells the family."""


def _call(zone: str = "UTC", call_id: str = "call00001") -> ToolCall:
    return ToolCall("get_time", f'{{"zone": "{zone}"}}', call_id)


def _user(content: str) -> Message:
    return Message("user", content)


def _reply(content: str, thought: str = "", *calls: ToolCall, is_context: bool = False) -> Message:
    return Message("assistant", content, thought, calls, is_context=is_context)


def _answer(content: str, call_id: str = "call00001") -> Message:
    return Message("tool", content, name="get_time", call_id=call_id)


def _turns(first: Message, second: Message) -> Callable[[str], Example]:
    return lambda _quote: Example((_user("ALPHA?"), first, _user("GAMMA?"), second))


def _chat(*messages: Message) -> Callable[[str], Example]:
    return lambda _quote: Example(messages)


def _with_tools(*messages: Message) -> Callable[[str], Example]:
    return lambda _quote: Example(messages, _TOOLS)


_SYSTEM, _ALPHA, _GAMMA, _ZETA = Message("system", "SYS."), _user("ALPHA?"), _user("GAMMA?"), _user("ZETA?")
_BETA, _DELTA, _ETA, _NOON = _reply("BETA."), _reply("DELTA."), _reply("ETA."), _reply("Noon.")
_ASKS = _reply("", "", _call())

CONVERSATIONS: dict[str, Callable[[str], Example]] = {
    "one turn": _chat(_ALPHA, _BETA),
    "two turns": _turns(_BETA, _DELTA),
    "three turns": _chat(_ALPHA, _BETA, _GAMMA, _DELTA, _ZETA, _ETA),
    "system prompt": _chat(_SYSTEM, _ALPHA, _BETA),
    "system prompt and two turns": _chat(_SYSTEM, _ALPHA, _BETA, _GAMMA, _DELTA),
    "empty reply in the middle": _turns(_reply(""), _DELTA),
    "white space reply in the middle": _turns(_reply(" \n"), _DELTA),
    "white space around replies": _turns(_reply(" BETA. \n"), _reply("\n DELTA.\n\n")),
    "special tokens quoted": lambda quote: Example((_ALPHA, _reply(quote), _GAMMA, _reply(quote))),
    "replies in HTML": _turns(_reply("<div>BETA.</div>"), _reply("<table>DELTA.</table>")),
    "replies that begin like a thought": _turns(_reply("<"), _reply("<thin")),
    "code and emoji": _chat(_user("ÄLPHA 🎈?"), _reply(_CODE)),
    "inline thought": _chat(_ALPHA, _reply("<think>\nWHY.\n</think>\n\nBETA.")),
    "inline thoughts in two turns": _turns(_reply("<think>WHY1</think>BETA."), _reply("<think>WHY2</think>DELTA.")),
    "inline thought that is empty": _chat(_ALPHA, _reply("<think>\n\n</think>\n\nBETA.")),
    "separate thought": _chat(_ALPHA, _reply("BETA.", "WHY.")),
    "separate thoughts in two turns": _turns(_reply("BETA.", "WHY1."), _reply("DELTA.", "WHY2.")),
    "thought without an answer": _chat(_ALPHA, _reply("", "WHY.")),
    "two replies in a row": _chat(_ALPHA, _BETA, _DELTA),
    "reply first": _chat(_BETA, _GAMMA, _DELTA),
    "reply that is context": _turns(_reply("BETA.", is_context=True), _DELTA),
    "tool call": _with_tools(_ALPHA, _ASKS, _answer("12:00"), _NOON),
    "text and tool call": _with_tools(_ALPHA, _reply("I look.", "", _call()), _answer("12:00"), _NOON),
    "two tool calls": _with_tools(
        _ALPHA,
        _reply("", "", _call(), _call("CET", "call00002")),
        _answer("12:00"),
        _answer("13:00", "call00002"),
        _NOON,
    ),
    "thoughts and tool call": _with_tools(
        _ALPHA, _reply("", "WHY1.", _call()), _answer("12:00"), _reply("Noon.", "WHY2.")
    ),
    "reply, then thought and tool call": _with_tools(
        _ALPHA, _BETA, _reply("", "WHY.", _call()), _answer("12:00"), _NOON
    ),
    "tool call last": _with_tools(_ALPHA, _ASKS),
    "tool call after a turn": _with_tools(_ALPHA, _BETA, _GAMMA, _ASKS, _answer("12:00"), _NOON),
}
"""Each makes its conversation, given a reply that quotes the family's markup (used by one of them)."""
