"""A scoring process: passes over a job's examples, chunk by chunk, until all losses are computed."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from ..data.encoded import Encoded
from ..data.errors import JobCancelled
from ..encoding.encoding_spec import EncodingSpec
from ..engine.loss_engine import EngineOptions, LossEngine
from ..engine.response_loss import ResponseScorer, measure_noise
from ..jobs.example_chunks import CHUNK_ROWS, Chunk, id_texts
from ..jobs.job import Job
from ..models.devices import batch_budget, encoding_processes
from ..models.loading import load_model, load_with_base
from ..models.resolving import ModelSpec
from ..models.unchanged_files import unchanged_model
from ..models.vocabulary import readable_ids, without_unreadable
from .encoding_ahead import EncoderProcesses
from .job_choice import choice_of_job
from .job_spread import load_for
from .leases import Lease, take_lease
from .loss_shards import ShardWriter
from .noise_files import noise_file, write_noise
from .passes import Pass, keep_apart
from .progress import ProcessTally

log = logging.getLogger("worker")


class BaseNotKept(Exception):
    """Disabling the reference's adapter does not restore the base's losses: each model needs its own pass."""


_LEAST_CHUNK_ROWS = 256
_CHUNKS_A_PROCESS = 8
_WAIT_SECONDS = 0.2
"""Interval for checking chunks that other processes work on."""


class ScoringProcess:
    """A process of a job: alone, or one of `count` that share the job's chunks by leases.

    `report` receives progress; `check` is called between batches and raises to stop; `engines` keeps those of the last
    pass for the next process that is given it.
    """

    def __init__(
        self,
        job: Job,
        passes: list[Pass],
        device: str,
        report: Callable[[ProcessTally], None],
        number: int = 0,
        count: int = 1,
        check: Callable[[], None] = lambda: None,
        engines: dict[Any, list[LossEngine]] | None = None,
    ) -> None:
        self._job, self._passes, self._device, self._report = job, passes, device, report
        self._number, self._count, self._also_check = number, count, check
        self._engines = {} if engines is None else engines
        self._leases: dict[Chunk, Lease] = {}
        self._tally = ProcessTally()
        self._began = time.monotonic()

    def run(self) -> int:
        """Run until all rows are scored, here or by other processes; returns tokens.

        Raises `BaseNotKept`, before computing anything and after recording it for the job, if the passes must be
        planned again.
        """
        while True:
            left = [index for index, one in enumerate(self._passes) if self._missing(one)]
            if not left:
                return self._tally.tokens
            before = self._tally.rows
            for index in left:
                self._make(index)
            if self._tally.rows == before:
                self._check(self._passes[left[0]])
                time.sleep(_WAIT_SECONDS)

    def _missing(self, one: Pass) -> bool:
        one.refresh()
        return bool(one.waiting_rows().any())

    def _make(self, index: int) -> None:
        """One pass over the free chunks."""
        one = self._passes[index]
        check_models, dtype = self._models_check(one), self._job.request["dtype"]
        check_models()  # before a chunk is leased
        chunks = self._free_chunks(one)
        first = next(chunks, None)
        if first is None:
            return
        self._tally = ProcessTally(index, f"Loading {one.models}", tokens=self._tally.tokens)
        self._report(self._tally)
        writers = [
            ShardWriter(self._job, side.role, self._number, check_models, side.spec.fingerprint(dtype))
            for side in one.sides
        ]
        ahead = encoding_processes(self._device)
        with EncoderProcesses(self._job, one.examples, ahead, lambda: self._check(one)) as encoders:
            try:
                engines = self._loaded(one)
            except BaseException:
                self._leases.popitem()[1].release()
                raise
            scorer = ResponseScorer(engines, batch_budget(self._device), log.info)
            readable = readable_ids(ModelSpec(**self._job.request["base"]), *(side.spec for side in one.sides))
            for chunk, rows in encoders.encoded(chain([first], chunks), one.keeps):
                encoded = without_unreadable(rows, readable)
                try:
                    self._measure_noise(one, engines, encoded)
                    self._score_chunk(one, chunk, encoded, scorer, writers)
                finally:
                    try:
                        for writer in writers:
                            writer.flush()
                    finally:
                        self._leases.pop(chunk).release()
        for side in one.sides:
            log.info(
                "%s: computed %s examples, %s tokens", side.role, f"{self._tally.rows:,}",
                f"{self._tally.pass_tokens // len(one.sides):,}",
            )  # fmt: skip

    def _models_check(self, one: Pass) -> Callable[[], None]:
        """A function that raises `ModelChanged` if a model of the pass, or the tokenizer, is not the planned one: it is
        called before the models are loaded and before each shard is written."""
        request = self._job.request
        base, encoding = ModelSpec(**request["base"]), EncodingSpec(**request["encoding"])
        models = [*(unchanged_model(side.spec) for side in one.sides)]
        models.append(unchanged_model(base, encoding.tokenizer_fingerprint))

        def check() -> None:
            for model in models:
                model.check()

        return check

    def _free_chunks(self, one: Pass) -> Iterator[Chunk]:
        """Chunks with rows to compute, each leased before use."""
        rows = len(one.examples) // (self._count * _CHUNKS_A_PROCESS) if self._count > 1 else CHUNK_ROWS
        for chunk in one.examples.chunks(min(CHUNK_ROWS, max(_LEAST_CHUNK_ROWS, rows))):
            if not one.waiting_rows()[chunk.start : chunk.end].any():
                continue
            lease = take_lease(self._job.folder / "leases", f"{one.name}-{chunk.name}")
            if lease is None:
                continue
            one.refresh()  # its previous holder may have finished part of it
            if one.waiting_rows()[chunk.start : chunk.end].any():
                self._leases[chunk] = lease
                yield chunk
            else:
                lease.release()

    def _loaded(self, one: Pass) -> list[LossEngine]:
        """The pass's engines, loaded unless they are those of the pass before; its other ones give way first."""
        key = (tuple(side.spec for side in one.sides), self._job.request["dtype"], self._device)
        if key not in self._engines:
            self._engines.clear()
            self._engines[key] = self._load(one)
        return self._engines[key]

    def _load(self, one: Pass) -> list[LossEngine]:
        """Load the pass's models on shared weights."""
        dtype = self._job.request["dtype"]
        if len(one.sides) > 1:
            model, gives_base = load_for(self._job, load_with_base, one.loaded, self._device)
            if not gives_base:
                keep_apart(self._job)
                raise BaseNotKept
        else:
            model = load_for(self._job, load_model, one.loaded, self._device)
        options = EngineOptions(choice=choice_of_job(self._job, model))
        engines = [LossEngine(model, options, side.spec.adapter is None) for side in one.sides]
        for side, engine in zip(one.sides, engines, strict=True):
            quantized = f", quantized to {side.spec.quantization}" if side.spec.quantization else ""
            log.info("%s: %s on %s in %s%s", side.role, side.spec.label, self._device, dtype, quantized)
            log.info("%s: %s", side.role, engine.path)
        if self._device == "cpu":
            log.info("engine: %s", engines[0].choice.sentence)
        if len(one.sides) > 1:
            log.info("both models share weights: every batch runs with the adapter and without")
        return engines

    def _measure_noise(self, one: Pass, engines: Sequence[LossEngine], encoded: Sequence[Encoded]) -> None:
        for side, engine in zip(one.sides, engines, strict=True):
            if not noise_file(self._job, side.role).exists():
                noise = measure_noise(engine, encoded)
                write_noise(self._job, side.role, noise)
                log.info("%s: noise floor %.1e nats per token", side.role, noise)

    def _score_chunk(
        self, one: Pass, chunk: Chunk, encoded: list[Encoded], scorer: ResponseScorer, writers: list[ShardWriter]
    ) -> None:
        """Compute a chunk's waiting rows; losses that one of two models already has are not written again."""
        ids = id_texts(one.examples.ids[chunk.start : chunk.end])
        waiting = [side.waiting(chunk.start, chunk.end) for side in one.sides]
        rows = np.flatnonzero(np.logical_or.reduce(waiting)).tolist()
        items = [encoded[row] for row in rows]

        def add(row: int, nll_sums: Sequence[float | None], end_sums: Sequence[float | None]) -> None:
            for side, asked, writer, nll_sum, end_sum in zip(
                one.sides, waiting, writers, nll_sums, end_sums, strict=True
            ):
                if asked[row]:
                    writer.add(ids[row], nll_sum, end_sum, encoded[row])
                    side.finished.mask[chunk.start + row] = True

        for row, item in zip(rows, items, strict=True):
            if item.reason is not None:
                add(row, [None] * len(one.sides), [None] * len(one.sides))
        self._begin_chunk(one, items)
        for batch in scorer.losses(items):
            for place, row in enumerate(batch.rows):
                add(
                    rows[row],
                    [float(sums[place]) for sums in batch.by_engine],
                    [float(sums[place]) for sums in batch.ends_by_engine],
                )
            self._advance(len(batch.rows), batch.tokens * len(one.sides))
            for writer in writers:
                writer.flush_if_due()
            self._check(one)

    def _begin_chunk(self, one: Pass, items: Sequence[Encoded]) -> None:
        tally, usable = self._tally, [len(item.input_ids) for item in items if item.reason is None]
        if not tally.rows:
            tally.phase, self._began = f"Scoring with {one.models}", time.monotonic()
        tally.rows += len(items) - len(usable)
        tally.ahead_rows, tally.ahead_tokens = len(usable), sum(usable) * len(one.sides)
        tally.tokens_a_row = tally.ahead_tokens / len(items)

    def _advance(self, rows: int, tokens: int) -> None:
        tally = self._tally
        tally.rows += rows
        tally.ahead_rows -= rows
        tally.ahead_tokens -= tokens
        tally.pass_tokens += tokens
        tally.tokens += tokens
        tally.elapsed_seconds = time.monotonic() - self._began
        self._report(tally)

    def _check(self, one: Pass) -> None:
        """Raise to stop this process early."""
        if self._job.is_cancelled:
            done, total = one.count()
            raise JobCancelled(f"Cancelled at {done:,} of {total:,} rows of {one.models}.")
        self._also_check()
