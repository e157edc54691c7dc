"""A worker's job of responses: a job's examples in, files of responses out, every few seconds.

A worker that is started again generates only what is in no file yet.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...data import settings
from ...data.encoded import Encoded
from ...data.errors import EncodingOutdated, JobCancelled
from ...encoding.encode import PROMPT_FILLS_LENGTH
from ...encoding.encoding_spec import EncodingSpec
from ...engine.batch_budget import BatchBudget
from ...jobs.example_chunks import Chunk, ExampleFile, id_texts, packed_ids
from ...jobs.job import Job
from ...jobs.job_progress import Progress
from ...models.devices import encoding_processes, resolve_device
from ...models.loading import load_model, load_tokenizer
from ...models.resolving import ModelSpec
from ...models.unchanged_files import unchanged_model
from ...models.vocabulary import readable_ids, without_unreadable
from ...system.atomic_files import replaced_durably
from ..encoding_ahead import EncoderProcesses
from .response_generator import ResponseGenerator, row_numbers
from .response_jobs import (
    NOT_ENCODED,
    PROMPT_TOO_LONG,
    RESPONSES,
    RESPONSES_FOLDER,
    SAMPLING_RULE,
    Sampling,
    finished_ids,
)
from .response_text import ResponseText

log = logging.getLogger("worker")


def generate(job: Job) -> dict[str, Any]:
    """Generate the responses that the job lacks; returns examples, generated (responses, by this worker), tokens (new
    ones), elapsed_seconds, tokens_per_second and notices.

    Request: as `create_generation_job` writes it. Raises `JobCancelled`, `ModelUnusable` or `ModelChanged`.
    """
    began = time.monotonic()
    if job.request["rule"] != SAMPLING_RULE:
        raise EncodingOutdated(
            "This was started by another version of the program, which draws other responses. Start it again."
        )
    work = _Work(job)
    if not work.finished.all():
        work.run()
    job.clear()
    elapsed = time.monotonic() - began
    return {
        "examples": len(work.examples),
        "generated": work.generated,
        "tokens": work.tokens,
        "elapsed_seconds": elapsed,
        "tokens_per_second": work.tokens / elapsed if work.tokens else None,
        "notices": job.notices,
    }


@dataclass(frozen=True, slots=True)
class _Batch:
    """New tokens of some rows, by their index in the chunk."""

    rows: tuple[int, ...]
    tokens: list[list[int]]


class _Work:
    """One job's examples, and which of them are `finished`."""

    def __init__(self, job: Job) -> None:
        self.job, self.request = job, job.request
        self.base, self.encoding = ModelSpec(**self.request["base"]), EncodingSpec(**self.request["encoding"])
        self.sampling = Sampling(**self.request["sampling"])
        self.examples = ExampleFile(job.folder / "examples.parquet")
        self.finished = np.isin(self.examples.ids, finished_ids(job))
        self.generated = self.tokens = 0
        self._began = time.monotonic()
        self._models = unchanged_model(self.base, self.encoding.tokenizer_fingerprint)

    def run(self) -> None:
        device = resolve_device(self.request["device"])
        self.job.report(Progress("Loading the base model"))
        self._models.check()
        model = load_model(self.base, self.request["dtype"], device)
        self._generator = ResponseGenerator(model, self.sampling, self._check)
        if not self._generator.pads:
            self.job.add_notice("The base reads padding, so only prompts of one length are in a batch. It is slower.")
        tokenizer = load_tokenizer(self.base, self.encoding.tokenizer_fingerprint)
        self._text = ResponseText(tokenizer, self.encoding, self._generator.end_ids)
        self._budget = BatchBudget(self.request["batch_tokens"], log.info)
        log.info("base: %s on %s in %s; %s", self.base.label, device, self.request["dtype"], self.sampling.sentence())
        self._began = time.monotonic()
        ahead, readable = encoding_processes(device), readable_ids(self.base, self.base)
        with EncoderProcesses(self.job, self.examples, ahead, self._check) as encoders:
            chunks = (chunk for chunk in self.examples.chunks() if not self.finished[chunk.start : chunk.end].all())
            for chunk, rows in encoders.encoded(chunks, keep=False):
                self._answer_chunk(chunk, without_unreadable(rows, readable))
        log.info("generated %s responses, %s tokens", f"{self.generated:,}", f"{self.tokens:,}")

    def _answer_chunk(self, chunk: Chunk, encoded: Sequence[Encoded]) -> None:
        ids = id_texts(self.examples.ids[chunk.start : chunk.end])
        waiting = np.flatnonzero(~self.finished[chunk.start : chunk.end]).tolist()
        why = {row: self._why_not(encoded[row]) for row in waiting}
        lines: list[list[Any]] = [[ids[row], None, None, None, *reason] for row, reason in why.items() if reason]
        rows = [row for row in waiting if not why[row]]
        due = time.monotonic() + settings.number("shard_seconds")
        for batch in self._budget.computed(
            encoded, rows, lambda left, budget: self._batches(encoded, ids, left, budget)
        ):
            for row, tokens in zip(batch.rows, batch.tokens, strict=True):
                text, is_cut = self._text.read(_prompt(encoded[row]).tolist(), tokens)
                lines.append([ids[row], text, len(tokens), is_cut, None, None])
            self.generated += len(batch.rows)
            self.tokens += sum(map(len, batch.tokens))
            if time.monotonic() >= due:
                self._write(chunk, lines)
                lines, due = [], time.monotonic() + settings.number("shard_seconds")
            self._report(len(lines))
        if lines:
            self._write(chunk, lines)
            self._report(0)

    def _why_not(self, row: Encoded) -> tuple[str, str] | None:
        """Reason and detail why a row gets no response."""
        if row.reason == PROMPT_FILLS_LENGTH:
            return PROMPT_TOO_LONG, f"at least {self.encoding.max_length:,} tokens"
        if row.reason is not None:
            return NOT_ENCODED, row.reason
        length = len(_prompt(row))
        if length + self.sampling.max_new_tokens > self.encoding.max_length:
            return PROMPT_TOO_LONG, f"{length:,} tokens, and {self.sampling.max_new_tokens:,} new ones"
        return None

    def _batches(
        self, encoded: Sequence[Encoded], ids: Sequence[str], rows: Sequence[int], budget: int
    ) -> Iterator[_Batch]:
        """The rows' responses, in batches of up to so many tokens; prompts of like length share one."""
        most = self.sampling.max_new_tokens
        prompts = {row: _prompt(encoded[row]) for row in rows}
        for batch in batches_by_length({row: len(prompts[row]) for row in rows}, most, budget, self._generator.pads):
            numbers = None
            if not self.sampling.is_greedy:
                numbers = np.stack([row_numbers(self.sampling.seed, ids[row], most) for row in batch])
            yield _Batch(
                tuple(batch),
                self._generator.tokens([prompts[row] for row in batch], numbers, self._text.end_ids),
            )

    def _write(self, chunk: Chunk, lines: list[list[Any]]) -> None:
        self._models.check()
        table = pa.table([list(column) for column in zip(*lines, strict=True)], schema=RESPONSES)
        folder = self.job.folder / RESPONSES_FOLDER
        folder.mkdir(exist_ok=True)
        name = f"{self.job.job_id}-{chunk.start:09d}-{time.time_ns():019d}.parquet"
        with replaced_durably(folder / name) as path:
            pq.write_table(table, path)
        of_chunk = slice(chunk.start, chunk.end)
        self.finished[of_chunk] |= np.isin(self.examples.ids[of_chunk], packed_ids(table["example_id"]))

    def _report(self, unwritten: int) -> None:
        elapsed, done = time.monotonic() - self._began, int(self.finished.sum()) + unwritten
        speed, left = None, None
        if self.generated:
            speed, left = self.tokens / elapsed, (len(self.finished) - done) * elapsed / self.generated
        self.job.report(Progress("Generating responses", done, len(self.finished), "rows", speed, left, elapsed))

    def _check(self) -> None:
        if self.job.is_cancelled:
            done, total = int(self.finished.sum()), len(self.finished)
            raise JobCancelled(f"Cancelled at {done:,} of {total:,} rows; their responses are kept.")


def _prompt(row: Encoded) -> NDArray[np.int32]:
    """What stands before the last reply, its header included."""
    return row.input_ids[: int(row.scored.argmax())]


def batches_by_length(lengths: dict[int, int], new_tokens: int, budget: int, pads: bool) -> Iterator[list[int]]:
    """Rows in batches, shortest prompts first: padded prompts and new tokens of a batch are at most `budget` [tokens],
    unless one row alone is more. Without `pads`, prompts of a batch have one length."""
    batch: list[int] = []
    for row in sorted(lengths, key=lambda row: (lengths[row], row)):
        is_full = (len(batch) + 1) * (lengths[row] + new_tokens) > budget
        if batch and (is_full or (not pads and lengths[row] != lengths[batch[0]])):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
