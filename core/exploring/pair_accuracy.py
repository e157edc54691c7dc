"""How often a run's reference prefers the chosen answer of a preference pair: accuracy of DPO's implicit reward."""

from dataclasses import asdict, dataclass
from typing import Any

from ..data.filters import EVERYTHING, RowFilter
from ..data.reader import Reader

_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class PairAccuracy:
    """Of a domain's `pairs`, `scored` have a margin, and of these the margin is above 0 in `preferred`; 0 is not.

    `low` and `high` are Wilson's interval of the share (95 %); both are None if no pair is scored. It takes pairs for
    independent, so it is too narrow where prompts repeat.
    """

    domain: str
    pairs: int
    scored: int
    preferred: int
    low: float | None
    high: float | None

    @property
    def share(self) -> float | None:
        """Preferred over scored pairs."""
        return self.preferred / self.scored if self.scored else None

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields."""
        return asdict(self) | {"share": self.share}

    def sentence(self) -> str:
        """The accuracy and its interval in one line."""
        if self.share is None or self.low is None or self.high is None:
            return f"{self.domain}: no pair of {self.pairs:,} is scored on both sides."
        rest = self.pairs - self.scored
        return (
            f"{self.domain}: {self.share:.1%} of {self.scored:,} pairs have a margin above 0 ({self.low:.1%} to "
            f"{self.high:.1%})" + (f"; not scored on both sides: {rest:,} more." if rest else ".")
        )


def pair_accuracies(store: Reader, table: str, row_filter: RowFilter = EVERYTHING) -> list[PairAccuracy]:
    """The accuracy in each domain of a scored table, by name, of pairs whose chosen row passes the filter."""
    condition, values = row_filter.where()
    sql = f"""
        SELECT domain, count(*), count(preference_margin), count_if(preference_margin > 0)
        FROM {table} WHERE side = 'chosen' AND {condition} GROUP BY domain ORDER BY domain
    """
    return [_accuracy(*row) for row in store.rows(sql, values)]


def _accuracy(domain: str, pairs: int, scored: int, preferred: int) -> PairAccuracy:
    if not scored:
        return PairAccuracy(domain, pairs, 0, 0, None, None)
    from scipy.stats import binomtest  # here, because commands and the dashboard should not wait for it

    interval = binomtest(preferred, scored).proportion_ci(_CONFIDENCE, "wilson")
    return PairAccuracy(domain, pairs, scored, preferred, float(interval.low), float(interval.high))
