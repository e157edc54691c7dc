"""How well a selection covers the data: the mean cosine of all rows to their nearest selected row, beside what a random
selection of the same size reaches.

This is the facility location value of the selection over all rows, by their number (Lin and Bilmes 2011; for
instruction tuning Bukharin et al., arXiv 2311.14736); cosines below 0 count as 0. It is computed on a sample of the
unique rows that depends on their ids and `SEED` alone, and the sample's cosines are kept, so that an amount that moves
takes a maximum over the selected ones of its rows.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ..data.errors import ModelUnusable, NotFound, StoreUnusable
from ..jobs.example_chunks import packed_ids
from ..store import Store
from ..store.embedding_files import (
    EmbeddingSpec,
    Vectors,
    embedding_folder,
    embeddings_of_run,
    read_embeddings,
    vector_files,
)
from ..store.page_queries import taken
from .budgets import budgets
from .greedy import ONE, whole_numbers
from .ranking import cut, kept_of, ranking
from .recipe import Selection
from .scored_run import ScoredRun, scored_run

SEED = 0
MOST_SAMPLED = 20_000
"""Rows of the sample that can be selected."""
MOST_COVERED = 1_000
"""Of these, evenly spaced, those whose nearest selected row is looked for."""
_KEPT_SAMPLES = 3  # of a store: up to 40 MB each
_BLOCK = 4096
_UNIT = 2**14  # a cosine of 1 in 16 bits


@dataclass(frozen=True, slots=True)
class Coverage:
    """`value`: the mean cosine to the nearest selected row, and `random`: its mean over all selections of as many rows
    of the sample; both None where none of the sample's rows is selected. `selected` of the `sampled` rows are, out of
    `unique_rows`; `covered` of them are looked at. `without_vector`: sampled rows left out, because their embedding is
    empty. `embeddings`: the name of what gave them."""

    value: float | None
    random: float | None
    selected: int
    sampled: int
    covered: int
    without_vector: int
    unique_rows: int
    embeddings: str
    seed: int = SEED


def selection_coverage(store: Store, selection: Selection, run: ScoredRun | None = None) -> Coverage | None:
    """The coverage of what a recipe selects; None without an embedding of every sampled row. `run`: the recipe's run,
    if already loaded. Raises as `select_summary`."""
    run = run or scored_run(store, selection.run)
    try:
        spec = embeddings_of_run(store.run(run.name))
    except ModelUnusable:
        return None
    files = [path.name for path in vector_files(embedding_folder(store.workspace, spec.key))]
    if not files:
        return None
    state = store.table_state(run.table)
    with store.cached_table(_drawn_sql(run.table), [str(SEED)], state) as drawn:
        sample = _kept_sample(store, (run.table, *state, spec.key, *files), lambda: _sample(store, run, spec, drawn))
        if sample is None:
            return None
        with ranking(store, selection, run) as ranked:
            # The sample's rows in the ranking, so that an amount that moves looks at no other.
            there = f"SELECT pool, place, drawn FROM {ranked.table} JOIN {drawn} USING (row_number)"
            with store.cached_table(there, [], []) as few:
                sql, values = kept_of(replace(ranked, table=few), cut(store, ranked, budgets(selection, run.totals)))
                found = store.arrow(f"SELECT DISTINCT drawn FROM ({sql})", values)["drawn"].to_numpy()
    places = sample.place_of_drawn[found]
    places = places[places >= 0]
    sampled, covered = sample.cosines.shape
    value = float(sample.cosines[places].max(axis=0).mean()) / _UNIT if len(places) else None
    random = random_mean(sample.ranked, len(places)) if len(places) else None
    without_vector = len(sample.place_of_drawn) - sampled
    return Coverage(value, random, len(places), sampled, covered, without_vector, sample.unique_rows, spec.label)


def coverage_fields(store: Store, selection: Selection) -> dict[str, Any] | None:
    """The coverage of what a recipe selects as JSON fields; None without embeddings."""
    found = selection_coverage(store, selection)
    return asdict(found) if found else None


def coverage_sentence(fields: dict[str, Any]) -> str:
    """A coverage's JSON fields as one line."""
    of = f"{fields['selected']:,} of {fields['sampled']:,} sampled rows are selected"
    if fields["value"] is None:
        return f"Coverage: none, {of}."
    return f"Coverage {fields['value']:.3f}, as many random rows {fields['random']:.3f} ({of})."


