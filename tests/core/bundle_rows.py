"""A small scored store of conversations given by hand, for tests of what trainers make of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from core.data.examples import DatasetRow, Example, Message, ToolCall
from core.jobs.shards import SHARD_SCHEMA
from core.models.resolving import tokenizer_fingerprint
from core.selection import Amount, Selection
from core.store import Store
from tests.tiny_models import spec_of

WEATHER = '[{"type": "function", "function": {"name": "weather", "parameters": {"properties": {"city": {}}}}}]'
ALL = Selection("talks", amount=Amount("ratio", 1.0), collapse_duplicates=False)


def example(*turns: tuple[str, str], tools: str = "") -> Example:
    """A conversation written as (role, content) pairs."""
    return Example(tuple(Message(role, content) for role, content in turns), tools)


SINGLE = (
    example(("user", "Capital of Iceland?"), ("assistant", "Reykjavik")),
    example(("system", "You are terse."), ("user", "Name a river."), ("assistant", "The Thames, in England.")),
    example(("user", "冰岛的首都是哪里?"), ("assistant", "雷克雅未克\u2028是冰岛的\x00首都。😀\n")),
    example(("user", "Translate."), ("context", "Guten Morgen"), ("assistant", "Good morning")),
)
SEVERAL = (
    *SINGLE,
    example(("user", "How many?"), ("assistant", "12."), ("user", "And green ones?"), ("assistant", " 7 of them.")),
    example(("user", "Weather?"), ("assistant", "look()"), ("tool", "rain"), ("assistant", "It rains.")),
    example(("user", "One?"), ("assistant", "Yes."), ("user", "Thanks!")),
)
"""Several replies, a tool turn, and one conversation that ends with the user."""

FORECAST = (
    '[{"type": "function", "function": {"name": "forecast", "description": "Tells it.", "parameters": '
    '{"type": "object", "properties": {"place": {"type": "string", "description": "Where."}}}}}]'
)
RICH_TEMPLATE = (
    "{% if tools %}<|turn|>tools\n{{ tools | tojson }}<|end|>{% endif %}"
    "{% for message in messages %}<|turn|>{{ message.role }}{% if message.name %} {{ message.name }}{% endif %}"
    "{{ '\n' }}"
    "{% if message.role == 'assistant' %}{% generation %}"
    "{% if message.reasoning_content %}<think>{{ message.reasoning_content }}</think>{% endif %}{{ message.content }}"
    "{% for call in message.tool_calls or [] %}<call>{{ call.function.name }} "
    "{{ call.function.arguments | tojson }}</call>{% endfor %}<|end|>{% endgeneration %}"
    "{% else %}{{ message.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant{{ '\n' }}{% endif %}"
)
"""A chat template that reads all that a turn can have, and marks replies for TRL."""


def asking(text: str) -> Message:
    """A user's turn."""
    return Message("user", text)


def calling(arguments: str, call_id: str, content: str = "", thought: str = "") -> Message:
    """A turn that calls the tool of `FORECAST`."""
    return Message("assistant", content, thought, (ToolCall("forecast", arguments, call_id),))


def answering(text: str, call_id: str) -> Message:
    """The tool's turn."""
    return Message("tool", text, name="forecast", call_id=call_id)


def replying(text: str, thought: str = "", is_context: bool = False) -> Message:
    """An assistant's turn, scored unless it is context."""
    return Message("assistant", text, thought, is_context=is_context)


def rejected(text: str) -> Message:
    """An assistant's turn that must not be trained on."""
    return replying(text, is_context=True)


CALLS = (
    Example((asking("Warm?"), calling('{"place": "Bergen"}', "a1"), answering("9", "a1"), replying("No.")), FORECAST),
    Example((asking("And there?"), calling('{"town": "Lima", "day": null}', "b2", "I look.")), FORECAST),
    Example((asking("Hello"), replying("Hi"))),
)
THOUGHTS = (
    Example((asking("Add 2 and 3."), replying("5", "Two and three."))),
    Example((asking("Add 4 and 4."), replying("8"))),
)
ONE_SCORED = (
    Example((asking("Name a sea."), rejected("The Alps."), asking("Again."), replying("The Baltic."))),
    Example((asking("Name a hill."), replying("Snowdon"))),
)
SCORED_AFTER_CONTEXT = (
    Example((asking("One?"), rejected("Two"), asking("No."), replying("One"), asking("And?"), replying("Two"))),
    Example((asking("Three?"), replying("Three"))),
)
CONTEXT_BETWEEN = Example(
    (asking("Four?"), replying("Four"), asking("Five?"), rejected("Nine"), asking("?"), replying("5"))
)


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation, whether scoring cut it, and its original record."""

    example: Example
    truncated: bool = False
    original: bytes = b'{"question": "?", "answer": "!"}'


def talk_store(
    workspace: Path,
    talks: Sequence[Example | Talk],
    template: str = "chat",
    model: Path | None = None,
    max_length: int = 512,
    **encoding: str,
) -> Store:
    """A store with the run "talks" over the conversations, each of ten scored tokens; the caller closes it. `encoding`
    are further fields of the run's encoding."""
    store = Store.open(workspace, "a test")
    rows = [talk if isinstance(talk, Talk) else Talk(talk) for talk in talks]
    records = [DatasetRow(n, "chat", row.example, row.original) for n, row in enumerate(rows, 1)]
    store.add_source("conversations", "c.jsonl", "jsonl", "sha256 of c.jsonl", {}, records)
    sets = [store.ensure_loss_set(f"{side} weights", template, side) for side in ("base", "reference")]
    for loss_set, loss in zip(sets, (20.0, 10.0), strict=True):
        distinct = {str(row.example.example_id): row for row in rows}
        columns = [
            list(distinct),
            [loss + i / 10 for i in range(len(distinct))],
            [10] * len(distinct),
            [row.truncated for row in distinct.values()],
            [None] * len(distinct),
            [0.0] * len(distinct),
            [None] * len(distinct),
            [None] * len(distinct),
        ]
        store.ingest_shard(f"s-{loss_set}", loss_set, pa.table(columns, names=SHARD_SCHEMA.names).cast(SHARD_SCHEMA))
        store.set_noise_floor(loss_set, 1e-6)
    path = str(model or "/models/base")
    description: dict[str, Any] = {
        "encoding": {
            "template": template,
            "max_length": max_length,
            "tokenizer_fingerprint": tokenizer_fingerprint(spec_of(model)) if model and model.exists() else "tiny",
            **encoding,
        },
        "models": {"base": {"label": path, "path": path, "adapter": None}},
    }
    store.save_run("talks", "conversations", dict(zip(("base", "reference"), sets, strict=True)), description)
    return store
