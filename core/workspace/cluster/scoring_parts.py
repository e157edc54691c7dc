"""Divides a scoring job among the workers of a cluster: rows go out in parts, losses come back as shards.

A part is some rows of a pass, sent as a small job of its own with the rows that still lack losses. Parts are given out
as workers are free. When none is left, a free worker gets what a slow one still has; who is first ends the other.
A row counts as finished once the shard with its loss is in the job's folder, so what a dead worker had sent is not
computed again.
"""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from ...data.errors import UserError
from ...data.json_types import checked
from ...jobs.example_chunks import CHUNK_BYTES, CHUNK_ROWS, write_examples_file
from ...jobs.job import ENGINE_CHOICE, Job
from ...jobs.job_progress import Progress
from ...jobs.shards import read_shard
from ...scoring.passes import Pass, are_apart, keep_apart
from ...scoring.scoring_job import planned
from .crew import Task
from .job_files import FolderChanges, Piece, put_piece
from .node_worker import News

log = logging.getLogger("worker")
SCORING = "scoring.scoring_job:score"
"""The work of a scoring job, and of each of its parts."""
_LEAST_ROWS = 64
_SLOW = 3.0
"""A part is given to a second worker once it takes so many times as long as the others did."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows [start, end) of the examples of the pass number `index`."""

    index: int
    start: int
    end: int


@dataclass(slots=True, eq=False, kw_only=True)
class _Part(Task):
    """A task and the rows that it is of. `twin`: the task of the same rows that
    another worker has; until one of the two has ended, what `arrived` of either is not counted."""

    rows: _Rows
    twin: "_Part | None" = None
    ended: bool = False
    arrived: list[Piece] = field(default_factory=list)


@dataclass(slots=True)
class _Place:
    """What one place has computed: losses, of each model, and the tokens a second of its task."""

    losses: int = 0
    rate: float | None = None


