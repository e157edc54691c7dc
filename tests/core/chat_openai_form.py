"""Conversations as a user of transformers or TRL writes them: OpenAI's form of messages, and the date held still."""

import json
from datetime import datetime
from typing import Any

import pytest

from core.data.examples import Example

DAY = "2026-03-05"
_READ_THOUGHTS = {
    *("gemma4", "glm4moe", "gptoss", "lfm2_2_5", "lfm2_2_5_v2", "muse_glimmer", "nemotron_3_nano", "nemotron_3_super"),
    *("qwen3", "qwen3_5_think", "qwen3_5_nothink", "qwen3_6", "qwen3_8"),
}
"""Families whose templates read a thought beside the content; with the others it stands in the content."""


class _FixedDate(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return cls.fromisoformat(DAY)


def hold_date(monkeypatch: pytest.MonkeyPatch) -> None:
    """Templates that ask transformers for the date are given `DAY`."""
    monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", _FixedDate)


def openai_messages(example: Example, family: str) -> list[dict[str, Any]]:
    """A conversation's messages for a family's template."""
    messages = []
    for message in example.messages:
        fields: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.role == "tool":
            fields |= {"tool_call_id": message.call_id, "name": message.name}
        if message.thought and family in _READ_THOUGHTS:
            fields["reasoning_content"] = message.thought
        elif message.thought:
            fields["content"] = f"<think>\n{message.thought}\n</think>\n\n{message.content}"
        if message.tool_calls:
            functions = [{"name": call.name, "arguments": json.loads(call.arguments)} for call in message.tool_calls]
            fields["tool_calls"] = [
                {"id": call.call_id, "type": "function", "function": function}
                for call, function in zip(message.tool_calls, functions, strict=True)
            ]
        messages.append(fields)
    return messages
