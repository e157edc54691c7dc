"""Rank changes between two runs: how many top rows they share, and which rows change rank most."""

from typing import Protocol

import pandas as pd

from ..data.errors import SelectionInvalid
from ..data.filters import Query
from ..data.reader import Reader
from ..data.snippets import snippet
from .run_comparison import RunPair

_UNIT = 100_000
"""Shares are counted in integer parts of this many, so that rounding cannot move a row across a cut-off."""
PAPER_SHARES = (0.015, 0.06, 0.167)
TOP_SHARES = (
    0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.125, 0.167, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7,
    0.8, 0.9, 1.0,
)  # fmt: skip
"""Shares of the rows to keep, about evenly spaced on a logarithmic axis; 1.5, 6 and 16.7 % are the paper's own."""


class ScoredTwice(Protocol):
    """Rows that two models or runs have scored; `RunPair` is one."""

    def rows(self) -> Query:
        """SQL of the rows: row_number, example_id, domain, first_score and second_score."""


def top_overlap(store: Reader, pair: ScoredTwice, shares: tuple[float, ...] = TOP_SHARES) -> pd.DataFrame:
    """How many top rows of one run are also top rows of the other, for each share of rows to keep.

    First over all compared rows (`overall` true, domain empty), then by domain. Columns: overall, domain,
    rows, share, top (rows kept: the share of the rows, rounded half up as a selection rounds it), both (rows in the
    top of both), overlap (both / top; NULL if top is 0) and chance (top / rows: the expected overlap of unrelated
    orders). The top has the highest scores; ties are ordered by example_id, then row number, as in a selection.
    Raises `SelectionInvalid` for a share that is not from 0 to 1.
    """
    overall = _overlap(store, pair, shares, by_domain=False)
    frame = pd.concat([overall, top_overlap_by_domain(store, pair, shares)], ignore_index=True)
    frame.insert(0, "overall", [place < len(overall) for place in range(len(frame))])
    return frame


def top_overlap_by_domain(store: Reader, pair: ScoredTwice, shares: tuple[float, ...] = TOP_SHARES) -> pd.DataFrame:
    """`top_overlap` within each domain, ordered by domain and share, without the column `overall`."""
    found = _overlap(store, pair, shares, by_domain=True)
    return found.sort_values(["domain", "share"], ignore_index=True)


def _overlap(store: Reader, pair: ScoredTwice, shares: tuple[float, ...], by_domain: bool) -> pd.DataFrame:
    wrong = [share for share in shares if not 0 <= share <= 1]
    if wrong:
        raise SelectionInvalid(f"The share {wrong[0]} is out of range. Give one from 0 to 1.")
    sql, values = pair.rows()
    part, partition = ("domain", "PARTITION BY part ") if by_domain else ("''", "")
    first, second = (
        f"row_number() OVER ({partition}ORDER BY {name} DESC, example_id, row_number)"
        for name in ("first_score", "second_score")
    )
    parts = [round(share * _UNIT) for share in shares]
    counts = ", ".join(f"count_if(parts <= {count})" for count in parts)
    # A row is in both tops if the share reaches its worse rank r: share * rows + 1/2 >= r, in integers.
    found = store.frame(
        f"""
        WITH chosen AS (SELECT *, {part} AS part FROM ({sql})),
        ranked AS (SELECT part, greatest({first}, {second}) AS worse_rank FROM chosen),
        sizes AS (SELECT part, count(*) AS size FROM chosen GROUP BY part),
        needed AS (
            SELECT part, size, ((2 * worse_rank - 1) * {_UNIT} + 2 * size - 1) // (2 * size) AS parts
            FROM ranked JOIN sizes USING (part)
        )
        SELECT part AS domain, size AS rows, unnest({parts}) AS parts,
            unnest([{counts}]::BIGINT[]) AS "both"
        FROM needed GROUP BY part, size
        """,
        values,
    )
    top = (2 * found["parts"].astype("int64") * found["rows"] + _UNIT) // (2 * _UNIT)
    found = found.assign(share=found["parts"] / _UNIT, top=top, chance=top / found["rows"])
    found["overlap"] = (found["both"] / top).where(top > 0)
    return found[["domain", "rows", "share", "top", "both", "overlap", "chance"]]


def rank_movers(store: Reader, pair: RunPair, limit: int) -> pd.DataFrame:
    """The rows whose rank in their domain changes most: at most `limit` that rise, the largest change first, then at
    most `limit` that fall, the largest change last.

    Columns: row_number, domain, moved (percentile points of the domain's rows, positive where the second run ranks
    the row higher), first_score, second_score, first_rank, second_rank (1 is the highest score; ties share the best
    rank), domain_rows, prompt and response (snippets). `moved` uses average ranks, so ties do not move by chance. Rows
    with unchanged rank are excluded.
    """
    sql, values = pair.rows()
    return store.frame(
        f"""
        WITH placed AS (
            SELECT *, rank() OVER by_first AS first_rank, rank() OVER by_second AS second_rank,
                count(*) OVER by_first AS first_last, count(*) OVER by_second AS second_last,
                count(*) OVER (PARTITION BY domain) AS domain_rows
            FROM ({sql})
            WINDOW by_first AS (PARTITION BY domain ORDER BY first_score DESC),
                by_second AS (PARTITION BY domain ORDER BY second_score DESC)
        ), moving AS (
            SELECT *, 50 * (first_rank + first_last - second_rank - second_last) / domain_rows AS moved FROM placed
        ), furthest AS (
            (SELECT * FROM moving WHERE moved > 0 ORDER BY moved DESC, row_number LIMIT {limit:d})
            UNION ALL (SELECT * FROM moving WHERE moved < 0 ORDER BY moved, row_number LIMIT {limit:d})
        )
        SELECT row_number, domain, moved, first_score, second_score, first_rank, second_rank, domain_rows,
            {snippet("prompt")}, {snippet("response")}
        FROM furthest JOIN example USING (example_id) ORDER BY moved DESC, row_number
        """,
        values,
    )
