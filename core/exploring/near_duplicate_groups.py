"""Groups of near-duplicates in a run: their totals, a page of groups, and the members of one group."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..data.errors import NotFound, SelectionInvalid
from ..data.examples import Example
from ..data.reader import Reader
from ..data.scores import score_named
from ..data.snippets import beginning
from ..near_duplicates.similarity import compared_text, jaccard, shingle_sets

GROUP_ORDERS = {
    "rows": "Most rows first",
    "spread": "Largest score spread first",
    "best": "Best score first",
}
_SNIPPET = 200  # characters of text in a list
_MEMBERS = """
    SELECT group_number, t.*, {score} AS score
    FROM near_duplicate JOIN {table} t USING (example_id) WHERE near_duplicate_set_id = ?
"""
_BEST_FIRST = "score DESC NULLS LAST, example_id, row_number"
"""The order of a selection that ranks the highest scores first."""


@dataclass(frozen=True, slots=True)
class GroupTotals:
    """Totals of a search's groups in a run: `rows` of the run in `groups`, `largest` rows in one group; exact copies
    count separately. `without_best` rows are removed if one per group is kept."""

    groups: int
    rows: int
    largest: int

    @property
    def without_best(self) -> int:
        """Rows beyond one per group."""
        return self.rows - self.groups


def group_totals(store: Reader, table: str, set_id: int) -> GroupTotals:
    """Totals of a search's groups in a run."""
    groups, rows, largest = store.rows(
        f"""
        SELECT count(*), coalesce(sum(rows), 0), coalesce(max(rows), 0) FROM (
            SELECT count(*) AS rows FROM near_duplicate JOIN {table} USING (example_id)
            WHERE near_duplicate_set_id = ? GROUP BY group_number
        )
        """,
        [set_id],
    )[0]
    return GroupTotals(int(groups), int(rows), int(largest))


def groups_page(
    store: Reader, table: str, set_id: int, score: str, order: str, page: int, page_size: int
) -> pd.DataFrame:
    """One page (from 1) of a set's groups, in an order of `GROUP_ORDERS`, ties by group_number.

    Columns: group_number, rows, examples (different conversations among them), domains (names, comma-separated), best
    (the highest score), spread (highest minus lowest), text (snippet of the best row's prompt and response). Raises
    `SelectionInvalid` for an unknown order.
    """
    if order not in GROUP_ORDERS:
        raise SelectionInvalid(f"Unknown order {order!r}. Must be one of: {', '.join(GROUP_ORDERS)}.")
    return store.frame(
        f"""
        WITH member AS ({_MEMBERS.format(score=score_named(score).name, table=table)}),
        shown AS (
            SELECT group_number, count(*) AS rows, count(*) FILTER (duplicate_of IS NULL) AS examples,
                string_agg(DISTINCT domain, ', ' ORDER BY domain) AS domains,
                max(score) AS best, max(score) - min(score) AS spread
            FROM member GROUP BY group_number
            ORDER BY {order} DESC NULLS LAST, group_number LIMIT {page_size:d} OFFSET {(max(page, 1) - 1) * page_size:d}
        ),
        kept AS (
            SELECT group_number, example_id FROM member WHERE group_number IN (SELECT group_number FROM shown)
            QUALIFY row_number() OVER (PARTITION BY group_number ORDER BY {_BEST_FIRST}) = 1
        )
        SELECT shown.*,
            {beginning("prompt || ' → ' || response", _SNIPPET)} AS text
        FROM shown JOIN kept USING (group_number) JOIN example USING (example_id)
        ORDER BY {order} DESC NULLS LAST, group_number
        """,
        [set_id],
    )


def group_members(
    store: Reader, table: str, set_id: int, group_number: int, score: str, limit: int, offset: int = 0
) -> tuple[list[dict[str, Any]], int]:
    """Unique conversations of a group, best score first, from `offset` on, and their total number.

    Each has row_number (its first row), copies (rows with exactly this conversation), domain, token_count, score,
    base_loss and reference_loss [nats per token] and `example`. Raises `NotFound` if the set has no such group.
    """
    columns = ("row_number", "copies", "domain", "token_count", "score", "base_loss", "reference_loss")
    found = store.rows(
        f"""
        WITH member AS ({_MEMBERS.format(score=score_named(score).name, table=table)} AND group_number = ?),
        counted AS (SELECT *, count(*) OVER (PARTITION BY example_id) AS copies FROM member),
        first AS (SELECT *, count(*) OVER () AS total FROM counted WHERE duplicate_of IS NULL)
        SELECT total, conversation, {", ".join(columns)} FROM first JOIN example USING (example_id)
        ORDER BY {_BEST_FIRST} LIMIT {limit:d} OFFSET {offset:d}
        """,
        [set_id, group_number],
    )
    if not found and not offset:
        raise NotFound(f"There is no group {group_number:,} at this threshold. Choose a group from the table.")
    members = [
        {**dict(zip(columns, values, strict=True)), "example": Example.from_json(conversation)}
        for _, conversation, *values in found
    ]
    return members, int(found[0][0]) if found else 0


def similarities(first: Example, others: list[Example]) -> list[float]:
    """Jaccard similarity (0 to 1) of each of some conversations to the first, as used for grouping."""
    sets = shingle_sets([compared_text(example) for example in (first, *others)])
    return [jaccard(sets[0], other) for other in sets[1:]]
