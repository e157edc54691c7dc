"""Stability: do references that differ only in their seed, or in their training, rank the rows alike?

Everything is within domains, as rows are selected: domains differ in their scores, so ranked together any two
references would seem to agree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pandas as pd

from ..data.filters import Query
from ..data.loss_roles import seed_role
from ..data.reader import Reader
from ..data.scores import SCORES
from ..exploring.compared_runs import compared_run, other_runs
from ..exploring.rank_changes import ScoredTwice, top_overlap_by_domain
from ..exploring.rank_correlation import rank_correlations
from ..exploring.run_comparison import RunPair
from ..store import Store

SHARES = (0.015, 0.03, 0.06, 0.1, 0.167, 0.25, 0.33, 0.5, 0.75, 1.0)
"""Shares of the rows of each domain that are kept."""
SAID_SHARES = (0.06, 0.167, 0.33)
_FEWEST_TOP = 10
"""The smallest top that a sentence speaks of [rows over all domains]."""
OTHER_RUNS = 3
"""The most other runs that are compared with, newest first."""


@dataclass(frozen=True)
class Agreement:
    """How far the rankings of some pairs of references agree, averaged over the pairs.

    `ranks`: overall, domain, rows, spearman (mean), lowest, highest. `tops`: overall, domain, rows, share, top (rows
    kept), overlap (part of them that both keep) and chance. `overall` is the mean over domains by rows, and the sum of
    their tops; the domain is then empty.
    """

    label: str
    pairs: int
    ranks: pd.DataFrame
    tops: pd.DataFrame

    @property
    def spearman(self) -> float:
        """Rank correlation within domains, the mean over domains by rows."""
        return float(self.ranks.loc[self.ranks["overall"], "spearman"].iloc[0])

    @property
    def said(self) -> tuple[float, float, float] | None:
        """Share, overlap and chance at the paper's 6 %, or at the next share with enough rows; None with too few."""
        overall = self.tops[self.tops["overall"] & (self.tops["top"] >= _FEWEST_TOP)].set_index("share")
        for share in SAID_SHARES:
            if share in overall.index:
                return share, float(overall["overlap"][share]), float(overall["chance"][share])
        return None

    def sentence(self, who: str) -> str | None:
        """`said` in words."""
        if self.said is None:
            return None
        share, overlap, chance = self.said
        return f"At {100 * share:.3g} % {who} agree on {overlap:.0%} of these rows; chance is {chance:.0%}."


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two columns of scores of the same rows, each from a query of row_number, example_id, domain and score."""

    first: Query
    second: Query

    def rows(self) -> Query:
        (one, values), (other, more) = self.first, self.second
        sql = f"""
            SELECT row_number, a.example_id, a.domain, a.score AS first_score, b.score AS second_score
            FROM ({one}) a JOIN ({other}) b USING (row_number) WHERE a.score IS NOT NULL AND b.score IS NOT NULL
        """
        return sql, [*values, *more]


def seed_agreement(store: Reader, run: Mapping[str, Any]) -> Agreement | None:
    """All pairs of seeds of a cross-fitted reference, each row under models that never saw it; None with one seed."""
    seeds = (run["description"].get("cross_fitted") or {}).get("seeds", ())
    sets = [run["loss_sets"][seed_role(seed)] for seed in seeds if seed_role(seed) in run["loss_sets"]]
    scores = [_learnability_under(run["table"], loss_set) for loss_set in sets]
    pairs = [_Pair(*both) for both in combinations(scores, 2)]
    return _agreement(store, "Two seeds", pairs, run["table"])


def own_agreement(store: Reader, run: Mapping[str, Any]) -> Agreement | None:
    """Learnability under models that saw the row against that under models that did not; None without own losses."""
    columns = [_column(run["table"], name) for name in ("own_learnability", "learnability")]
    return _agreement(store, "Own and cross-fitted", [_Pair(*columns)], run["table"])


def run_agreements(store: Store, run: Mapping[str, Any]) -> list[Agreement]:
    """The run against other runs of its dataset with the same base and another reference, at most `OTHER_RUNS`."""
    here, found = compared_run(dict(run)), []
    for name in other_runs(store, run["name"]):
        other = store.run(name)
        there = compared_run(other)
        if (there.weights[0], there.encoding) == (here.weights[0], here.encoding) and not _same_models(run, other):
            pair = RunPair(run["table"], other["table"], "learnability")
            if agreement := _agreement(store, name, [pair], run["table"]):
                found.append(agreement)
        if len(found) == OTHER_RUNS:
            break
    return found


def spread_by_domain(store: Reader, table: str) -> pd.DataFrame:
    """How far learnability moves from seed to seed beside how far it differs between rows.

    First over all rows (`overall`), then by domain; empty with fewer than two seeds. Columns: overall, domain, rows,
    seed_spread (median over rows of the standard deviation over seeds), row_spread (the interquartile range of
    learnability / 1.349: the standard deviation, were it normal) and ratio of the two.
    """
    return store.frame(
        f"""
        SELECT grouping(domain) = 1 AS overall, coalesce(domain, '') AS domain, count(*) AS rows,
            median(learnability_spread) AS seed_spread,
            (quantile_cont(learnability, 0.75) - quantile_cont(learnability, 0.25)) / 1.349 AS row_spread,
            seed_spread / nullif(row_spread, 0) AS ratio
        FROM {table} WHERE learnability_spread IS NOT NULL AND learnability IS NOT NULL
        GROUP BY GROUPING SETS ((), (domain)) HAVING count(*) > 0 ORDER BY overall DESC, 2
        """
    )


def _learnability_under(table: str, loss_set: int) -> Query:
    columns = "row_number, example_id, domain"
    sql = f"""
        SELECT {columns}, {SCORES["learnability"].sql} AS score FROM (
            SELECT s.row_number, s.example_id, s.domain, s.base_nll_sum, l.nll_sum AS reference_nll_sum
            FROM {table} s JOIN loss l USING (example_id) WHERE l.loss_set_id = ? AND isfinite(l.nll_sum)
        )
    """
    return sql, [loss_set]


def _column(table: str, name: str) -> Query:
    return f"SELECT row_number, example_id, domain, {name} AS score FROM {table}", []


def _same_models(run: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return bool(run["loss_sets"].get("reference") == other["loss_sets"].get("reference"))


def _agreement(store: Reader, label: str, pairs: Sequence[ScoredTwice], table: str) -> Agreement | None:
    """The mean over pairs; None if no pair has rows in common."""
    ranks, tops = [], []
    for pair in pairs:
        found = rank_correlations(store, pair.rows(), "first_score", ["second_score"], table)
        ranks.append(_with_mean(found[~found["overall"]].rename(columns={"spearman_second_score": "spearman"})))
        tops.append(_with_sum(top_overlap_by_domain(store, pair, SHARES)))
    if not ranks or ranks[0].empty:
        return None
    by_domain = pd.concat(ranks).groupby(["overall", "domain"], as_index=False)
    mean = by_domain.agg(
        rows=("rows", "min"), spearman=("spearman", "mean"), lowest=("spearman", "min"), highest=("spearman", "max")
    )
    by_share = pd.concat(tops).groupby(["overall", "domain", "share"], as_index=False)
    top = by_share.agg(rows=("rows", "min"), top=("top", "min"), overlap=("overlap", "mean"), chance=("chance", "mean"))
    return Agreement(label, len(pairs), _ordered(mean, ["domain"]), _ordered(top, ["domain", "share"]))


def _ordered(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    found: pd.DataFrame = frame.sort_values(["overall", *by], ascending=[False] + [True] * len(by), ignore_index=True)
    return found


def _with_mean(ranks: pd.DataFrame) -> pd.DataFrame:
    """Correlations by domain, and before them their mean by rows; domains whose scores are constant do not count."""
    ranks = ranks[["domain", "rows", "spearman"]]
    counted = ranks.dropna(subset=["spearman"])
    if ranks.empty:
        return ranks.assign(overall=False)
    weighted = (counted["spearman"] * counted["rows"]).sum() / counted["rows"].sum() if len(counted) else float("nan")
    overall = pd.DataFrame({"domain": [""], "rows": [int(ranks["rows"].sum())], "spearman": [weighted]})
    return pd.concat([overall.assign(overall=True), ranks.assign(overall=False)])


def _with_sum(tops: pd.DataFrame) -> pd.DataFrame:
    """Overlaps by domain, and before them those of the domains' tops taken together."""
    sums = (
        tops.assign(by_chance=tops["top"] * tops["chance"])
        .groupby("share", as_index=False)[["rows", "top", "both", "by_chance"]]
        .sum()
    )
    top = sums["top"].where(sums["top"] > 0)
    overall = sums.assign(domain="", overlap=sums["both"] / top, chance=sums["by_chance"] / top)
    return pd.concat([overall.assign(overall=True), tops.assign(overall=False)])
