"""What rows of a run are marked with: flags, groups of near-duplicates, imported columns of 0 and 1, hand picks."""

from collections.abc import Sequence

from ..data.filters import Query
from ..data.loss_roles import is_imported
from ..data.scores import FLAGS, score_named
from ..selection import Pick, ScoredRun
from ..selection.near_search import run_searches
from ..selection.recipe import BY_EMBEDDINGS
from ..store import Store


def row_flags(store: Store, run: ScoredRun, picks: Sequence[Pick]) -> dict[str, Query]:
    """The marks that some row of the run has, by their label: an SQL condition on its scored table."""
    known: dict[str, Query] = {name.replace("_", " ").capitalize(): (name, []) for name in FLAGS}
    known |= _near_duplicates(store, run.name) | _imported(store, run) | _picked(picks)
    conditions = ", ".join(f"coalesce(bool_or({condition}), false)" for condition, _ in known.values())
    values = [value for _, given in known.values() for value in given]
    is_there = store.rows(f"SELECT {conditions} FROM {run.table}", values)[0]
    return {label: flag for (label, flag), there in zip(known.items(), is_there, strict=True) if there}


def flagged(store: Store, run: ScoredRun, flag: Query, row_numbers: Sequence[int]) -> list[bool]:
    """Whether each of these rows has the mark."""
    condition, values = flag
    among = "row_number IN (SELECT unnest(?::BIGINT[]))"
    sql = f"SELECT row_number FROM {run.table} WHERE {among} AND ({condition})"
    found = {number for (number,) in store.rows(sql, [list(row_numbers), *values])}
    return [number in found for number in row_numbers]


def _near_duplicates(store: Store, run: str) -> dict[str, Query]:
    """The newest search of each kind."""
    condition = "example_id IN (SELECT example_id FROM near_duplicate WHERE near_duplicate_set_id = ?)"
    return {
        f"Near-duplicate{' by embeddings' if by == BY_EMBEDDINGS else ''} ({searches[0].threshold:g})": (
            condition,
            [searches[0].near_duplicate_set_id],
        )
        for by, searches in run_searches(store, run).items()
        if searches
    }


def _imported(store: Store, run: ScoredRun) -> dict[str, Query]:
    """The imported scores that have no value but 0 and 1."""
    names = [name for name in run.score_columns if is_imported(name)]
    if not names:
        return {}
    only = ", ".join(f"bool_and({name} IN (0, 1))" for name in names)  # a row without a value does not count
    found = store.rows(f"SELECT {only} FROM {run.table}")[0]
    return {score_named(name).label: (f"{name} = 1", []) for name, is_flag in zip(names, found, strict=True) if is_flag}


def _picked(picks: Sequence[Pick]) -> dict[str, Query]:
    ids = {keep: [pick.example_id for pick in picks if pick.keep is keep] for keep in (True, False)}
    labels = {True: "Always selected by hand", False: "Never selected by hand"}
    return {labels[keep]: ("example_id IN (SELECT unnest(?::UUID[]))", [given]) for keep, given in ids.items() if given}