@dataclass(frozen=True, slots=True)
class _Sample:
    """`cosines` [sampled x covered rows, in parts of `_UNIT`], `ranked` [sampled]: the mean over the covered rows of
    their lowest cosine, the second lowest and so on. `place_of_drawn`: which of the sampled rows each one drawn is, -1
    if it has no vector."""

    cosines: NDArray[np.int16]
    ranked: NDArray[np.float64]
    place_of_drawn: NDArray[np.int64]
    unique_rows: int


_samples: "WeakKeyDictionary[Store, OrderedDict[tuple[object, ...], _Sample]]" = WeakKeyDictionary()
_lock = threading.Lock()


def _drawn_sql(table: str) -> str:
    """SQL of the rows that are drawn; `drawn` is the place of their example among those drawn, from 0."""
    return f"""
        WITH lowest AS (
            SELECT example_id, md5(? || ':' || example_id::VARCHAR) AS digest FROM {table}
            GROUP BY example_id ORDER BY digest LIMIT {MOST_SAMPLED}
        )
        SELECT row_number, example_id, dense_rank() OVER (ORDER BY digest) - 1 AS drawn
        FROM {table} JOIN lowest USING (example_id)
    """


def _kept_sample(store: Store, key: tuple[object, ...], make: Callable[[], _Sample | None]) -> _Sample | None:
    """The sample of a key, made once for all who ask; where there is none, it is looked for again."""
    kept = _samples.setdefault(store, OrderedDict())
    if (known := kept.get(key)) is not None:  # without waiting for another one that is being made
        return known
    with taken(_lock):
        if key not in kept:
            if (made := make()) is None:
                return None
            kept[key] = made
            while len(kept) > _KEPT_SAMPLES:
                kept.popitem(last=False)
        kept.move_to_end(key)
        return kept[key]


def _sample(store: Store, run: ScoredRun, spec: EmbeddingSpec, drawn: str) -> _Sample | None:
    """The sample of a run's rows; `drawn`: the table of `_drawn_sql`. None if one of them has no embedding."""
    ids = f"SELECT any_value(example_id)::VARCHAR AS example_id FROM {drawn} GROUP BY drawn ORDER BY drawn"
    unique = store.rows(f"SELECT count(DISTINCT example_id) FROM {run.table}")[0][0]
    # A figure beside others: what is wrong with the embeddings is said where they are asked for.
    with suppress(NotFound, StoreUnusable):
        found = read_embeddings(store.workspace, spec, packed_ids(store.arrow(ids)["example_id"]), "embed")
        places = np.where(found.usable, np.cumsum(found.usable) - 1, -1)
        return _Sample(*sampled_cosines(found.vectors[found.usable]), places, unique)
    return None


def sampled_cosines(vectors: Vectors) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """`cosines` and `ranked` of a sample (`_Sample`); the covered rows stand as densely anywhere in its order."""
    numbers = whole_numbers(vectors)
    step = max(1, -(-len(numbers) // MOST_COVERED))
    covered = numbers[step // 2 :: step].T
    cosines = np.empty((len(numbers), covered.shape[1]), np.int16)
    for start in range(0, len(numbers), _BLOCK):
        products = numbers[start : start + _BLOCK] @ covered
        cosines[start : start + _BLOCK] = np.rint(np.clip(products, 0, ONE) * (_UNIT / ONE))
    return cosines, np.sort(cosines, axis=0, kind="stable").mean(axis=1) / _UNIT


def random_mean(ranked: NDArray[np.float64], count: int) -> float:
    """The mean, over all choices of `count` of n values, of the largest one chosen; `ranked`: the values, lowest first.
    The j-th lowest is the largest in C(j - 1, count - 1) of C(n, count) choices."""
    n = len(ranked)
    ranks = np.arange(n, count, -1)
    shares = count / n * np.concatenate([[1.0], np.cumprod((ranks - count) / (ranks - 1))])
    return float(shares @ ranked[count - 1 :][::-1])
