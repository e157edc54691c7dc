"""A scoring job's finished losses: written as shards every few seconds, and found again on resume."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..data import settings
from ..data.encoded import Encoded
from ..jobs.example_chunks import Ids, packed_ids
from ..jobs.job import Job
from ..jobs.shards import SHARD_SCHEMA, read_shard, write_shard


class CompletionMask:
    """Mask of the rows in a job's file whose loss under one model is already in a shard."""

    def __init__(self, job: Job, role: str, ids: Ids) -> None:
        self._job, self._role, self._ids = job, role, ids
        self._order = np.argsort(ids)
        self._read: set[Path] = set()
        self.mask = np.zeros(len(ids), np.bool_)
        """True where finished, as of the last `refresh`."""

    def refresh(self) -> NDArray[np.bool_]:
        """Read new shards; returns the mask."""
        for path in self._job.shards_of(self._role):
            if path not in self._read and len(self._ids):
                self._read.add(path)
                found = packed_ids(read_shard(path)["example_id"])
                places = np.searchsorted(self._ids, found, sorter=self._order).clip(max=len(self._ids) - 1)
                rows = self._order[places]
                self.mask[rows[self._ids[rows] == found]] = True
        return self.mask


class ShardWriter:
    """Collects one model's losses and writes them as shards every few seconds.

    Names are unique to this process and never reused, not even by its replacement: they begin with the writer's
    creation time.
    """

    def __init__(
        self, job: Job, role: str, process: int = 0, check: Callable[[], None] = lambda: None, model: str = ""
    ) -> None:
        """`check` is called before a shard is written and raises if its losses must not be kept; `model`: the key of
        the model that made them."""
        self._check, self._model = check, model
        self._folder = job.folder / "shards"
        self._prefix = f"{job.shard_prefix(role)}{time.time_ns() // 1_000_000:013d}-{process:02d}-"
        self._rows: list[dict[str, Any]] = []
        self._written = 0
        self._due = time.monotonic() + settings.number("shard_seconds")

    def add(self, example_id: str, nll_sum: float | None, end_nll_sum: float | None, item: Encoded) -> None:
        """Add one example's loss and the part of it on tokens that end a reply [nats], or with None the reason for
        having none."""
        self._rows.append(
            {
                "example_id": example_id,
                "nll_sum": nll_sum,
                "token_count": item.token_count,
                "truncated": item.truncated,
                "reason": item.reason,
                "left_out": item.left_out,
                "end_nll_sum": end_nll_sum,
                "end_token_count": item.end_token_count,
            }
        )

    def flush_if_due(self) -> None:
        """Write a shard if the last one is old enough."""
        if time.monotonic() >= self._due:
            self.flush()

    def flush(self) -> None:
        """Write the collected losses."""
        if self._rows:
            self._check()
            self._written += 1
            losses = pa.Table.from_pylist(self._rows, SHARD_SCHEMA)
            write_shard(self._folder, f"{self._prefix}{self._written:06d}", losses, self._model)
            self._rows = []
        self._due = time.monotonic() + settings.number("shard_seconds")
