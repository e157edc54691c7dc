"""A worker's gradient similarity (LESS): a job's rows in, their values in files, every few seconds.

    value = max over subtasks of  sum over checkpoints of  (share of the learning rates) * mean . feature

`mean`: of the subtask's unit gradients; `feature`: the row's (`features`). Exact: the mean of a row's cosines with a
subtask's rows is its product with their mean. Rows are taken in blocks, each under every checkpoint, so that in memory
are one row's gradient, one checkpoint and the subtasks' means at it, whatever the number of rows. A worker that is
started again computes only what is in no file yet.
"""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ...data.encoded import Encoded
from ...data.errors import EncodingOutdated, JobCancelled, NoUsableRows
from ...data.listing import counted
from ...jobs.example_chunks import ExampleFile, id_texts, packed_ids
from ...jobs.job import Job
from ...jobs.job_progress import Progress
from ...models.devices import encoding_processes, resolve_device
from ...models.resolving import ModelSpec
from ...models.vocabulary import readable_ids, without_unreadable
from ...scoring.encoding_ahead import EncoderProcesses
from ...system.atomic_files import replaced_durably
from ..kept_checkpoints import FIRST_MOMENT, SECOND_MOMENT, WEIGHT
from ..trainable_model import trainable_model
from .checkpoint_files import CheckpointFiles
from .features import AdamStep, RowGradients, unit
from .gradient_jobs import GRADIENT_RULE, MEANS_FOLDER, VALUES, VALUES_FOLDER, read_values
from .pace import Pace
from .target_features import mean_directions, read_target_rows

log = logging.getLogger("worker")
NO_GRADIENT = "its gradient is zero or not finite"


def compute_gradients(job: Job) -> dict[str, Any]:
    """Compute the values that the job lacks; returns examples, scored, reasons (rows without a value, by reason),
    subtasks (usable target rows by domain), target_reasons, tokens, tokens_per_second, elapsed_seconds and notices.

    Request: as `create_gradient_job` writes it. Raises `JobCancelled`, `NoUsableRows` or `ModelChanged`.
    """
    began = time.monotonic()
    if job.request["rule"] != GRADIENT_RULE:
        raise EncodingOutdated(
            "This was started by another version of the program, which computes gradients differently. Start it again."
        )
    work = _Work(job)
    if not work.finished.all():
        work.run()
    job.clear()
    values, elapsed = read_values(job), time.monotonic() - began
    reasons = dict(Counter(values["reason"].drop_null().to_pylist()))
    if values["value"].null_count == len(values):
        raise NoUsableRows(
            f"None of the {len(values):,} rows has a value ({counted(reasons)}). Choose another dataset."
        )
    return {
        "examples": len(work.examples),
        "scored": len(values) - values["value"].null_count,
        "reasons": reasons,
        "subtasks": work.target.subtasks,
        "target_reasons": work.target.reasons,
        "tokens": work.pace.tokens,
        "elapsed_seconds": elapsed,
        "tokens_per_second": work.pace.tokens / elapsed if work.pace.tokens else None,
        "notices": job.notices,
    }


