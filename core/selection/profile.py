"""Profiles of selections: length, tokens and flags of the selected rows beside those of all data, and how many of them
the same recipe selects by another reference."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..store import Store
from .budgets import budgets
from .decisions import RANKED_FLAGS
from .ranking import cut, kept_of, ranking
from .recipe import ORDERS, Selection
from .scored_run import ScoredRun, scored_run

FLAG_LABELS = {
    "short_response": "short",
    "repetitive": "repetitive",
    "copies_prompt": "copying the prompt",
    "trained_on": "recorded as trained on",
}
"""The flags of a profile, as words of a sentence."""


@dataclass(frozen=True, slots=True)
class FlagShare:
    """Selected rows with a flag, their share of the selected rows (None: nothing is selected), and the share of all
    rows of the data that have it."""

    rows: int
    share: float | None
    data_share: float


@dataclass(frozen=True, slots=True)
class SecondReference:
    """Another run of the same data and base with another reference, and how many of the selected rows the same recipe
    selects there (share None: nothing is selected)."""

    run: str
    rows: int
    share: float | None


@dataclass(frozen=True, slots=True)
class SelectionProfile:
    """`median_tokens` [scored tokens per row] and `token_share` (of the data's scored tokens) are of the selected rows;
    None where nothing is selected or scored. `row_share`: of the data's rows. `flags`: by name, those of
    `FLAG_LABELS`. `second_reference`: None where there is no such run, or the order does not depend on it."""

    median_tokens: float | None
    data_median_tokens: float | None
    row_share: float
    token_share: float | None
    flags: Mapping[str, FlagShare]
    second_reference: SecondReference | None

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields."""
        return asdict(self)


def selection_profile(
    store: Store, selection: Selection, run: ScoredRun | None = None, *, with_second: bool = True
) -> SelectionProfile:
    """The profile of what a recipe selects. `run`: the recipe's run, if already loaded. `with_second`: with what a
    second reference selects, which takes longest, since that run is ranked too. Raises as `select_summary`."""
    run = run or scored_run(store, selection.run)
    counts = ", ".join(f"count_if({flag})" for flag in RANKED_FLAGS)
    with ranking(store, selection, run) as ranked:
        sql, values = kept_of(ranked, cut(store, ranked, budgets(selection, run.totals)))
        measures = f"count(*), sum(token_count)::BIGINT, median(token_count), {counts}"
        rows, tokens, median, *flagged = store.rows(f"SELECT {measures} FROM ({sql})", values)[0]
        second = _second_reference(store, selection, run, (sql, values), rows) if with_second else None
    measures = f"count(*), sum(token_count)::BIGINT, median(token_count) FILTER (token_count > 0), {counts}"
    all_rows, all_tokens, data_median, *data_flagged = store.rows(f"SELECT {measures} FROM {run.table}")[0]
    of_flags = {
        flag: FlagShare(count, _share(count, rows), data_count / all_rows)
        for flag, count, data_count in zip(RANKED_FLAGS, flagged, data_flagged, strict=True)
    }
    return SelectionProfile(
        median,
        data_median,
        rows / all_rows,
        (tokens or 0) / all_tokens if all_tokens else None,
        of_flags,
        second,
    )


def selected_by_second(store: Store, selection: Selection, run: ScoredRun) -> SecondReference | None:
    """What the run with another reference selects by the same recipe (`SelectionProfile.second_reference`)."""
    with ranking(store, selection, run) as ranked:
        cuts = cut(store, ranked, budgets(selection, run.totals))
        rows = sum(each.kept.rows for each in cuts.values())
        return _second_reference(store, selection, run, kept_of(ranked, cuts), rows)


def profile_sentence(fields: Mapping[str, Any]) -> str:
    """A profile's JSON fields (`to_fields`) as one line."""
    parts = [
        f"Selected {_percent(fields['row_share'])} of the rows with {_percent(fields['token_share'])} of the tokens",
        f"median response {_tokens(fields['median_tokens'])} tokens (data {_tokens(fields['data_median_tokens'])})",
    ]
    for flag, found in fields["flags"].items():
        parts.append(f"{FLAG_LABELS[flag]} {_percent(found['share'])} (data {_percent(found['data_share'])})")
    if second := fields["second_reference"]:
        parts.append(f"run {second['run']!r} selects {_percent(second['share'])} of these rows by the same recipe")
    return "; ".join(parts) + "."


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _tokens(count: float | None) -> str:
    return "-" if count is None else f"{count:,.0f}"


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _second_reference(
    store: Store, selection: Selection, run: ScoredRun, kept: tuple[str, list[Any]], rows: int
) -> SecondReference | None:
    """The last scored run with another reference and the same base, data and domains."""
    roles = selection.roles
    if not ORDERS[selection.order].by_score or "reference" not in roles:
        return None
    names = store.rows(
        """
        SELECT other.name FROM run JOIN run other USING (dataset_id)
        JOIN run_loss b ON b.run_id = run.run_id AND b.role = 'base'
        JOIN run_loss r ON r.run_id = run.run_id AND r.role = 'reference'
        JOIN run_loss ob ON ob.run_id = other.run_id AND ob.role = 'base' AND ob.loss_set_id = b.loss_set_id
        JOIN run_loss o ON o.run_id = other.run_id AND o.role = 'reference' AND o.loss_set_id <> r.loss_set_id
        WHERE run.name = ? ORDER BY other.created_at DESC, other.run_id DESC
        """,
        [run.name],
    )
    others = (scored_run(store, str(name)) for (name,) in names)
    comparable = (each for each in others if set(roles) <= set(each.roles) and each.totals.keys() == run.totals.keys())
    if (other := next(comparable, None)) is None:
        return None
    there = replace(selection, run=other.name)
    with ranking(store, there, other) as ranked:
        sql, values = kept_of(ranked, cut(store, ranked, budgets(there, other.totals)))
        ids = "SELECT row_number FROM"
        count = f"SELECT count(*) FROM ({ids} ({kept[0]})) JOIN ({ids} ({sql})) USING (row_number)"
        shared = int(store.rows(count, [*kept[1], *values])[0][0])
    return SecondReference(other.name, shared, _share(shared, rows))
