"""A search in the text of examples, as a value: words, an exact phrase, or a regular expression."""

from dataclasses import asdict, dataclass
from typing import Any

from .errors import SelectionInvalid
from .json_types import checked_fields, shown

SEARCH_KINDS = {
    "words": "contains every word, in any order; case is ignored",
    "phrase": "contains exactly this text; case is ignored",
    "regex": "regular expression (RE2: no look-around or back-references); case is ignored; . matches line breaks too",
}
SEARCH_PLACES = {"either": "prompt or response", "prompt": "prompt", "response": "response"}


_TESTS = {"regex": "regexp_matches({column}, ?, 'is')"}
"""SQL of a search in a column, by kind; other kinds look for a part of the text."""


@dataclass(frozen=True, slots=True)
class TextSearch:
    """A query, its kind (`SEARCH_KINDS`) and where to search (`SEARCH_PLACES`). An empty query matches everything."""

    query: str = ""
    kind: str = "phrase"
    place: str = "either"

    def __post_init__(self) -> None:
        for what, given, known in (("search", self.kind, SEARCH_KINDS), ("place", self.place, SEARCH_PLACES)):
            if given not in known:
                raise SelectionInvalid(f"Unknown {what} {shown(given)}. Must be one of: {', '.join(known)}.")

    def __bool__(self) -> bool:
        return bool(self.query.strip())

    def needles(self) -> list[str]:
        """What is looked for: each word, or the whole query."""
        return list(dict.fromkeys(self.query.split())) if self.kind == "words" else [self.query]

    def condition(self) -> tuple[str, list[Any]]:
        """SQL over the columns prompt and response, never NULL, and its parameters.

        With kind "words", one word may be in the prompt and another in the response.
        """
        if not self:
            return "true", []
        columns = ("prompt", "response") if self.place == "either" else (self.place,)
        test = _TESTS.get(self.kind, "contains(lower({column}), lower(?))")
        needles = self.needles()
        sql = " OR ".join(test.format(column=column) for column in columns)
        conditions = " AND ".join(f"({sql})" for _ in needles)
        return conditions, [needle for needle in needles for _ in columns]

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields; empty for an empty search."""
        return asdict(self) if self else {}

    @classmethod
    def from_fields(cls, fields: Any) -> "TextSearch":
        """Reverse of `to_fields`. Raises `SelectionInvalid` for unknown fields."""
        return cls(**checked_fields(fields, cls, "search", SelectionInvalid))


ANY_TEXT = TextSearch()