class _Work:
    """One job's rows and target, and which rows are `finished`."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._device = resolve_device(job.request["device"])
        base = ModelSpec(**job.request["base"])
        self._readable = readable_ids(base, base)
        job.report(Progress("Reading the target"))
        self.target = read_target_rows(job, self._readable, self._check)
        self.examples = ExampleFile(job.folder / "examples.parquet")
        self.finished = np.isin(self.examples.ids, packed_ids(read_values(job)["example_id"]))
        self._files = CheckpointFiles(job.request, self._device)
        self._numbers = range(len(self._files.shares))
        self.pace = Pace(len(self._numbers) * (len(self.target.rows) + len(self.examples)))
        self._loading_seconds = 0.0

    def run(self) -> None:
        self._job.report(Progress("Loading the base model"))
        self._gradients = RowGradients(trainable_model(self._job.request, self._device))
        log.info("gradients of %s weights on %s", f"{self._gradients.size:,}", self._device)
        self.pace.begin()
        for number in self._numbers:
            self._need_means(number)
        self._loaded: tuple[int, AdamStep, torch.Tensor] | None = None
        self.pace.skip(len(self._numbers) * int(self.finished.sum()))
        chunks = (chunk for chunk in self.examples.chunks() if not self.finished[chunk.start : chunk.end].all())
        with EncoderProcesses(self._job, self.examples, encoding_processes(self._device), self._check) as encoders:
            for chunk, encoded in encoders.encoded(chunks, keep=False):
                rows = without_unreadable(encoded, self._readable)
                waiting = np.flatnonzero(~self.finished[chunk.start : chunk.end]).tolist()
                while waiting:
                    block, waiting = waiting[: self.pace.block], waiting[self.pace.block :]
                    self._finish_block(chunk.start + np.array(block), [rows[place] for place in block])

    def _need_means(self, number: int) -> None:
        """Compute the subtasks' mean gradients at a checkpoint, unless an earlier worker has."""
        path = self._means_path(number)
        if path.exists():
            self.pace.skip(len(self.target.rows))
            return
        self._gradients.put(self._files.part(number, WEIGHT))
        phase = f"Gradients of the target at checkpoint {number + 1} of {len(self._numbers)}"
        means, without = mean_directions(self.target, self._gradients, lambda row: self._gradient(row, phase))
        if without:
            self._job.add_notice(
                f"{without:,} target rows have no gradient at checkpoint {number + 1}; their cosines there count as 0."
            )
        path.parent.mkdir(exist_ok=True)
        with replaced_durably(path) as temporary, open(temporary, "wb") as file:
            np.save(file, means.cpu().numpy())

    def _means_path(self, number: int) -> Path:
        return self._job.folder / MEANS_FOLDER / f"{number}.npy"

    def _finish_block(self, places: np.ndarray[Any, Any], rows: Sequence[Encoded]) -> None:
        """Compute the values of some rows, whose places in the file these are, and write them."""
        began, loading = time.monotonic(), self._loading_seconds
        reasons = [row.reason for row in rows]
        sums = np.zeros((len(rows), len(self.target.subtasks)))
        for number in self._numbers:
            step, means = self._checkpoint(number)
            for place, row in enumerate(rows):
                if reasons[place] is not None:
                    self.pace.skip(1)
                    continue
                feature = unit(step(self._gradient(row, "Gradients of the rows")))
                if feature is None:
                    reasons[place] = NO_GRADIENT
                else:
                    sums[place] += self._files.shares[number] * (means @ feature).double().cpu().numpy()
        highest = zip(sums.max(axis=1).tolist(), reasons, strict=True)
        values = [value if reason is None else None for value, reason in highest]
        table = pa.table([id_texts(self.examples.ids[places]), values, reasons], schema=VALUES)
        self._write(table, f"{self._job.job_id}-{places[0]:09d}-{time.time_ns() // 1_000_000:013d}")
        self.finished[places] = True
        self.pace.end_block(len(rows), time.monotonic() - began, self._loading_seconds - loading)

    def _checkpoint(self, number: int) -> tuple[AdamStep, torch.Tensor]:
        """A checkpoint's step and the target's means at it, with its weights in the model."""
        if self._loaded is None or self._loaded[0] != number:
            began = time.monotonic()
            self._loaded = None  # not two at once
            self._gradients.put(self._files.part(number, WEIGHT))
            moments = (self._files.part(number, moment) for moment in (FIRST_MOMENT, SECOND_MOMENT))
            step = AdamStep(*map(self._gradients.flat, moments))
            means = torch.from_numpy(np.load(self._means_path(number)))
            self._loaded = number, step, means.to(self._device)
            self._loading_seconds += time.monotonic() - began
        return self._loaded[1:]

    def _gradient(self, row: Encoded, phase: str) -> torch.Tensor:
        """A row's gradient; before each it is looked whether the job was cancelled."""
        self._check()
        gradient = self._gradients.of(row)
        if progress := self.pace.progress(phase, len(row.input_ids)):
            self._job.report(progress)
        return gradient

    def _write(self, table: pa.Table, name: str) -> None:
        folder = self._job.folder / VALUES_FOLDER
        folder.mkdir(exist_ok=True)
        with replaced_durably(folder / f"{name}.parquet") as path:
            pq.write_table(table, path)

    def _check(self) -> None:
        if self._job.is_cancelled:
            raise JobCancelled(
                "Cancelled between two rows. Finished rows are kept: the same command goes on with the rest."
            )
