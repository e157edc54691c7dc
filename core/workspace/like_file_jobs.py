"""Scores rows by how like those of a file they are, as a job that first embeds the file's rows: created by the store's
owner, run by a worker, ingested when it is done. The command `scores like` does the same and waits for it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ..importing.source_options import SourceOptions
from ..importing.sources import DataFile
from ..importing.target_rows import target_of_files
from ..jobs.example_chunks import Ids, examples_table, id_texts, packed_ids
from ..jobs.job import Job, create_job
from ..jobs.queue import join_or_start
from ..scoring.embeddings.embedding_jobs import (
    check_can_embed,
    dataset_ids,
    embed_command,
    embedding_request,
    missing_ids,
    plan_of_used,
    stored_examples,
)
from ..store import Store
from ..store.embedding_files import read_embeddings
from ..store.store import DATASET_KEY
from ..store.vector_tables import VECTORS, vector_table
from ..system.disk_errors import translate_disk_errors
from .like_jobs import KIND_OF_FILES, MOST_TARGETS, ROWS, check_names
from .like_scores import like_columns, like_names

KIND = KIND_OF_FILES
TARGETS, KNOWN = "targets", "known"


@translate_disk_errors("The search for rows like those of a file")
def begin_like_file(store: Store, run: str, files: Sequence[DataFile], name: str) -> Job:
    """Start or join the job that scores a run's rows by how like those of the files, one target set, they are: the
    scores of `like_names(name)`.

    Raises `SelectionInvalid` for too many rows or for a run that uses vectors from a file, `NameTaken` if its dataset
    has such scores, `NotFound` naming the command if its rows have no embeddings, and as `target_of_files` does.
    """
    check_can_embed(store, run, files[0].name)
    target = target_of_files(files, files[0].name, SourceOptions(), MOST_TARGETS)
    plan = plan_of_used(store, run)
    ids, names = dataset_ids(store, plan.of), like_names(name)
    check_names(store, plan.of, names)
    request: dict[str, Any] = {
        **embedding_request(plan),
        "kind": KIND,
        "dataset": plan.of,
        DATASET_KEY: store.dataset_key(plan.of),
        "columns": like_columns(names, plan.spec, len(ids)),
        "origin": target.name,
        "sha256": target.sha256,
        "targets": len(target.examples),
        "rejected": target.rejected,
    }

    def create() -> Job:
        rows = read_embeddings(store.workspace, plan.spec, ids, embed_command(run, plan.spec)).vectors
        texts = {str(example.example_id): example.to_json() for example in target.examples}
        aims = packed_ids(pa.array(list(texts)))
        missing = missing_ids(store, plan, aims)
        known: Ids = aims[~np.isin(aims, packed_ids(pa.array(missing, pa.string())))]
        found = read_embeddings(store.workspace, plan.spec, known, embed_command(run, plan.spec)).vectors
        examples = {
            "examples": examples_table({each: texts[each] for each in missing}),
            TARGETS: examples_table(texts),
            ROWS: stored_examples(store, id_texts(ids)),
        }
        tables = {VECTORS: vector_table(id_texts(ids), rows), KNOWN: vector_table(id_texts(known), found)}
        return create_job(store.workspace, request, examples, tables)

    return join_or_start(store.workspace, request, create)
