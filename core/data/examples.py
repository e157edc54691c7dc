"""The record that passes through everything: a conversation, and its place in a dataset."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

MESSAGE_ROLES = ("system", "user", "context", "assistant", "tool")
"""Roles of a message. `context` is Alpaca's `input`: the Alpaca template gives it a heading of its own,
every other template reads it as the end of the user's turn."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool by the assistant.

    `arguments` is JSON text where the record's arguments are JSON, else the text that the record has. `call_id` is the
    id by which a tool's answer names its call, empty where the record gives none.
    """

    name: str
    arguments: str
    call_id: str = ""

    @property
    def text(self) -> str:
        """The call as JSON of name and arguments, for reading and for templates that know no tool calls."""
        try:
            arguments = json.loads(self.arguments)
        except ValueError:
            arguments = self.arguments
        return json.dumps({"name": self.name, "arguments": arguments}, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    `thought` is an assistant's reasoning before its content, where the record keeps it apart. `name` and `call_id` of
    a tool's turn say which tool and which call it answers. `is_context` marks an assistant's turn that is not to be
    trained on, and so is not scored.
    """

    role: str
    content: str
    thought: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    name: str = ""
    call_id: str = ""
    is_context: bool = False

    @property
    def is_scored(self) -> bool:
        """Whether the turn is an assistant's that is trained on."""
        return self.role == "assistant" and not self.is_context

    @property
    def text(self) -> str:
        """All of the turn as one text: the thought as `<think>`, the content, the tool calls as JSON, one a line."""
        thought = f"<think>\n{self.thought}\n</think>\n\n" if self.thought else ""
        calls = "\n".join(call.text for call in self.tool_calls)
        return thought + self.content + ("\n" if self.content and calls else "") + calls

    def to_fields(self) -> list[Any]:
        """As JSON fields: role and content, and a third item only where there is more than these."""
        more = {
            "thought": self.thought,
            "tool_calls": [[call.name, call.arguments, call.call_id] for call in self.tool_calls],
            "name": self.name,
            "call_id": self.call_id,
            "is_context": self.is_context,
        }
        found = {key: value for key, value in more.items() if value}
        return [self.role, self.content, found] if found else [self.role, self.content]

    @classmethod
    def from_fields(cls, fields: list[Any]) -> "Message":
        """Reverse of `to_fields`."""
        role, content, *rest = fields
        more = dict(rest[0]) if rest else {}
        more["tool_calls"] = tuple(ToolCall(*call) for call in more.get("tool_calls", ()))
        return cls(role, content, **more)


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation whose assistant turns are scored. `tools` is JSON text, empty where there are none."""

    messages: tuple[Message, ...]
    tools: str = ""

    @property
    def example_id(self) -> UUID:
        """128-bit BLAKE2b of the canonical conversation.

        The domain is not in it, so relabelling a row keeps its losses; equal conversations share one id
        whatever format they came in, so they are scored once.
        """
        return UUID(bytes=conversation_digest(self.to_json().encode()))

    @property
    def prompt(self) -> str:
        """Everything before the last scored turn, for reading; never what is tokenised."""
        return "\n\n".join(message.text for message in self.messages[: self._last_scored()])

    @property
    def response(self) -> str:
        """The last scored turn, for reading; never what is tokenised."""
        return self.messages[self._last_scored()].text

    @property
    def turns(self) -> tuple[Message, ...]:
        """The messages up to the last scored turn: nothing after it is scored, and nothing before depends on it."""
        return self.messages[: self._last_scored() + 1]

    def _last_scored(self) -> int:
        return max(i for i, message in enumerate(self.messages) if message.is_scored)

    def to_json(self) -> str:
        """Canonical JSON: the same conversation always gives the same text."""
        return json.dumps(
            {"messages": [message.to_fields() for message in self.messages], "tools": self.tools},
            ensure_ascii=False,
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> "Example":
        """Reverse of `to_json`."""
        fields = json.loads(text)
        return cls(tuple(map(Message.from_fields, fields["messages"])), fields["tools"])


def conversation_digest(canonical: bytes) -> bytes:
    """The 16 bytes of the id of a conversation whose canonical JSON (`Example.to_json`) this is, in UTF-8."""
    return hashlib.blake2b(canonical, digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """An example's place in a source file: its line or record number from 1, domain and original record.

    `original` is the record byte for byte where the source is JSON or JSONL (without the line's end), and the
    record's fields as a JSON object where the source is CSV or Parquet. `notices` say what deserves a look, though
    the row is kept: each ends the sentence "this row has ...".
    """

    line: int
    domain: str
    example: Example
    original: bytes
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that was left out: where it stood, the reason (one of few, counted), and what was found."""

    line: int
    reason: str
    detail: str = ""
