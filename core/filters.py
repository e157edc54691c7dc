"""A filter over a run's rows, as a value: what the pages, recipes and queries all mean by "these rows"."""

from dataclasses import dataclass
from typing import Any

from core.errors import SelectionInvalid
from core.scores import FLAGS, SCORES

RANGE_COLUMNS = (*SCORES, "token_count")
"""Columns of the scored table that a range can be put on."""

Query = tuple[str, list[Any]]
"""SQL text and its parameters, in order."""


@dataclass(frozen=True, slots=True)
class Range:
    """Closed interval on a column of `RANGE_COLUMNS`; None leaves an end open. NULL is in no range."""

    column: str
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.column not in RANGE_COLUMNS:
            raise SelectionInvalid(f"Unknown column {self.column!r}. Must be one of: {', '.join(RANGE_COLUMNS)}.")


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Rows that pass all of: one of `domains` (empty: any), every range, no flag of `without_flags`, every flag of
    `with_flags`, and `text` (any case) somewhere in the prompt or response."""

    domains: tuple[str, ...] = ()
    ranges: tuple[Range, ...] = ()
    without_flags: tuple[str, ...] = ()
    with_flags: tuple[str, ...] = ()
    text: str = ""

    def __post_init__(self) -> None:
        for flag in (*self.without_flags, *self.with_flags):
            if flag not in FLAGS:
                raise SelectionInvalid(f"Unknown flag {flag!r}. Must be one of: {', '.join(FLAGS)}.")

    def conditions(self) -> list[tuple[str, Query]]:
        """Each condition as (reason a row that fails it is left out, SQL over the scored table and parameters).

        A condition is never NULL. The text condition reads the store's `example` table.
        """
        found: list[tuple[str, Query]] = []
        if self.domains:
            found.append(("filtered: domain", (f"domain IN ({_marks(self.domains)})", list(self.domains))))
        for bounds in self.ranges:
            found.append((f"filtered: {bounds.column}", _range_condition(bounds)))
        found += [(f"flag: {flag}", (f"NOT {flag}", [])) for flag in self.without_flags]
        found += [(f"filtered: not {flag}", (flag, [])) for flag in self.with_flags]
        if self.text:
            within = (
                "example_id IN (SELECT example_id FROM example WHERE contains(lower(prompt), lower(?)) "
                "OR contains(lower(response), lower(?)))"
            )
            found.append(("filtered: text", (within, [self.text, self.text])))
        return found

    def where(self) -> Query:
        """All conditions as one SQL condition ("true" where there are none)."""
        conditions = [query for _, query in self.conditions()]
        sql = " AND ".join(f"({sql})" for sql, _ in conditions) or "true"
        return sql, [value for _, parameters in conditions for value in parameters]

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields, for a recipe or a link."""
        return {
            "domains": list(self.domains),
            "ranges": [[bounds.column, bounds.low, bounds.high] for bounds in self.ranges],
            "without_flags": list(self.without_flags),
            "with_flags": list(self.with_flags),
            "text": self.text,
        }

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> "RowFilter":
        """Reverse of `to_fields`. Raises `SelectionInvalid` for what it does not know."""
        try:
            return cls(
                tuple(fields.get("domains", ())),
                tuple(Range(*bounds) for bounds in fields.get("ranges", ())),
                tuple(fields.get("without_flags", ())),
                tuple(fields.get("with_flags", ())),
                fields.get("text", ""),
            )
        except TypeError as error:
            raise SelectionInvalid(f"The filter {fields!r} cannot be read ({error}).") from error


EVERYTHING = RowFilter()


def _marks(values: tuple[Any, ...]) -> str:
    return ", ".join("?" * len(values))


def _range_condition(bounds: Range) -> Query:
    parts, parameters = [f"{bounds.column} IS NOT NULL"], []
    for comparison, value in ((">=", bounds.low), ("<=", bounds.high)):
        if value is not None:
            parts.append(f"{bounds.column} {comparison} ?")
            parameters.append(value)
    return " AND ".join(parts), parameters
