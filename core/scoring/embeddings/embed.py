"""A worker's embedding job: a job's examples in, files of vectors out, every few seconds.

A worker that is started again computes only what is in no file yet.
"""

import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...data import settings
from ...data.errors import EncodingOutdated, JobCancelled
from ...encoding.encoding_spec import EncodingSpec
from ...engine.embedding_engine import BatchVectors, EmbeddingEngine, RowEmbedder
from ...engine.loss_engine import EngineOptions
from ...jobs.example_chunks import Chunk, ExampleFile
from ...jobs.job import Job
from ...jobs.job_progress import Progress
from ...models.devices import batch_budget, encoding_processes, resolve_device
from ...models.loading import load_model
from ...models.resolving import ModelSpec
from ...models.sentence_folders import check_sentence_library
from ...models.unchanged_files import unchanged_model, unchanged_sentence_model
from ...models.vocabulary import readable_ids, without_unreadable
from ...store.embedding_files import EmbeddingSpec, ids_in, write_vectors
from ..encoding_ahead import EncoderProcesses
from ..job_choice import choice_of_job
from ..job_spread import load_for
from .embedding_jobs import EMBEDDED, embedding_model
from .projection import Matrix, projection, unit_vectors
from .row_text import TextEncoding
from .sentence_rows import SentenceEmbedder

log = logging.getLogger("worker")

Encoded = Generator[tuple[Chunk, Sequence[Any]], None, None]
"""Chunks with their rows, as a model takes them."""


