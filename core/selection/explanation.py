"""Why one row is in or out of a selection, in a sentence."""

from dataclasses import dataclass

from ..data.errors import NotFound
from ..data.scores import FLAGS, SCORES
from ..store import Store
from .decisions import BELOW_THE_CUT, KEPT
from .recipe import ORDERS, Selection
from .summary import row_decisions


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """What a recipe does with one row. `rank` is its place among the `ranked` rows of its pool, of which `kept` are
    kept; None where it was not ranked. `cut_value` is the score of the last row that is kept by its rank."""

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
        """Whether the row is kept."""
        return self.outcome == KEPT

    def sentence(self, selection: Selection) -> str:
        """The outcome and what decided it, in words."""
        if self.picked:
            return "Kept by hand."
        if self.rank is None:
            flag = self.outcome.removeprefix("flag: ")
            meaning = f": {FLAGS[flag]}" if flag in FLAGS else ""
            return f"Left out ({self.outcome}{meaning})."
        pool = "of all rows" if selection.scope == "pooled" else f"in {self.domain}"
        cut = ""
        if ORDERS[selection.order].by_score and self.cut_value is not None:
            cut = f", the last at {SCORES[selection.score].label.lower()} {self.cut_value:.4g}"
        verdict = "Kept" if self.is_kept else f"Left out ({BELOW_THE_CUT})"
        return f"{verdict}: rank {self.rank:,} of {self.ranked:,} eligible {pool}; {self.kept:,} are kept{cut}."


def row_outcome(store: Store, selection: Selection, row_number: int) -> RowOutcome:
    """What a recipe does with a row. Raises `NotFound` if the run has no such row."""
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
