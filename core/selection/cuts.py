"""Cuts: the amount that selects exactly the rows at or beyond a score, so that a cut is saved as any other amount."""

from ..data.errors import SelectionInvalid
from ..store import Store
from .budgets import POOL, allowed_totals, ratio_of_rows
from .ranking import ranking
from .recipe import AMOUNT_KINDS, ORDERS, Amount, Selection
from .scored_run import ScoredRun


def amount_at_cut(
    store: Store, selection: Selection, run: ScoredRun, pool: str, score: float, kind: str = "ratio"
) -> Amount:
    """The amount of `pool` (a domain, or `POOL` in the pooled scope) that selects its eligible rows whose score is
    `score` or better, and those picked by hand. Rows with equal scores are on the same side of such a cut. The reverse
    is `PoolSummary.cut_value`, the score of the last of these rows.

    `kind`: the amount's unit. A ratio has the fewest decimals that give this number of rows. The recipe's own amounts
    have no effect. Raises `SelectionInvalid` for an unknown pool or unit, and for a recipe without a score at its
    cut-off, and as `ranking` does.
    """
    if not selection.has_score_cut:
        raise SelectionInvalid(f"The order '{ORDERS[selection.order].label}' with these settings has no score cut-off.")
    if kind not in AMOUNT_KINDS:
        raise SelectionInvalid(f"Unknown amount {kind!r}. Must be one of: {', '.join(AMOUNT_KINDS)}.")
    beyond = "<=" if selection.order == "lowest" else ">="
    with ranking(store, selection, run) as ranked:
        if pool not in ranked.pools:
            raise SelectionInvalid(f"There is no domain {pool!r} with a cut-off of its own.")
        sql = f"""
            SELECT count(*), coalesce(sum(token_count), 0)::BIGINT FROM {ranked.table}
            WHERE pool = ? AND (picked OR value {beyond} ?::DOUBLE)
        """
        rows, tokens = store.rows(sql, [ranked.pools[pool].number, score])[0]
    if kind != "ratio":
        return Amount(kind, rows if kind == "rows" else tokens)
    totals = allowed_totals(selection, run.totals)
    whole = sum(size for size, _ in totals.values()) if pool == POOL and ranked.pooled else run.totals[pool][0]
    return ratio_of_rows(rows, whole)
