"""The central record: a conversation, and its place in a dataset."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

MESSAGE_ROLES = ("system", "user", "context", "assistant", "tool")
"""Roles of a message. `context` is Alpaca's `input`: the Alpaca template gives it its own heading; all other templates
append it to the user's turn."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call by the assistant.

    `arguments` is JSON text if the record's arguments are JSON, else the record's text. `call_id` is the id by which a
    tool result refers to its call, empty if the record has none.
    """

    name: str
    arguments: str
    call_id: str = ""

    @property
    def text(self) -> str:
        """The call as JSON of name and arguments, for display and for templates without tool calls."""
        try:
            arguments = json.loads(self.arguments)
        except ValueError:
            arguments = self.arguments
        return json.dumps({"name": self.name, "arguments": arguments}, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    `thought` is an assistant's reasoning before its content, if the record has it separately. `name` and `call_id` of a
    tool turn identify the tool and the call that it answers. `is_context` marks an assistant turn that is not trained
    on, and so not scored.
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
        """Whether this is an assistant turn that is trained on."""
        return self.role == "assistant" and not self.is_context

    @property
    def text(self) -> str:
        """The whole turn as one text: the thought as `<think>`, the content, the tool calls as JSON, one per line."""
        thought = f"<think>\n{self.thought}\n</think>\n\n" if self.thought else ""
        calls = "\n".join(call.text for call in self.tool_calls)
        return thought + self.content + ("\n" if self.content and calls else "") + calls

    def to_fields(self) -> list[Any]:
        """As JSON fields: role and content, and a third item only if there is more."""
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
    """A conversation whose assistant turns are scored. `tools` is JSON text, empty if there are none."""

    messages: tuple[Message, ...]
    tools: str = ""

    @property
    def example_id(self) -> UUID:
        """128-bit BLAKE2b of the canonical conversation.

        The domain is not included, so relabelling a row keeps its losses. Equal conversations share one id, whatever
        their original format, so they are scored once.
        """
        return UUID(bytes=conversation_digest(self.to_json().encode()))

    @property
    def prompt(self) -> str:
        """Everything before the last scored turn, for display; not what is tokenised."""
        return "\n\n".join(message.text for message in self.messages[: self._last_scored()])

    @property
    def response(self) -> str:
        """The last scored turn, for display; not what is tokenised."""
        return self.messages[self._last_scored()].text

    @property
    def turns(self) -> tuple[Message, ...]:
        """The messages up to the last scored turn; later ones do not affect any loss."""
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
    """The id (16 bytes) of a conversation, from its canonical JSON (`Example.to_json`) in UTF-8."""
    return hashlib.blake2b(canonical, digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """An example's place in a source file: its line or record number from 1, domain and original record.

    `original` is the record byte for byte where the source is JSON or JSONL (without the line's end), and the
    record's fields as a JSON object if the source is CSV or Parquet. `notices` are warnings about a row that is kept:
    each completes the sentence "this row has ...". `is_chosen`: it is the chosen side of a preference pair, and the row
    that follows is the rejected one.
    """

    line: int
    domain: str
    example: Example
    original: bytes
    notices: tuple[str, ...] = ()
    is_chosen: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """A skipped record: its line, the reason (one of a fixed set), and what was found."""

    line: int
    reason: str
    detail: str = ""
