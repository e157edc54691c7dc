"""Memory: how much of what models gained on rows they were trained on is missing where they never saw the row."""

import pandas as pd

from ..data.filters import Query
from ..data.listing import first_sentences
from ..data.reader import Reader
from ..exploring.rank_correlation import rank_correlations

TOP_SHARE = 0.1
"""The top that is looked at for rows that were trained on."""


def memory_by_domain(store: Reader, table: str) -> pd.DataFrame:
    """Learnability under models that saw a row (own) beside that under models that did not (cross-fitted).

    First over all rows (`overall`), then by domain; empty if the run has no own losses. Columns: overall, domain, rows
    (that have both), own_q25, own, own_q75 and cross_q25, cross_fitted, cross_q75 (quartiles, median between them), gap
    (median of own minus cross-fitted), memory_share (the part of the nats gained on own rows that is missing on unseen
    ones, 1 - sum of unseen gains / sum of own gains; NULL where nothing was gained) and spearman (own against
    cross-fitted).
    """
    sql, values = _rows_with_both(table)
    quartiles = ", ".join(
        f"quantile_cont({column}, {share}) AS {name}"
        for column, names in (
            ("own_learnability", ("own_q25", "own", "own_q75")),
            ("learnability", ("cross_q25", "cross_fitted", "cross_q75")),
        )
        for name, share in zip(names, (0.25, 0.5, 0.75), strict=True)
    )
    own_gain = "sum(base_nll_sum - own_nll_sum)"
    found = store.frame(
        f"""
        SELECT grouping(domain) = 1 AS overall, coalesce(domain, '') AS domain, count(*) AS rows, {quartiles},
            median(own_learnability - learnability) AS gap,
            CASE WHEN {own_gain} > 0 THEN sum(reference_nll_sum - own_nll_sum) / {own_gain} END AS memory_share
        FROM ({sql}) GROUP BY GROUPING SETS ((), (domain)) HAVING count(*) > 0 ORDER BY overall DESC, 2
        """,
        values,
    )
    ranks = rank_correlations(store, (sql, values), "own_learnability", ["learnability"], table)
    ranks = ranks.rename(columns={"spearman_learnability": "spearman"})
    return found.merge(ranks[["overall", "domain", "spearman"]], on=["overall", "domain"], how="left")


def trained_in_top(store: Reader, table: str, share: float = TOP_SHARE) -> pd.DataFrame:
    """How many of the top rows by learnability the reference was trained on, against how many of all rows.

    First over all rows (`overall`, ranked together), then by domain. Columns: overall, domain, rows (with a score),
    trained_share, top (rows in the top share, at least one) and trained_top_share.
    """
    both = [_in_top(store, table, share, by_domain) for by_domain in (False, True)]
    return pd.concat(both, ignore_index=True)


def memory_sentences(by_domain: pd.DataFrame) -> list[str]:
    """What `memory_by_domain` shows, one sentence a domain, of the first ones; NULL shares are said in words."""
    found = [
        f"{name}: models that saw a row removed {own:.0%} of its base loss (median), models that did not "
        f"{unseen:.0%}; {_of_gain(share)}."
        for name, own, unseen, share in by_domain.loc[
            ~by_domain["overall"], ["domain", "own", "cross_fitted", "memory_share"]
        ].itertuples(index=False)
    ]
    return first_sentences(found, "domains")


def in_sample_sentence(top: pd.DataFrame) -> str | None:
    """Whether the top of an in-sample run is made of rows that its reference saw; None where all or no rows were."""
    overall = top[top["overall"]]
    if overall.empty or not 0 < (trained := float(overall["trained_share"].iloc[0])) < 1:
        return None
    in_top = float(overall["trained_top_share"].iloc[0])
    which = f"{trained:.0%} of the rows with a score"
    return f"The reference was trained on {which}, and on {in_top:.0%} of the top {TOP_SHARE:.0%} of them."


def _in_top(store: Reader, table: str, share: float, by_domain: bool) -> pd.DataFrame:
    part = "domain" if by_domain else "''"
    return store.frame(
        f"""
        WITH ranked AS (
            SELECT {part} AS part, trained_on::INTEGER AS trained, row_number() OVER by_score AS place,
                greatest(1, round(? * count(*) OVER (PARTITION BY part))) AS places
            FROM {table} WHERE learnability IS NOT NULL
            WINDOW by_score AS (PARTITION BY part ORDER BY learnability DESC, example_id, row_number)
        )
        SELECT {not by_domain} AS overall, part AS domain, count(*) AS rows, avg(trained) AS trained_share,
            count_if(place <= places) AS top, avg(trained) FILTER (place <= places) AS trained_top_share
        FROM ranked GROUP BY part ORDER BY part
        """,
        [share],
    )


def _rows_with_both(table: str) -> Query:
    columns = "domain, learnability, own_learnability, base_nll_sum, reference_nll_sum, own_nll_sum"
    return f"SELECT {columns} FROM {table} WHERE learnability IS NOT NULL AND own_learnability IS NOT NULL", []


def _of_gain(share: float) -> str:
    if pd.isna(share):
        return "own rows gained nothing either"
    if share >= 1:
        return "all of the gain is memory"
    return "no memory is seen" if share <= 0 else f"{share:.0%} of the gain is memory"
