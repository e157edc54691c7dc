"""The record that passes through everything: a conversation, and its place in a dataset."""

import hashlib
import json
from dataclasses import dataclass
from uuid import UUID

ROLES = ("system", "user", "context", "assistant", "tool")
"""Roles of a message. `context` is Alpaca's `input`: the Alpaca template gives it a heading of its own,
every other template reads it as the end of the user's turn."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation, as plain text."""

    role: str
    content: str


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
        """Everything before the last assistant turn, for reading; never what is tokenised."""
        return "\n\n".join(message.content for message in self.messages[: self._last_assistant()])

    @property
    def response(self) -> str:
        """The last assistant turn, for reading; never what is tokenised."""
        return self.messages[self._last_assistant()].content

    @property
    def turns(self) -> tuple[Message, ...]:
        """The messages up to the last assistant turn: nothing after it is scored, and nothing before depends on it."""
        return self.messages[: self._last_assistant() + 1]

    def _last_assistant(self) -> int:
        return max(i for i, message in enumerate(self.messages) if message.role == "assistant")

    def to_json(self) -> str:
        """Canonical JSON: the same conversation always gives the same text."""
        return json.dumps(
            {"messages": [[message.role, message.content] for message in self.messages], "tools": self.tools},
            ensure_ascii=False,
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> "Example":
        """Reverse of `to_json`."""
        fields = json.loads(text)
        return cls(tuple(Message(role, content) for role, content in fields["messages"]), fields["tools"])


def conversation_digest(canonical: bytes) -> bytes:
    """The 16 bytes of the id of a conversation whose canonical JSON (`Example.to_json`) this is, in UTF-8."""
    return hashlib.blake2b(canonical, digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """An example's place in a source file: its line or record number from 1, domain and original record.

    `original` is the record byte for byte where the source is JSON or JSONL (without the line's end), and the
    record's fields as a JSON object where the source is CSV or Parquet.
    """

    line: int
    domain: str
    example: Example
    original: bytes


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that was left out: where it stood, the reason (one of few, counted), and what was found."""

    line: int
    reason: str
    detail: str = ""