class ScoringParts:
    """The parts of a scoring job; `workers`: about how many there will be."""

    def __init__(self, job: Job, workers: int) -> None:
        self._job = job
        self._running: list[_Part] = []
        self._seconds: list[float] = []
        self._deaths: dict[_Rows, int] = {}
        self._places: dict[str, _Place] = {}
        self._began = time.monotonic()
        self._apart = are_apart(job)
        self._passes: list[Pass] = planned(job)
        self._open = [
            rows
            for index, one in enumerate(self._passes)
            for rows in _divided(index, one, max(1, workers))
            if self._is_missing(rows)
        ]
        self._first_done, self._wanted = self._counts()
        self.tokens = 0

    @property
    def is_outdated(self) -> bool:
        """Whether base and reference turned out not to share weights, so that the job must be divided anew. A worker
        finds that out when it loads them, before it computes anything."""
        return are_apart(self._job) != self._apart

    def is_done(self) -> bool:
        """Whether every row has its losses and every worker has said what it took, or the parts are outdated."""
        return self.is_outdated or not (self._running or self._open)

    def open_count(self) -> int:
        """Parts that are in work or can be."""
        return len(self._open) + len(self._running)

    def next(self) -> Task | None:
        """The next part, or the rest of one that takes long; none while the first worker chooses how the engine of all
        computes."""
        if self._running and not self._has_choice():
            return None
        while self._open:
            rows = self._open.pop(0)
            if self._is_missing(rows):
                return self._begin(rows)
        slow = [part for part in self._running if part.twin is None and self._takes_long(part)]
        if not slow:
            return None
        oldest = min(slow, key=lambda part: part.began)
        oldest.twin = self._begin(oldest.rows)
        oldest.twin.twin = oldest
        return oldest.twin

    def take(self, task: Task, where: str, news: News) -> None:
        """Shards, the noise of a model, and progress; the end of the part."""
        assert isinstance(task, _Part)
        place = self._places.setdefault(where, _Place())
        for piece in news.pieces:
            self._take_piece(task, place, piece)
        if news.result is not None:
            self._keep(task, place)
            self._end(task, news.result)

    def give_up(self, task: Task) -> None:
        """What is missing of a part is given out again, unless a second worker has it."""
        assert isinstance(task, _Part)
        self._running.remove(task)
        self._deaths[task.rows] = task.deaths
        if task.twin is not None:
            task.twin.twin = None
        else:
            self._open.insert(0, task.rows)

    def is_superfluous(self, task: Task) -> bool:
        """Whether a second worker has finished the part; it is then no longer waited for."""
        assert isinstance(task, _Part)
        if task.twin is None or not task.twin.ended:
            return False
        self._running.remove(task)
        return True

    def progress(self, who: list[str]) -> Progress:
        """Rows of the first pass that is not finished, and who computed what."""
        for one in self._passes:
            one.refresh()
        one = self._unfinished()
        done, total = one.count()
        all_done, elapsed = self._counts()[0], time.monotonic() - self._began
        computed = all_done - self._first_done
        rates = [place.rate for place in self._places.values() if place.rate]
        return Progress(
            f"Scoring with {one.models} on the cluster" if who else "Waiting for room on the cluster",
            done,
            total,
            tokens_per_second=sum(rates) or None,
            seconds_left=(self._wanted - all_done) * elapsed / computed if computed else None,
            elapsed_seconds=elapsed,
            notes=[
                f"{where}: {self._places[where].losses:,} losses" if where in self._places else f"{where}: starting"
                for where in sorted({*who, *self._places})
            ],
        )

    def cancelled_sentence(self) -> str:
        """What a cancelled job has done."""
        one = self._unfinished()
        done, total = one.count()
        return f"Cancelled at {done:,} of {total:,} rows of {one.models}."

    def _begin(self, rows: _Rows) -> _Part:
        title = f"rows {rows.start:,} to {rows.end:,} for {self._passes[rows.index].models}"
        part = _Part(title, SCORING, lambda: self._files(rows), rows=rows)
        part.deaths = self._deaths.get(rows, 0)
        self._running.append(part)
        return part

    def _end(self, part: _Part, result: dict[str, Any]) -> None:
        self.tokens += result["tokens"]
        for notice in result["notices"]:
            self._job.add_notice(notice)
        self._seconds.append(time.monotonic() - part.began)
        part.ended = True
        self._running.remove(part)
        if self._is_missing(part.rows):  # a shard that did not arrive
            self._open.insert(0, part.rows)

    def _take_piece(self, part: _Part, place: _Place, piece: Piece) -> None:
        if piece.data is None:
            return
        if piece.name == "progress.json":
            place.rate = _rate(piece.data, place.rate)
        elif piece.name == "apart.txt":
            keep_apart(self._job)
        elif piece.name == ENGINE_CHOICE or piece.name.startswith("noise-"):
            if not (self._job.folder / piece.name).exists():
                put_piece(self._job.folder, piece)
        elif piece.name.startswith("shards/"):
            part.arrived.append(piece)
            if part.twin is None:
                self._keep(part, place)

    def _keep(self, part: _Part, place: _Place) -> None:
        """Put a part's shards into the job's folder, where they count."""
        for piece in part.arrived:
            put_piece(self._job.folder, piece)
            if piece.ends:
                place.losses += read_shard(self._job.folder / piece.name).num_rows
        part.arrived.clear()

    def _has_choice(self) -> bool:
        return (self._job.folder / ENGINE_CHOICE).exists()

    def _takes_long(self, part: _Part) -> bool:
        usual = median(self._seconds) if self._seconds else float("inf")
        return time.monotonic() - part.began > _SLOW * usual

    def _is_missing(self, rows: _Rows) -> bool:
        one = self._passes[rows.index]
        one.refresh()
        return any(bool(side.waiting(rows.start, rows.end).any()) for side in one.sides)

    def _unfinished(self) -> Pass:
        return next((one for one in self._passes if one.waiting_rows().any()), self._passes[-1])

    def _counts(self) -> tuple[int, int]:
        """Rows of all passes that are finished, and that are wanted."""
        counts = [one.count() for one in self._passes]
        return sum(done for done, _ in counts), sum(total for _, total in counts)

    def _files(self, rows: _Rows) -> Iterator[Piece]:
        """A job's folder with those of the rows that lack losses, for the models of their pass only."""
        request, one = self._job.request, self._passes[rows.index]
        roles = [side.role for side in one.sides]
        parts = [part for part in request["parts"] if part["role"] in roles]
        one.refresh()
        table = one.examples.table(rows.start, rows.end)
        with TemporaryDirectory() as place:
            folder = Path(place)
            for side in one.sides:
                waiting = pa.array(side.waiting(rows.start, rows.end))
                write_examples_file(folder / f"{side.role}.parquet", table.filter(waiting))
            kept = ("noise-*.txt", "apart.txt", ENGINE_CHOICE)
            for path in [path for pattern in kept for path in self._job.folder.glob(pattern)]:
                (folder / path.name).write_bytes(path.read_bytes())
            (folder / "job.json").write_text(json.dumps({**request, "parts": parts}), encoding="utf-8")
            yield from FolderChanges(folder).take()


def _divided(index: int, one: Pass, workers: int) -> Iterator[_Rows]:
    """A pass in parts that become smaller: each is a half of what every worker would have of the rest, so that all end
    at about the same time."""
    start, total = 0, len(one.examples)
    most = min(CHUNK_ROWS, max(1, round(CHUNK_BYTES / max(1.0, one.examples.bytes_a_row))))
    while start < total:
        size = min(most, max(_LEAST_ROWS, (total - start) // (2 * workers)))
        yield _Rows(index, start, min(total, start + size))
        start += size


def _rate(data: bytes, before: float | None) -> float | None:
    """Tokens a second, from a worker's progress; what it said before if that cannot be read."""
    with suppress(ValueError, UserError):
        return checked(json.loads(data), Progress, "progress").tokens_per_second or before
    return before
