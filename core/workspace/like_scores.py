"""What the likeness of rows to a target set becomes: the names of its scores, their table, and what a person should
know of them."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..data.listing import counted
from ..importing.score_files import score_name
from ..scoring.embeddings.likeness import Likeness
from ..store.embedding_files import Embeddings, EmbeddingSpec


def like_names(given: str) -> list[str]:
    """The names of the scores: round-robin order, highest cosine, nearly a target's row."""
    return [score_name(f"like_{given}", room=len("_copy")) + ending for ending in ("", "_max", "_copy")]


def like_columns(names: Sequence[str], spec: EmbeddingSpec, rows: int) -> dict[str, str]:
    """Where each score comes from, as the table of scores and manifests say it."""
    of = f"of {rows:,} unique rows, embedded with {spec.label} ({spec.key[:12]}, seed {spec.seed})"
    what = ("RDS+ round-robin order", "highest cosine to a target", "nearly a target")
    return {name: f"{each} {of}" for name, each in zip(names, what, strict=True)}


def like_table(ids: Sequence[str], names: Sequence[str], found: Likeness, copies: NDArray[np.bool_]) -> pa.Table:
    """The scores of the rows, by `key`, their id."""
    values = (found.order, found.highest, copies.astype(np.float64))
    columns = [pa.array(each, pa.float64(), from_pandas=True) for each in values]
    return pa.table([pa.array(ids, pa.string()), *columns], ["key", *names])


def like_notices(targets: Embeddings, found: Likeness, rejected: Mapping[str, int] | None = None) -> Iterator[str]:
    """What a person should know of the scores, a sentence each. `rejected`: records of the target, by reason."""
    if rejected:
        yield f"Records of the target that were skipped: {counted(rejected)}."
    if without := int((~targets.usable).sum()):
        yield f"{without:,} rows of the target have no embedding (no token of a reply) and are not looked for."
    if len(targets.ids) == 1:
        yield "The target has one row: both scores rank by the likeness to that row alone."
    seen = found.highest[np.isfinite(found.highest)]
    if len(seen) > 1 and float(seen.max() - seen.min()) < 1e-6:
        yield "All rows are equally like the target, so their order is that of their ids and says nothing."
