"""Scores rows by how like some of their own dataset they are, as a job: created by the store's owner, run by a worker,
ingested when it is done. The scores are those of `like_these`, whose target set is a file."""

import hashlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..data.errors import (
    NameTaken,
    NotFound,
    NoUsableRows,
    SelectionInvalid,
    SourceUnreadable,
)
from ..data.examples import Example
from ..jobs.example_chunks import EXAMPLES_SCHEMA, id_texts, packed_ids
from ..jobs.job import Job, all_jobs, create_job, unfinished
from ..jobs.queue import join_or_start
from ..jobs.result_tables import read_result_table, write_result_table
from ..scoring.embeddings.embedding_jobs import dataset_ids, embed_command, stored_examples
from ..scoring.embeddings.likeness import likeness
from ..store import ScoreOrigin, Store, imported_scores
from ..store.embedding_files import Embeddings, embeddings_of_run, read_embeddings
from ..store.store import DATASET_KEY
from ..store.vector_tables import VECTORS, read_vector_table, vector_table
from ..system.disk_errors import translate_disk_errors
from .like_scores import like_columns, like_names, like_notices, like_table
from .score_imports import save_scores
from .target_copies import copies_of_targets

KIND, KIND_OF_FILES = "like", "like_file"
RESULT = "scores.parquet"
MOST_TARGETS = 1_000
ROWS = "rows"
"""Name of a job's file with the dataset's examples."""
_CANCELLED = "The search for rows like these was cancelled; nothing was saved."


@translate_disk_errors("The search for rows like these")
def begin_like(store: Store, run: str, example_ids: Sequence[str], name: str) -> Job:
    """Start or join the job that scores a run's rows by how like these they are: the scores of `like_names(name)`.

    Raises `SelectionInvalid` for no row or too many, `NoUsableRows` if the dataset has none of them, `NameTaken` if it
    has such scores, and `NotFound` naming the command if its rows have no embeddings.
    """
    found = store.run(run)
    dataset, spec = str(found["dataset"]), embeddings_of_run(found)
    ids = dataset_ids(store, dataset)
    targets = sorted(set(example_ids) & set(id_texts(ids)))
    names = like_names(name)
    _check(store, dataset, example_ids, targets, names)
    request = {
        "kind": KIND,
        "dataset": dataset,
        DATASET_KEY: store.dataset_key(dataset),
        "embeddings": spec.key,
        "columns": like_columns(names, spec, len(ids)),
        "origin": f"{len(targets):,} rows of the dataset",
        "targets": targets,
        "sha256": hashlib.sha256("\n".join(targets).encode()).hexdigest(),
    }

    def create() -> Job:
        vectors = read_embeddings(store.workspace, spec, ids, embed_command(run, spec)).vectors
        if not vectors[np.isin(ids, packed_ids(pa.array(targets, pa.string())))].any():
            raise NoUsableRows("None of these rows has an embedding (no token of a reply). Pick others.")
        examples = {ROWS: stored_examples(store, id_texts(ids))}
        return create_job(
            store.workspace, request, examples, {VECTORS: vector_table(id_texts(ids), vectors)}, loads_models=False
        )

    return join_or_start(store.workspace, request, create)


def _check(store: Store, dataset: str, given: Sequence[str], targets: Sequence[str], names: Sequence[str]) -> None:
    if not given:
        raise SelectionInvalid("No rows were chosen. Pick some by hand, or filter the table.")
    if len(given) > MOST_TARGETS:
        raise SelectionInvalid(f"More than {MOST_TARGETS:,} rows were chosen. Pick fewer, or filter the table further.")
    if not targets:
        raise NoUsableRows(f"None of these rows is in the dataset {dataset!r}. Pick some of its rows.")
    check_names(store, dataset, names)


def check_names(store: Store, dataset: str, names: Sequence[str]) -> None:
    """Raise `NameTaken` if a dataset has one of these scores."""
    if taken := {score.name for score in imported_scores(store, dataset)} & set(names):
        raise NameTaken(f"The dataset {dataset!r} has a score {min(taken)} already. Choose another name.")


def open_like_job(store: Store, dataset: str) -> Job | None:
    """The running or interrupted job that scores a dataset's rows so, or by the rows of a file, if there is one."""
    jobs = all_jobs(store.workspace)
    found = (unfinished(jobs, {"kind": kind, "dataset": dataset}) for kind in (KIND, KIND_OF_FILES))
    return next((job for job in found if job), None)


def score_rows(job: Job) -> dict[str, Any]:
    """A worker's likeness: write `RESULT`; returns targets, copies (other unique rows that nearly repeat a target's),
    notices and elapsed_seconds. Raises `JobCancelled`."""
    began = time.monotonic()
    example_ids, vectors = read_vector_table(job.folder)
    ids = packed_ids(example_ids)
    at = np.searchsorted(ids, packed_ids(pa.array(job.request["targets"], pa.string())))
    targets = Embeddings(ids[at], vectors[at])
    texts = _conversations(_rows_file(job), set(job.request["targets"]))
    copies, notices = write_scores(job, targets, [texts[each] for each in id_texts(targets.ids)])
    return {
        "targets": len(at),
        "copies": int(copies.sum() - copies[at].sum()),
        "notices": notices,
        "elapsed_seconds": time.monotonic() - began,
    }


def write_scores(job: Job, targets: Embeddings, texts: Sequence[Example]) -> tuple[NDArray[np.bool_], list[str]]:
    """Compare the job's rows with the targets, whose `texts` are in the same order, and write `RESULT`; returns which
    rows nearly repeat a target, and what a person should know. Raises `JobCancelled`."""
    example_ids, vectors = read_vector_table(job.folder)
    ids = packed_ids(example_ids)
    found = likeness(
        Embeddings(ids, vectors), targets, lambda share: job.report_share("Comparing embeddings", share, _CANCELLED)
    )
    batches = _rows_file(job).iter_batches(columns=EXAMPLES_SCHEMA.names[:2])
    copies = copies_of_targets(batches, ids, found.nearest, texts)
    table = like_table(example_ids.to_pylist(), list(job.request["columns"]), found, copies)
    write_result_table(job, RESULT, table)
    return copies, list(like_notices(targets, found, job.request.get("rejected")))


def _rows_file(job: Job) -> pq.ParquetFile:
    return pq.ParquetFile(job.folder / f"{ROWS}.parquet")


def ingest_like(store: Store, job: Job) -> None:
    """Save the scores of a finished job; idempotent. Raises `NotFound` if the dataset is gone or another one has its
    name, `NameTaken`, or `JobIncomplete` if the result has not arrived."""
    request = job.request
    store.check_same_dataset(request["dataset"], request[DATASET_KEY])
    table = read_result_table(job, RESULT)
    origin = ScoreOrigin(request["origin"], request["sha256"], "example-id", request["columns"])
    try:
        save_scores(store, request["dataset"], origin, table)
    except SourceUnreadable as error:  # its rows were removed: not to be tried again and again
        raise NotFound(str(error)) from error
    for name in (ROWS, VECTORS):  # all texts and vectors once more
        (job.folder / f"{name}.parquet").unlink(missing_ok=True)


def _conversations(file: pq.ParquetFile, wanted: set[str]) -> dict[str, Example]:
    found = {}
    for batch in file.iter_batches(columns=EXAMPLES_SCHEMA.names[:2]):
        for example_id, text in zip(batch["example_id"].to_pylist(), batch["conversation"].to_pylist(), strict=True):
            if example_id in wanted:
                found[example_id] = Example.from_json(text)
    return found
