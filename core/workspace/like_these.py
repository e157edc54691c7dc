"""Scores rows by how like a target set they are: its rows are embedded as the run's are, and the similarities become
scores of the run's dataset, as imported ones are."""

from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from ..importing.reading import plain_stem
from ..importing.source_options import SourceOptions
from ..importing.target_rows import TargetRows, read_target
from ..jobs.example_chunks import examples_table, id_texts, packed_ids
from ..scoring.embeddings.embedding_jobs import (
    EmbeddingPlan,
    check_can_embed,
    dataset_ids,
    embed_command,
    plan_of_used,
    stored_examples,
)
from ..scoring.embeddings.likeness import likeness
from ..store import ImportedScore, ScoreOrigin, Store
from ..store.embedding_files import MOST_DIMENSIONS, Embeddings, read_embeddings
from .embedding import embed
from .like_scores import like_columns, like_names, like_notices, like_table
from .running import Wait
from .score_imports import save_scores
from .target_copies import copies_of_targets


@dataclass(frozen=True, slots=True)
class LikeRequest:
    """A person's request. `name`: of the scores, like_NAME and so on, by default from the file's name. `dimensions`
    and `seed`: as the run was embedded with, of its base's embeddings."""

    run: str
    target: str
    name: str | None = None
    options: SourceOptions = field(default_factory=SourceOptions)
    replace: bool = False
    device: str = "auto"
    dimensions: int = MOST_DIMENSIONS
    seed: int = 0


def score_like(store: Store, request: LikeRequest, wait: Wait) -> tuple[list[ImportedScore], dict[str, Any]]:
    """Add the scores of a target set to a run's dataset: like_NAME (round robin), like_NAME_max (the highest cosine),
    like_NAME_copy (1 for rows that nearly repeat a target's row).

    Returns them, and fields: targets, rejected (by reason), copies (rows of the dataset), notices. Raises `NotFound`
    naming the command if the run's rows have no embeddings, `SelectionInvalid` if it uses vectors from a file, and as
    `read_target` and `save_imported_scores` do.
    """
    check_can_embed(store, request.run, request.target)
    plan = plan_of_used(store, request.run, request.device, request.dimensions, request.seed)
    names = like_names(request.name or plain_stem(request.target.rstrip("/").rsplit("/", 1)[-1]))
    ids = dataset_ids(store, plan.of)
    command = embed_command(request.run, plan.spec)
    rows = read_embeddings(store.workspace, plan.spec, ids, command)
    target = read_target(request.target, request.options)
    targets = _embedded(store, plan, target, command, wait)
    found = likeness(rows, targets)
    copies = copies_of_targets(stored_examples(store, id_texts(ids)), ids, found.nearest, target.examples)
    origin = ScoreOrigin(target.name, target.sha256, "example-id", like_columns(names, plan.spec, len(ids)))
    table = like_table(id_texts(ids), names, found, copies)
    saved = save_scores(store, plan.of, origin, table, request.replace)
    fields = {
        "targets": len(target.examples),
        "rejected": target.rejected,
        "copies": _copied_rows(store, plan.of, table, names[2]),
        "notices": list(like_notices(targets, found, target.rejected)),
    }
    return saved, fields


def _embedded(store: Store, plan: EmbeddingPlan, target: TargetRows, command: str, wait: Wait) -> Embeddings:
    """The target's embeddings, computed where they are missing."""
    texts = {str(example.example_id): example.to_json() for example in target.examples}
    ids = packed_ids(pa.array(list(texts)))

    def examples(missing: list[str]) -> pa.Table:
        return examples_table({example_id: texts[example_id] for example_id in missing})

    embed(store, replace(plan, of=target.name, run=None), ids, examples, wait)
    return read_embeddings(store.workspace, plan.spec, ids, command)


def _copied_rows(store: Store, dataset: str, table: pa.Table, name: str) -> int:
    sql = f"""
        SELECT count(*) FROM dataset_row JOIN given ON given.key = dataset_row.example_id::VARCHAR
        WHERE dataset_id = ? AND {name} = 1
    """
    return int(store.arrow(sql, [store.dataset_id(dataset)], given=table)[0][0].as_py())
