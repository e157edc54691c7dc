"""Explains in a sentence why a selection includes a row or not."""

from dataclasses import dataclass

from ..data.errors import NotFound
from ..data.scores import FLAGS, score_named
from ..store import Store
from .decisions import BELOW_THE_CUT, KEPT
from .recipe import Selection
from .summary import row_decisions


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """A recipe's decision on one row. `rank`: its rank among the `ranked` rows of its pool, of which `kept` are
    selected; None if it was not ranked. `cut_value`: the score of the last row selected by rank."""

    outcome: str
    picked: bool
    domain: str
    value: float | None
    rank: int | None
    ranked: int
    kept: int
    cut_value: float | None

    @property
    def is_kept(self) -> bool:
        """Whether the row is selected."""
        return self.outcome == KEPT

    def sentence(self, selection: Selection) -> str:
        """The outcome and its reason, as a sentence."""
        if self.picked:
            return "Selected by hand."
        if self.rank is None:
            flag = self.outcome.removeprefix("flag: ")
            meaning = f": {FLAGS[flag]}" if flag in FLAGS else ""
            return f"Not selected ({self.outcome}{meaning})."
        pool = "of all domains" if selection.scope == "pooled" else f"in {self.domain}"
        cut = ""
        if selection.length_bands > 1:
            cut = f", ranked within {selection.length_bands} length bands"
        elif selection.spread:
            cut = f", the best {selection.spread.candidates:,} spread"
        elif selection.has_score_cut and self.cut_value is not None:
            cut = f"; the last has {score_named(selection.score).label.lower()} {self.cut_value:.4g}"
        verdict = "Selected" if self.is_kept else f"Not selected ({BELOW_THE_CUT})"
        return (
            f"{verdict}: rank {self.rank:,} of {self.ranked:,} eligible rows {pool}; {self.kept:,} are selected{cut}."
        )


def row_outcome(store: Store, selection: Selection, row_number: int) -> RowOutcome:
    """A recipe's decision on a row. Raises `NotFound` if the run has no such row."""
    sql, values = row_decisions(store, selection)
    pool = "''" if selection.scope == "pooled" else "domain"
    found = store.rows(
        f"""
        WITH decided AS ({sql}),
        pools AS (
            SELECT {pool} AS pool, count(rank) AS ranked, count_if(outcome = '{KEPT}') AS kept,
                arg_max(value, rank) FILTER (outcome = '{KEPT}' AND NOT picked) AS cut_value
            FROM decided GROUP BY ALL
        )
        SELECT outcome, picked, domain, value, rank, ranked, kept, cut_value
        FROM decided JOIN pools ON pool = {pool} WHERE row_number = ?
        """,
        [*values, row_number],
    )
    if not found:
        raise NotFound(f"The run {selection.run!r} has no row {row_number:,}. Choose another row.")
    return RowOutcome(*found[0])
