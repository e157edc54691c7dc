"""The rows that an arm of a trial trains on: the selection's, and those of controls with as many tokens.

Held-out rows are never among them. The caller gives their ids, those of their near-duplicates included.
"""

from collections.abc import Collection
from dataclasses import replace
from functools import partial

from ..data.errors import TrialInvalid
from ..data.filters import Query
from ..exporting.controls import CONTROLS, control_selection
from ..selection import Amount, Pick, Selection, kept_rows, matched_control, row_decisions, scored_run, select_summary
from ..store import Store
from .arm_kinds import ARMS
from .trial import Arm, TrialPlan

_BINS = 10


def arm_rows(
    store: Store, plan: TrialPlan, arm: Arm, ratio: float | None, draw: int, held_out: Collection[str]
) -> list[str]:
    """The example ids of an arm's rows in dataset order; `draw` (from 1) seeds random kinds.

    Controls have the selection's tokens to within one row, by domain where their kind says so; length-matched rows have
    its number of rows in each decile of length. Raises `TrialInvalid` for an arm trained elsewhere or without rows, and
    as `select_summary` does.
    """
    if not ARMS[arm.kind].trained:
        raise TrialInvalid(f"The models of the arm {arm.name} were trained elsewhere, so it has no rows here.")
    without = partial(_without, held_out=held_out)
    if arm.kind == "all":
        everything = Selection(plan.run, score="base_loss", scope="pooled", amount=Amount("ratio", 1.0))
        sql, values = kept_rows(store, without(everything))
    else:
        selection = without(at_ratio(plan.recipe_of(arm), ratio))
        sql, values = _selected(store, selection, arm.kind, draw)
    rows = store.rows(f"SELECT example_id::VARCHAR FROM ({sql}) ORDER BY row_number", values)
    found = [example_id for (example_id,) in rows]
    if not found:
        raise TrialInvalid(f"The arm {arm.name} has no rows. Increase its selection's amount or relax its filters.")
    return found


def _selected(store: Store, selection: Selection, kind: str, draw: int) -> Query:
    """The rows of a selection, or of its control of a kind."""
    if kind == "selection":
        return kept_rows(store, selection)
    if kind == "length-matched-random":
        return _length_matched(store, selection, draw)
    control = CONTROLS[kind]
    summary = select_summary(store, selection)
    return kept_rows(store, control_selection(store, selection, summary, control, draw if control.seeded else None))


def at_ratio(recipe: Selection, ratio: float | None) -> Selection:
    """A recipe at one of a trial's ratios: the same share of every domain, or its own amount."""
    return recipe if ratio is None else replace(recipe, amount=Amount("ratio", ratio), domain_amounts={})


def _without(recipe: Selection, held_out: Collection[str]) -> Selection:
    """The recipe with the held-out rows excluded by hand, even those it had picked."""
    excluded = [Pick(example_id, keep=False, note="held out") for example_id in sorted(set(held_out))]
    ids = {pick.example_id for pick in excluded}
    return replace(recipe, picks=(*(pick for pick in recipe.picks if pick.example_id not in ids), *excluded))


def _length_matched(store: Store, selection: Selection, seed: int) -> Query:
    """Random rows with as many as the selection in each domain and decile of its response lengths [scored tokens], as
    far as there are. Rows of equal length are in one decile; deciles are of all scored rows of the domain."""
    selected, selected_values = kept_rows(store, selection)
    control = replace(matched_control(selection, select_summary(store, selection), "random"), seed=seed)
    ranked, ranked_values = row_decisions(store, control)
    sql = f"""
        WITH binned AS (
            SELECT row_number, least({_BINS} - 1, floor({_BINS} * percent_rank() OVER lengths)) AS bin
            FROM {scored_run(store, selection.run).table} WHERE token_count > 0
            WINDOW lengths AS (PARTITION BY domain ORDER BY token_count)
        ),
        wanted AS (SELECT domain, bin, count(*) AS rows FROM ({selected}) JOIN binned USING (row_number) GROUP BY ALL),
        drawn AS (
            SELECT row_number, example_id, domain, bin, row_number() OVER by_chance AS nth
            FROM ({ranked}) JOIN binned USING (row_number) WHERE rank IS NOT NULL
            WINDOW by_chance AS (PARTITION BY domain, bin ORDER BY rank)
        )
        SELECT row_number, example_id FROM drawn JOIN wanted USING (domain, bin) WHERE nth <= rows
    """
    return sql, [*selected_values, *ranked_values]
