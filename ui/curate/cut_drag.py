"""The score distribution with its cut-offs, which can be dragged: a dragged cut-off sets an amount."""

from collections.abc import Mapping
from dataclasses import replace

import streamlit as st

from core.data.errors import UserError
from core.data.filters import RowFilter
from core.exploring.distributions import histogram
from core.selection import ORDERS, Amount, ScoredRun, Selection, Summary, amount_at_cut
from core.selection.budgets import POOL
from core.store import Store
from ui.charts import axis_title
from ui.curate.amount_form import put_amount
from ui.kit.chart_frame import show_numbers
from ui.kit.cut_chart import MOST_DOMAINS, Cuts, cut_chart
from ui.shell.session import remember, remembered

_DRAGGED = "cut_dragged"


def show_cut_drag(
    store: Store,
    run: ScoredRun,
    selection: Selection,
    summary: Summary,
    row_filter: RowFilter,
    colours: Mapping[str, str],
    key: str = "cut_chart",
) -> None:
    """The score histogram of the rows that pass the filter, of each domain that has a colour, with each cut-off as a
    line to drag."""
    colours = dict(list(colours.items())[:MOST_DOMAINS])
    counted = histogram(store, run.table, selection.score, row_filter, domains=list(colours))
    pooled = selection.scope == "pooled"

    def set_amount(domain: str, score: float) -> None:
        pool = POOL if pooled else domain
        kind = selection.domain_amounts.get(domain, selection.amount).kind
        try:
            amount = amount_at_cut(store, selection, run, pool, score, kind)
        except UserError:
            return  # what is wrong with the recipe is shown by the page that reruns now
        remember(_DRAGGED, remembered(_DRAGGED, {}) | {pool: (score, amount, _ranking_of(selection))})
        put_amount(None if pooled else domain, amount)

    with st.container(key=f"{key}_frame", gap="small"):
        if selection.has_score_cut:
            fixed = bool(selection.weights)
            cuts = Cuts(_shown_cuts(selection, summary), selection.order, pooled, fixed)
        else:
            cuts = Cuts({}, fixed=True)
        cut_chart(counted, cuts, colours, axis_title(selection.score), key, set_amount)
        st.caption(cut_note(selection))
        show_numbers(counted.bins, key, "cut", picture=False)


def cut_note(selection: Selection) -> str:
    """What the lines of the chart mean, and how they move."""
    if selection.length_bands > 1:
        return "There is no cut-off: rows are ranked within length bands."
    if selection.spread:
        return "There is no cut-off: the best rows are ordered so that they differ."
    if not selection.has_score_cut:
        return f"There is no cut-off, because the order '{ORDERS[selection.order].label}' does not use the score."
    side = "left" if selection.order == "lowest" else "right"
    if selection.weights:
        return f"Rows to the {side} of a line are selected. The domain weights decide where it stands."
    moves = "all domains" if selection.scope == "pooled" else "its domain"
    return (
        f"Drag a line, or focus it and use the arrow keys, to set the amount of {moves}. Rows to its {side} are "
        "selected. Bars: rows that pass the filters above; each domain has its own height scale."
    )


def _shown_cuts(selection: Selection, summary: Summary) -> dict[str, float]:
    """The score at each domain's cut-off. A line that was dragged stays where it was released while the amount is
    still the one that it set, although the last selected row may have a better score."""
    dragged = remembered(_DRAGGED, {})
    shown: dict[str, float] = {}
    for pool in summary.pools:
        score, amount, ranking = dragged.get(pool.pool, (0.0, None, None))
        if amount == _amount_of(selection, pool.pool) and ranking == _ranking_of(selection):
            shown[pool.pool] = score
        elif pool.cut_value is not None:
            shown[pool.pool] = pool.cut_value
    if selection.scope == "pooled":
        return dict.fromkeys(summary.domains["domain"], shown[POOL]) if shown else {}
    return shown


def _amount_of(selection: Selection, pool: str) -> Amount | None:
    return selection.amount if selection.scope == "pooled" else selection.domain_amounts.get(pool)


def _ranking_of(selection: Selection) -> Selection:
    """The recipe without its amounts."""
    return replace(selection, amount=Amount("rows", 0), domain_amounts={}, weights={})