def embed(job: Job) -> dict[str, Any]:
    """Compute the vectors that the job lacks; returns examples, tokens, elapsed_seconds and tokens_per_second.

    Request: base (ModelSpec fields) and encoding, or sentence_model (ModelSpec fields); embeddings (`EmbeddingSpec`
    fields), device, dtype. Raises `JobCancelled`, `ModelUnusable`, `ModelChanged`, or `SettingInvalid` without the
    library of sentence models.
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


class _Embedder(Protocol):
    """A loaded model that gives rows vectors of a `width`. A row with a `reason` has none; of other rows `token_count`
    may be known."""

    width: int

    def encoded(self, examples: ExampleFile, chunks: Iterable[Chunk]) -> Encoded: ...

    def vectors(self, rows: Sequence[Any], wanted: Sequence[int]) -> Iterator[BatchVectors]: ...


class _BaseEmbedder:
    """The base: rows are encoded as for losses. `check` is called regularly and may raise."""

    def __init__(self, job: Job, base: ModelSpec, device: str, check: Callable[[], None]) -> None:
        self._job, self._base, self._device, self._check = job, base, device, check
        model = load_for(job, load_model, base, device)
        engine = EmbeddingEngine(model, EngineOptions(choice=choice_of_job(job, model)), base.adapter is None)
        log.info("rows: %s", "packed, prefix sharing" if engine.packs else "padded batches")
        self._rows = RowEmbedder(engine, batch_budget(device), log.info)
        self.width = engine.width()

    def encoded(self, examples: ExampleFile, chunks: Iterable[Chunk]) -> Encoded:
        """Each chunk with its rows, in order."""
        readable = readable_ids(self._base, self._base)
        with EncoderProcesses(self._job, examples, encoding_processes(self._device), self._check) as encoders:
            for chunk, rows in encoders.encoded(chunks, keep=False):
                yield chunk, without_unreadable(rows, readable)

    def vectors(self, rows: Sequence[Any], wanted: Sequence[int]) -> Iterator[BatchVectors]:
        """Vectors of the `wanted` rows, by their index, batch by batch."""
        return self._rows.vectors(rows, wanted)


class _Work:
    """One job's examples, and which of them are `finished`."""

    def __init__(self, job: Job) -> None:
        self.job, self.request = job, job.request
        self.model = embedding_model(self.request)
        self.spec = EmbeddingSpec(**self.request["embeddings"])
        self.texts = TextEncoding.from_key(self.spec.encoding) if self.spec.is_of_sentence_model else None
        if self.texts is None and self.model.fingerprint(self.request["dtype"]) != self.spec.model:
            raise EncodingOutdated(
                "This was started by another version of the program, which computes embeddings differently. Start it "
                "again."
            )
        self.examples = ExampleFile(job.folder / "examples.parquet")
        self.finished = np.isin(self.examples.ids, ids_in(job.folder / EMBEDDED, self.spec.key))
        self.tokens = 0
        self._began = time.monotonic()
        self._name = "base" if self.texts is None else "sentence"
        if self.texts is None:
            encoding = EncodingSpec(**self.request["encoding"])
            self._models = unchanged_model(self.model, encoding.tokenizer_fingerprint)
        else:
            self._models = unchanged_sentence_model(self.model)

    def run(self) -> None:
        device = resolve_device(self.request["device"])
        self._report(f"Loading the {self._name} model")
        self._models.check()
        embedder = self._loaded(device)
        log.info("%s: %s on %s in %s", self._name, self.model.label, device, self.request["dtype"])
        matrix = projection(embedder.width, self.spec.dimensions, self.spec.seed)
        self._began = time.monotonic()
        chunks = (chunk for chunk in self.examples.chunks() if not self.finished[chunk.start : chunk.end].all())
        with closing(embedder.encoded(self.examples, chunks)) as encoded:
            for chunk, rows in encoded:
                self._embed_chunk(chunk, rows, embedder, matrix)
        log.info("computed %s examples, %s tokens", f"{len(self.examples):,}", f"{self.tokens:,}")

    def _loaded(self, device: str) -> _Embedder:
        if self.texts is None:
            return _BaseEmbedder(self.job, self.model, device, self._check)
        check_sentence_library()
        from ...models.sentence_loading import load_sentence_model  # an extra, which takes seconds to import

        model = load_sentence_model(self.model, self.texts.dtype, device, self.texts.max_length)
        return SentenceEmbedder(
            model, self.model.label, self.texts.max_length, batch_budget(device), log.info, self._check
        )

    def _embed_chunk(self, chunk: Chunk, encoded: Sequence[Any], embedder: _Embedder, matrix: Matrix) -> None:
        """Embed a chunk's waiting rows; those that have no vector, such as empty ones, get zeros."""
        waiting = np.flatnonzero(~self.finished[chunk.start : chunk.end]).tolist()
        counts = None if self.texts is None else np.array([row.token_count for row in encoded], np.int32)
        without = [row for row in waiting if encoded[row].reason is not None]
        width = min(embedder.width, self.spec.dimensions)
        rows, vectors = without, [np.zeros((len(without), width), np.float16)]
        due = time.monotonic() + settings.number("shard_seconds")
        for batch in embedder.vectors(encoded, [row for row in waiting if encoded[row].reason is None]):
            rows, vectors = [*rows, *batch.rows], [*vectors, unit_vectors(batch.vectors, matrix)]
            self.tokens += batch.tokens
            if time.monotonic() >= due:
                self._write(chunk, rows, vectors, counts)
                rows, vectors, due = [], [], time.monotonic() + settings.number("shard_seconds")
            self._check()
        if rows:
            self._write(chunk, rows, vectors, counts)

    def _write(
        self,
        chunk: Chunk,
        rows: Sequence[int],
        vectors: Sequence[NDArray[np.float16]],
        counts: NDArray[np.int32] | None,
    ) -> None:
        self._models.check()
        places = chunk.start + np.array(rows)
        prefix = f"{self.job.job_id}-{time.time_ns() // 1_000_000:013d}"
        ids = self.examples.ids[places]
        tokens = None if counts is None else counts[np.array(rows)]
        write_vectors(self.job.folder / EMBEDDED, prefix, self.spec.key, ids, np.concatenate(vectors), tokens)
        self.finished[places] = True
        self._report(f"Embedding with the {self._name} model")

    def _report(self, phase: str) -> None:
        elapsed = time.monotonic() - self._began
        speed = self.tokens / elapsed if elapsed > 0 and self.tokens else None
        done = int(self.finished.sum())
        self.job.report(Progress(phase, done, len(self.finished), "rows", speed, None, elapsed))

    def _check(self) -> None:
        if self.job.is_cancelled:
            done, total = int(self.finished.sum()), len(self.finished)
            raise JobCancelled(f"Cancelled at {done:,} of {total:,} rows; their embeddings are kept.")
