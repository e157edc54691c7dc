"""A worker's embedding job: a job's examples in, files of vectors out, every few seconds.

A worker that is started again computes only what is in no file yet.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data import settings
from ...data.encoded import Encoded
from ...data.errors import EncodingOutdated, JobCancelled
from ...encoding.encoding_spec import EncodingSpec
from ...engine.embedding_engine import EmbeddingEngine, RowEmbedder
from ...engine.loss_engine import EngineOptions
from ...jobs.example_chunks import Chunk, ExampleFile
from ...jobs.job import Job
from ...jobs.job_progress import Progress
from ...models.devices import batch_budget, encoding_processes, resolve_device
from ...models.loading import load_model
from ...models.resolving import ModelSpec
from ...models.unchanged_files import unchanged_model
from ...models.vocabulary import readable_ids, without_unreadable
from ...store.embedding_files import EmbeddingSpec, ids_in, write_vectors
from ..encoding_ahead import EncoderProcesses
from ..job_choice import choice_of_job
from .embedding_jobs import EMBEDDED
from .projection import Matrix, projection, unit_vectors

log = logging.getLogger("worker")


def embed(job: Job) -> dict[str, Any]:
    """Compute the vectors that the job lacks; returns examples, tokens, elapsed_seconds and tokens_per_second.

    Request: base (ModelSpec fields), encoding, embeddings (`EmbeddingSpec` fields), device, dtype. Raises
    `JobCancelled`, `ModelUnusable` or `ModelChanged`.
    """
    began = time.monotonic()
    work = _Work(job)
    if not work.finished.all():
        work.run()
    job.clear()
    elapsed = time.monotonic() - began
    return {
        "examples": len(work.examples),
        "tokens": work.tokens,
        "elapsed_seconds": elapsed,
        "tokens_per_second": work.tokens / elapsed if work.tokens else None,
        "notices": job.notices,
    }


class _Work:
    """One job's examples, and which of them are `finished`."""

    def __init__(self, job: Job) -> None:
        self.job, self.request = job, job.request
        self.base, self.encoding = ModelSpec(**self.request["base"]), EncodingSpec(**self.request["encoding"])
        self.spec = EmbeddingSpec(**self.request["embeddings"])
        if self.base.fingerprint(self.request["dtype"]) != self.spec.model:
            raise EncodingOutdated(
                "This was started by another version of the program, which computes embeddings differently. Start it "
                "again."
            )
        self.examples = ExampleFile(job.folder / "examples.parquet")
        self.finished = np.isin(self.examples.ids, ids_in(job.folder / EMBEDDED, self.spec.key))
        self.tokens = 0
        self._began = time.monotonic()
        self._models = unchanged_model(self.base, self.encoding.tokenizer_fingerprint)

    def run(self) -> None:
        device = resolve_device(self.request["device"])
        self._report("Loading the base model")
        self._models.check()
        model = load_model(self.base, self.request["dtype"], device)
        engine = EmbeddingEngine(model, EngineOptions(choice=choice_of_job(self.job, model)), self.base.adapter is None)
        log.info("base: %s on %s in %s", self.base.label, device, self.request["dtype"])
        log.info("rows: %s", "packed, prefix sharing" if engine.packs else "padded batches")
        embedder = RowEmbedder(engine, batch_budget(device), log.info)
        width = engine.width()
        matrix = projection(width, self.spec.dimensions, self.spec.seed)
        self._began = time.monotonic()
        ahead, readable = encoding_processes(device), readable_ids(self.base, self.base)
        with EncoderProcesses(self.job, self.examples, ahead, self._check) as encoders:
            chunks = (chunk for chunk in self.examples.chunks() if not self.finished[chunk.start : chunk.end].all())
            for chunk, rows in encoders.encoded(chunks, keep=False):
                self._embed_chunk(
                    chunk, without_unreadable(rows, readable), embedder, matrix, min(width, self.spec.dimensions)
                )
        log.info("computed %s examples, %s tokens", f"{len(self.examples):,}", f"{self.tokens:,}")

    def _embed_chunk(
        self, chunk: Chunk, encoded: Sequence[Encoded], embedder: RowEmbedder, matrix: Matrix, width: int
    ) -> None:
        """Embed a chunk's waiting rows; those that have no loss, such as empty ones, get zeros."""
        waiting = np.flatnonzero(~self.finished[chunk.start : chunk.end]).tolist()
        without = [row for row in waiting if encoded[row].reason is not None]
        rows, vectors = without, [np.zeros((len(without), width), np.float16)]
        due = time.monotonic() + settings.number("shard_seconds")
        for batch in embedder.vectors(encoded, [row for row in waiting if encoded[row].reason is None]):
            rows, vectors = [*rows, *batch.rows], [*vectors, unit_vectors(batch.vectors, matrix)]
            self.tokens += batch.tokens
            if time.monotonic() >= due:
                self._write(chunk, rows, vectors)
                rows, vectors, due = [], [], time.monotonic() + settings.number("shard_seconds")
            self._check()
        if rows:
            self._write(chunk, rows, vectors)

    def _write(self, chunk: Chunk, rows: Sequence[int], vectors: Sequence[NDArray[np.float16]]) -> None:
        self._models.check()
        places = chunk.start + np.array(rows)
        prefix = f"{self.job.job_id}-{time.time_ns() // 1_000_000:013d}"
        ids = self.examples.ids[places]
        write_vectors(self.job.folder / EMBEDDED, prefix, self.spec.key, ids, np.concatenate(vectors))
        self.finished[places] = True
        self._report("Embedding with the base model")

    def _report(self, phase: str) -> None:
        elapsed = time.monotonic() - self._began
        speed = self.tokens / elapsed if elapsed > 0 and self.tokens else None
        done = int(self.finished.sum())
        self.job.report(Progress(phase, done, len(self.finished), "rows", speed, None, elapsed))

    def _check(self) -> None:
        if self.job.is_cancelled:
            done, total = int(self.finished.sum()), len(self.finished)
            raise JobCancelled(f"Cancelled at {done:,} of {total:,} rows; their embeddings are kept.")
