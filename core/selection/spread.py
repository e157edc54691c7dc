"""The order of a recipe with a spread: the best rows of each pool, chosen so that they differ (`greedy`) or in turns of
their clusters (`cluster_turns`), and then the others as they rank. An amount cuts this order like any other."""

import shlex
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ..data.errors import SelectionInvalid
from ..data.version import COMMAND
from ..jobs.example_chunks import packed_ids
from ..store import Store
from ..store.embedding_files import Vectors, embeddings_of_run, read_embeddings
from .cluster_turns import cluster_order
from .decisions import ranked_rows
from .greedy import greedy_order
from .recipe import CLUSTERS, Selection, Spread
from .scored_run import ScoredRun

_MOST_IN_ALL = 20_000
"""Of all pools together."""


def with_embeddings(store: Store, selection: Selection) -> Selection:
    """A recipe with the key of the embeddings by which it spreads rows now, to be saved; others stay as they are."""
    if selection.spread is None:
        return selection
    key = embeddings_of_run(store.run(selection.run)).key
    return replace(selection, spread=replace(selection.spread, embeddings=key))


def spread_rows(store: Store, selection: Selection, run: ScoredRun, near_set: int | None) -> list[int]:
    """Row numbers of the candidates of all pools, each pool's in the order of choice; empty without a spread.

    Raises `NotFound`, naming the command, if the run's rows have no embeddings, and `SelectionInvalid` for too many
    candidates, or if the recipe was saved with other embeddings than the run has now.
    """
    spread = selection.spread
    if spread is None:
        return []
    spec = embeddings_of_run(store.run(run.name))
    if spread.embeddings not in ("", spec.key):
        raise SelectionInvalid(
            f"This recipe spreads rows by other embeddings than those of {spec.label!r}, which the run {run.name!r} "
            "has now, and would select other rows. Bring its own back (embed --run, or embed --from), or save it again."
        )
    ranked, values = ranked_rows(replace(selection, spread=None), run.table, list(run.totals), near_set)
    sql = f"""
        SELECT pool, row_number, picked, t.example_id::VARCHAR AS example_id
        FROM ({ranked}) JOIN (SELECT row_number, example_id FROM {run.table}) t USING (row_number)
        WHERE rank <= {spread.candidates:d} ORDER BY pool, rank
    """

    def order(rows: pa.Table) -> pd.DataFrame:
        if rows.num_rows > _MOST_IN_ALL:
            raise SelectionInvalid(
                f"The spread has {rows.num_rows:,} candidates in all domains together. Give at most "
                f"{_MOST_IN_ALL // max(1, len(run.totals)):,} candidates, or rank all domains together."
            )
        if spread.method == CLUSTERS and spread.clusters > rows.num_rows:
            raise SelectionInvalid(
                f"{spread.clusters:,} clusters were requested of {rows.num_rows:,} rows. Give at most as many clusters "
                "as rows."
            )
        command = f"{COMMAND} embed --run {shlex.quote(run.name)}{spec.options}"
        vectors = read_embeddings(store.workspace, spec, packed_ids(rows["example_id"]), command).vectors
        pools, picked = rows["pool"].to_numpy(), rows["picked"].to_numpy()
        found = [np.zeros(0, np.int64)]
        for pool in np.unique(pools):
            mine = np.flatnonzero(pools == pool)
            chosen = _order(spread, vectors[mine], int(picked[mine].sum()))
            found.append(rows["row_number"].to_numpy()[mine[chosen]])
        return pd.DataFrame({"row_number": np.concatenate(found)})

    kind = f"{spread!r} {spec.key}"
    return [int(row) for row in store.derived(kind, sql, values, order)["row_number"].tolist()]


def _order(spread: Spread, vectors: Vectors, given: int) -> NDArray[np.int64]:
    """The order of one pool's candidates, the first `given` of which are picked by hand."""
    if spread.method == CLUSTERS:
        return cluster_order(vectors, spread.clusters, spread.quota, given)
    return greedy_order(spread.method, vectors, spread.weight, given)
