"""The recipe: a `Selection` describes which rows of a run to select, and converts to and from JSON."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from ..data.errors import SelectionInvalid
from ..data.filters import EVERYTHING, RowFilter
from ..data.json_types import checked_fields, shown
from ..data.listing import listed
from ..data.scores import DEFAULT_SCORE, score_named

RECIPE_VERSION = 2
_READABLE_VERSIONS = (1, 2)
_MOST = 1e15
Number = int | float
"""As a recipe's JSON has it: a trial's fingerprint tells 1 from 1.0."""
MOST_LENGTH_BANDS = 100
AMOUNT_KINDS = ("ratio", "rows", "tokens")
BY_TEXT, BY_EMBEDDINGS = "text", "embeddings"
NEAR_BY = {
    BY_TEXT: "the share of text in common",
    BY_EMBEDDINGS: "the cosine of the run's embeddings",
}
CLUSTERS = "clusters"
SPREADS = {
    "k_center": "the next row is the farthest from those chosen",
    "facility_location": "the next row brings all rows nearest to a chosen one",
    CLUSTERS: "each cluster of the candidates (k-means) gives its best rows in turn",
}
QUOTAS = {
    "equal": "every cluster gives as many rows, as far as it has them",
    "proportional": "every cluster gives the same share of its rows",
}
MOST_CANDIDATES = 10_000
MOST_CLUSTERS = 1_000
SCOPES = {
    "domain": "each domain is ranked separately",
    "pooled": "all domains are ranked together, so some domains may get few rows",
}


@dataclass(frozen=True, slots=True)
class Order:
    """One order of the eligible rows. `sql` is a sort key (ascending) over `value` (the recipe's score) and the columns
    of the scored table; every `?` in it is the seed. If `by_score`, the score of the last selected row is a cut-off."""

    name: str
    label: str
    help: str
    sql: str
    by_score: bool = False


ORDERS = {
    order.name: order
    for order in (
        Order("highest", "Highest score first", "rows with the highest score are selected", "-value", True),
        Order("lowest", "Lowest score first", "a control: the rows that the score ranks last", "value", True),
        Order(
            "random",
            "Random",
            "a control: random rows among those with a score; the same seed draws the same rows",
            "left(md5(? || ':' || example_id::VARCHAR), 16)",
        ),
        Order("longest", "Longest first", "a control: the responses with the most scored tokens", "-token_count"),
        Order(
            "highest_base_loss",
            "Highest base loss first",
            "a control: the responses that the base model predicts worst, learnable or not",
            "-base_loss",
        ),
    )
}
"""To add an order, add one here; the command line (`--control`), the pages and tests read this table."""


def _check_one_of(what: str, given: Any, known: Any) -> None:
    if given not in known:
        raise SelectionInvalid(f"Unknown {what} {shown(given)}. Must be one of: {', '.join(known)}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MOST


@dataclass(frozen=True, slots=True)
class Amount:
    """How much to select: a `ratio` (share of the rows, 0 to 1), a number of `rows`, or a budget of `tokens`."""

    kind: str
    value: Number

    def __post_init__(self) -> None:
        _check_one_of("amount", self.kind, AMOUNT_KINDS)
        if not _is_number(self.value):
            raise SelectionInvalid(
                f"The amount of {self.kind} is {shown(self.value)}, which is not a valid number. Give a number."
            )
        if self.kind == "ratio" and not 0 <= self.value <= 1:
            raise SelectionInvalid(
                f"The ratio {self.value:g} is not between 0 and 1. Give a share of the rows, such as 0.06 for 6 %."
            )
        if self.kind != "ratio" and (self.value < 0 or self.value != int(self.value)):
            raise SelectionInvalid(
                f"{self.value:g} is not a valid number of {self.kind}. Give a whole number, 0 or more."
            )


@dataclass(frozen=True, slots=True)
class Spread:
    """That the best rows of each pool shall differ: which of `SPREADS` orders its `candidates` best rows, and how far
    the spread counts against the score, 0 (score alone) to 1 (spread alone). By `CLUSTERS`: into how many `clusters`,
    how many rows each of them gives (a name of `QUOTAS`), and the weight counts for nothing. `embeddings`: the key of
    those that a saved recipe was made with; with others it would select other rows."""

    method: str = "facility_location"
    weight: Number = 0.5
    candidates: int = 2000
    clusters: int = 10
    quota: str = "equal"
    embeddings: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        _check_one_of("spread", self.method, SPREADS)
        if not _is_number(self.weight) or not 0 <= self.weight <= 1:
            raise SelectionInvalid(f"The weight of the spread is {shown(self.weight)}. Give a number from 0 to 1.")
        if not 2 <= self.candidates <= MOST_CANDIDATES:
            raise SelectionInvalid(f"The spread has {self.candidates:,} candidates. Give 2 to {MOST_CANDIDATES:,}.")
        _check_one_of("quota", self.quota, QUOTAS)
        if not 2 <= self.clusters <= MOST_CLUSTERS:
            raise SelectionInvalid(f"{self.clusters:,} clusters were requested. Give 2 to {MOST_CLUSTERS:,}.")


@dataclass(frozen=True, slots=True)
class Pick:
    """A manual decision for one conversation and its exact copies: always select (`keep`) or never. `note`: why."""

    example_id: str
    keep: bool = True
    note: str = ""

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "example_id", str(UUID(self.example_id)))
        except (ValueError, TypeError, AttributeError) as error:
            raise SelectionInvalid(
                f"A hand pick has {shown(self.example_id)}, which is not an example_id. Take it from the table of "
                "losses."
            ) from error


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows of a run to select.

    `amount` applies to every domain (scope "domain") or to all rows together ("pooled"). A ratio is a share of each
    domain's rows; rows and tokens are a total, split over the domains in proportion to their size. With `weights`,
    every amount is a total (a ratio: of all rows), split by the weights; they need not add up to 1, and domains
    without a weight get no rows. `domain_amounts` override the amounts of single domains.

    With `collapse_duplicates`, only the first of identical conversations that passes the filter is selected; with
    `near_duplicates` (the threshold of an existing search), only the best-ranked row of each group; the search compared
    what `near_duplicates_by` says, a name of `NEAR_BY`. `picks` override
    filter, flags and amount; picked rows count towards the amount. With `length_bands` above 1, rows are ranked within
    that many bands of response length (quantiles of a pool's eligible rows), each of which gives the same share of its
    rows. With `added`, rows are ranked by the score plus other scores, each in its own unit times its weight; a row
    that lacks one of them has no score. With `spread`, the best rows of each pool are ordered anew so that they differ
    by their embeddings. A score of preference pairs ranks and selects whole pairs: a pair is left out if one of its
    rows is. The same recipe on the same losses and embeddings always selects the same rows.
    """

    run: str
    score: str = DEFAULT_SCORE
    order: str = "highest"
    scope: str = "domain"
    amount: Amount = Amount("ratio", 0.06)
    domain_amounts: Mapping[str, Amount] = field(default_factory=dict)
    collapse_duplicates: bool = True
    filter: RowFilter = EVERYTHING
    seed: int = 0
    weights: Mapping[str, Number] = field(default_factory=dict)
    near_duplicates: Number | None = None
    picks: tuple[Pick, ...] = ()
    length_bands: int = 0
    added: Mapping[str, Number] = field(default_factory=dict)
    near_duplicates_by: str = BY_TEXT
    spread: Spread | None = None

    def __post_init__(self) -> None:
        for name in (self.score, *self.added):
            score_named(name)
        _check_added(self.score, self.added)
        if abs(self.seed) >= 2**63:
            raise SelectionInvalid(f"The seed {shown(self.seed)} has more than 64 bits. Give a smaller number.")
        _check_one_of("order", self.order, ORDERS)
        _check_one_of("scope", self.scope, SCOPES)
        _check_one_of("near_duplicates_by", self.near_duplicates_by, NEAR_BY)
        by_hand = {**self.domain_amounts, **self.weights}
        if by_hand and self.scope == "pooled":
            raise SelectionInvalid(
                f"Amounts or weights were given for {listed(sorted(by_hand))}, but the pooled scope ranks all "
                "domains together. Use scope 'domain', or one amount for all."
            )
        _check_weights(self.weights)
        if self.near_duplicates is not None and not _is_number(self.near_duplicates):
            raise SelectionInvalid(f"near_duplicates is {shown(self.near_duplicates)}. Give a threshold, or null.")
        if self.near_duplicates is not None and not self.collapse_duplicates:
            raise SelectionInvalid(
                "Near-duplicates are removed but exact duplicates are not. Remove exact duplicates too."
            )
        if not 0 <= self.length_bands <= MOST_LENGTH_BANDS:
            raise SelectionInvalid(
                f"{self.length_bands:,} length bands were requested. Give 0 (none) to {MOST_LENGTH_BANDS}."
            )
        _check_pairs(self)
        if self.spread and self.length_bands > 1:
            raise SelectionInvalid("A spread and length bands cannot order the same rows. Choose one of them.")
        twice = [pick for pick, count in Counter(pick.example_id for pick in self.picks).items() if count > 1]
        if twice:
            raise SelectionInvalid(f"The example {twice[0]} has more than one hand pick. Keep only one.")

    @property
    def keeps_pairs(self) -> bool:
        """Whether it ranks by a score of preference pairs, so that of each pair both rows are selected or none."""
        return score_named(self.score).is_of_pairs

    @property
    def has_score_cut(self) -> bool:
        """Whether one score separates selected from other rows of a pool: ranked by one score, not within bands, not
        spread."""
        return ORDERS[self.order].by_score and self.length_bands <= 1 and not self.added and not self.spread

    @property
    def value_sql(self) -> str:
        """SQL of what rows are ranked by, over the columns of the scored table."""
        if not self.added:
            return self.score
        return f"({' + '.join([self.score, *(f'{float(weight)!r} * {name}' for name, weight in self.added.items())])})"

    @property
    def value_label(self) -> str:
        """What rows are ranked by, for people."""
        added = "".join(f" + {weight:g} × {score_named(name).label}" for name, weight in self.added.items())
        return score_named(self.score).label + added

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that its scores need."""
        return tuple(dict.fromkeys(role for name in (self.score, *self.added) for role in score_named(name).roles))

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields, with the `version` of the format. Fields that came later are left out at their
        defaults, so that recipes that do not use them stay as earlier versions wrote them."""
        found = {
            "version": RECIPE_VERSION,
            "run": self.run,
            "score": self.score,
            "order": self.order,
            "scope": self.scope,
            "amount": _amount_fields(self.amount),
            "domain_amounts": {domain: _amount_fields(self.domain_amounts[domain]) for domain in self.domain_amounts},
            "collapse_duplicates": self.collapse_duplicates,
            "filter": self.filter.to_fields(),
            "seed": self.seed,
            "weights": dict(self.weights),
            "near_duplicates": self.near_duplicates,
            "picks": [asdict(pick) for pick in self.picks],
        }
        by = self.near_duplicates_by if self.near_duplicates_by != BY_TEXT else ""
        later: dict[str, Any] = {"length_bands": self.length_bands, "added": dict(self.added), "near_duplicates_by": by}
        later["spread"] = _spread_fields(self.spread) if self.spread else None
        return found | {name: value for name, value in later.items() if value}

    @classmethod
    def from_fields(cls, given: Mapping[str, Any]) -> "Selection":
        """Reverse of `to_fields`; missing fields get their defaults. Raises `SelectionInvalid` for unknown or invalid
        fields."""
        values = dict(given) if isinstance(given, Mapping) else given
        version = values.pop("version", RECIPE_VERSION) if isinstance(values, dict) else RECIPE_VERSION
        if version not in _READABLE_VERSIONS:
            raise SelectionInvalid(
                f"The recipe has version {shown(version)}; this program reads up to version {RECIPE_VERSION}. "
                "Use the program version that wrote it."
            )
        return cls(**checked_fields(values, cls, "recipe", SelectionInvalid, {"filter": RowFilter.from_fields}))


def _amount_fields(amount: Amount) -> dict[str, Any]:
    return {"kind": amount.kind, "value": amount.value if amount.kind == "ratio" else int(amount.value)}


def _spread_fields(spread: Spread) -> dict[str, Any]:
    """Without the fields that only the other kind of spread reads, and without a key that is not known."""
    unread = ["weight"] if spread.method == CLUSTERS else ["clusters", "quota"]
    unread += [] if spread.embeddings else ["embeddings"]
    return {name: value for name, value in asdict(spread).items() if name not in unread}


def _check_added(score: str, added: Mapping[str, Number]) -> None:
    if score in added:
        raise SelectionInvalid(f"The score {score} is added to itself. Add another one.")
    for name, weight in added.items():
        if not _is_number(weight) or not weight:
            raise SelectionInvalid(f"The weight of {name} is {shown(weight)}. Give a number other than 0.")


def _check_pairs(selection: Selection) -> None:
    if len({score_named(name).is_of_pairs for name in (selection.score, *selection.added)}) > 1:
        raise SelectionInvalid("A score of preference pairs and one of single rows cannot be added. Choose one kind.")
    if not selection.keeps_pairs:
        return
    asked = (
        ("Near-duplicates", selection.near_duplicates is not None),
        ("Length bands", selection.length_bands > 1),
        ("A spread", selection.spread is not None),
    )
    for what, is_asked in asked:
        if is_asked:
            raise SelectionInvalid(
                f"{what} would take preference pairs apart, and {selection.score} ranks whole pairs. Leave it out, or "
                "rank by a score of single rows."
            )


def _check_weights(weights: Mapping[str, Number]) -> None:
    for domain, weight in weights.items():
        if not _is_number(weight) or not weight >= 0:
            raise SelectionInvalid(f"The weight of {shown(domain)} is {shown(weight)}. Give a number, 0 or more.")
    if weights and not any(weights.values()):
        raise SelectionInvalid("All weights are 0, so nothing can be selected. Give at least one domain a weight.")
