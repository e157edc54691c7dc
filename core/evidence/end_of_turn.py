"""The end-of-turn token: its part of what fine-tuning gained, and whether rows rank alike without it."""

import pandas as pd

from ..data.reader import Reader
from ..exploring.rank_correlation import rank_correlations


def end_of_turn(store: Reader, table: str) -> pd.DataFrame:
    """The part of the tokens that end a reply in the scores of a run.

    First over all rows (`overall`), then by domain; empty for losses of versions that did not keep those of these
    tokens. Columns: overall, domain, rows (with both learnabilities), end_share (of the nats gained on these rows, the
    part gained on tokens that end a reply; NULL where nothing was gained) and spearman (learnability with and without
    these tokens).
    """
    columns = "domain, learnability, learnability_without_end"
    gains = "base_nll_sum - reference_nll_sum AS gain, base_end_nll_sum - reference_end_nll_sum AS end_gain"
    both = "learnability IS NOT NULL AND learnability_without_end IS NOT NULL"
    rows = f"SELECT {columns}, {gains} FROM {table} WHERE {both}"
    found = store.frame(
        f"""
        SELECT grouping(domain) = 1 AS overall, coalesce(domain, '') AS domain, count(*) AS rows,
            CASE WHEN sum(gain) > 0 THEN sum(end_gain) / sum(gain) END AS end_share
        FROM ({rows}) GROUP BY GROUPING SETS ((), (domain)) HAVING count(*) > 0 ORDER BY overall DESC, 2
        """
    )
    ranks = rank_correlations(store, (rows, []), "learnability", ["learnability_without_end"], table)
    ranks = ranks.rename(columns={"spearman_learnability_without_end": "spearman"})
    return found.merge(ranks[["overall", "domain", "spearman"]], on=["overall", "domain"], how="left")


def end_sentence(found: pd.DataFrame) -> str | None:
    """What `end_of_turn` shows of all rows, and of the ranking within domains; None if nothing was measured."""
    if found.empty:
        return None
    share = found.loc[found["overall"], "end_share"].iloc[0]
    gained = "Fine-tuning gained nothing" if pd.isna(share) else f"The end-of-turn token has {share:.0%} of the gain"
    ranks = found.loc[~found["overall"], "spearman"].dropna()
    if ranks.empty:
        return f"{gained}."
    low, high = f"{ranks.min():.2f}", f"{ranks.max():.2f}"
    figures = low if low == high else f"{low} to {high}"
    return f"{gained}; Spearman of learnability with and without it is {figures} within domains."
