"""A small scored store of conversations given by hand, for tests of what trainers make of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from core.examples import DatasetRow, Example, Message
from core.selection import Amount, Selection
from core.spool import SHARD_SCHEMA
from core.store import Store

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
) -> Store:
    """A store with the run "talks" over the conversations, each of ten scored tokens; the caller closes it."""
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
        ]
        store.ingest_shard(f"s-{loss_set}", loss_set, pa.table(columns, names=SHARD_SCHEMA.names).cast(SHARD_SCHEMA))
        store.set_noise_floor(loss_set, 1e-6)
    path = str(model or "/models/base")
    description: dict[str, Any] = {
        "encoding": {"template": template, "max_length": max_length},
        "models": {"base": {"label": path, "path": path, "adapter": None}},
    }
    store.save_run("talks", "conversations", *sets, description)
    return store
