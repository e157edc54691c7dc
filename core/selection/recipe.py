"""The recipe: a `Selection` says which rows of a run to keep, as a value that goes to JSON and back."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from core.errors import SelectionInvalid
from core.filters import EVERYTHING, RowFilter
from core.scores import DEFAULT_SCORE, score_named

RECIPE_VERSION = 1
_MOST = 1e15
AMOUNT_KINDS = ("ratio", "rows", "tokens")
SCOPES = {
    "domain": "each domain is ranked on its own",
    "pooled": "all domains are ranked together, so one domain may crowd out another",
}


@dataclass(frozen=True, slots=True)
class Order:
    """One way to rank the eligible rows. `sql` is sorted ascending over `value` (the recipe's score) and the columns
    of the scored table; its only parameters are as many seeds as it has `?`. Where `by_score`, the last kept row's
    score is a cut."""

    name: str
    label: str
    help: str
    sql: str
    by_score: bool = False


ORDERS = {
    order.name: order
    for order in (
        Order("highest", "Highest score first", "what the score's direction calls most", "-value", True),
        Order("lowest", "Lowest score first", "a control: what the score would leave out", "value", True),
        Order(
            "random",
            "Random",
            "a control: drawn by the seed from the very rows the score could rank; the same seed draws the same rows",
            "left(md5(? || ':' || example_id::VARCHAR), 16)",
        ),
        Order("longest", "Longest first", "a control: the responses with most scored tokens", "-token_count"),
        Order(
            "highest_base_loss",
            "Highest base loss first",
            "a control: the responses that surprise the base model most, learnable or not",
            "-base_loss",
        ),
    )
}
"""To add an order, add one here; the command line (`--control`), the pages and tests read this table."""


def _check_known(what: str, given: Mapping[str, Any], known: list[str]) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise SelectionInvalid(f"The {what} has unknown fields: {', '.join(unknown)}. It may have: {', '.join(known)}.")


def _check_one_of(what: str, given: Any, known: Any) -> None:
    if given not in known:
        raise SelectionInvalid(f"Unknown {what} {given!r}. Must be one of: {', '.join(known)}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MOST


@dataclass(frozen=True, slots=True)
class Amount:
    """How much to keep: a `ratio` (share of the rows, 0 to 1), a number of `rows`, or a budget of `tokens`."""

    kind: str
    value: float

    def __post_init__(self) -> None:
        _check_one_of("amount", self.kind, AMOUNT_KINDS)
        if not _is_number(self.value):
            raise SelectionInvalid(f"The amount of {self.kind} is {self.value!r}, which cannot be read. Give a number.")
        if self.kind == "ratio" and not 0 <= self.value <= 1:
            raise SelectionInvalid(
                f"The ratio {self.value:g} is not between 0 and 1. Give a share of the rows, such as 0.06 for 6 %."
            )
        if self.kind != "ratio" and (self.value < 0 or self.value != int(self.value)):
            raise SelectionInvalid(
                f"{self.value:g} {self.kind} cannot be kept. Give a whole number of {self.kind}, 0 or more."
            )


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows of a run to keep.

    `amount` is for every domain (scope "domain") or for all rows together ("pooled"): a ratio is a share of each
    domain's rows, while rows and tokens are a total, split over domains by their size. `domain_amounts` replace a
    domain's part with a figure of its own. With `collapse_duplicates` only the first of equal conversations that
    passes the filter is kept, so that none is trained on twice. The same recipe on the same losses keeps the same
    rows.
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

    def __post_init__(self) -> None:
        score_named(self.score)
        _check_one_of("order", self.order, ORDERS)
        _check_one_of("scope", self.scope, SCOPES)
        if self.domain_amounts and self.scope == "pooled":
            raise SelectionInvalid(
                f"An amount of its own was given for {', '.join(sorted(self.domain_amounts))}, but the pooled scope "
                "ranks all domains together. Use scope 'domain', or one amount for all."
            )

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields; `version` says how to read them."""
        return {
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
        }

    @classmethod
    def from_fields(cls, given: Mapping[str, Any]) -> "Selection":
        """Reverse of `to_fields`; what is left out takes its default. Raises `SelectionInvalid` naming what it
        does not know or cannot read."""
        if not isinstance(given, Mapping):
            raise SelectionInvalid(f"A recipe is a JSON object, not {type(given).__name__}. Give one that was saved.")
        values = dict(given)
        version = values.pop("version", RECIPE_VERSION)
        if version != RECIPE_VERSION:
            raise SelectionInvalid(
                f"The recipe has version {version!r}; this program reads version {RECIPE_VERSION}. "
                "Use the program version that wrote it."
            )
        types = {"run": str, "score": str, "order": str, "scope": str, "collapse_duplicates": bool, "seed": int}
        for name, kind in types.items():
            if name in values and type(values[name]) is not kind:
                raise SelectionInvalid(
                    f"The recipe's {name} is {values[name]!r}. Give a value of type {kind.__name__}."
                )
        _check_known("recipe", values, [part.name for part in fields(cls)])
        if "run" not in values:
            raise SelectionInvalid("The recipe names no run. Add the name of a scored run as 'run'.")
        if "amount" in values:
            values["amount"] = _read_amount(values["amount"])
        if "domain_amounts" in values:
            values["domain_amounts"] = _read_domain_amounts(values["domain_amounts"])
        if "filter" in values:
            values["filter"] = _read_filter(values["filter"])
        return cls(**values)


def _amount_fields(amount: Amount) -> dict[str, Any]:
    return {"kind": amount.kind, "value": amount.value if amount.kind == "ratio" else int(amount.value)}


def _read_amount(given: Any) -> Amount:
    if not isinstance(given, dict) or set(given) != {"kind", "value"}:
        raise SelectionInvalid(
            f"The amount {given!r} cannot be read. Give {{'kind': 'ratio', 'value': 0.06}} or similar."
        )
    return Amount(given["kind"], given["value"])


def _read_domain_amounts(given: Any) -> dict[str, Amount]:
    if not isinstance(given, dict):
        raise SelectionInvalid(f"domain_amounts is {given!r}. Give an object of domain names and amounts.")
    return {domain: _read_amount(amount) for domain, amount in given.items()}


def _read_filter(given: Any) -> RowFilter:
    if not isinstance(given, dict):
        raise SelectionInvalid(f"The filter is {given!r}. Give an object of filter fields, or leave it out.")
    _check_known("filter", given, list(EVERYTHING.to_fields()))
    return RowFilter.from_fields(given)
