"""A row's scores on their way out: as values, and as SQL of the same values and the same text.

DuckDB prints a double as Python's json does, so both give the same bytes.
"""

import json
import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from ..data.scores import FLAGS

SCORES_FIELD = "lobass"
"""Name of the object that scores are added under, and beginning of the columns' names."""

_TYPES = {"domain": pa.string(), "flags": pa.list_(pa.string()), "token_count": pa.int64(), "rank": pa.int64()}


def score_types(scores: Sequence[str]) -> dict[str, Any]:
    """Columns of what `row_scores` says of a row, in its order, and their Arrow types."""
    names = (*scores, "token_count", "rank", "domain", "flags")
    return {f"{SCORES_FIELD}_{name}": _TYPES.get(name, pa.float64()) for name in names}


PLAIN_DOMAIN = r"""NOT regexp_matches(domain, '["\\\x00-\x1f]')"""
"""SQL: whether the domain stands in JSON as it is."""


def row_scores(row: dict[str, Any], scores: Sequence[str]) -> dict[str, Any]:
    """A row's scores (those of its run, by name), rank, domain and flags as JSON can hold them."""
    return {
        # A perplexity may be infinite, which JSON cannot say.
        **{name: row[name] if row[name] is not None and math.isfinite(row[name]) else None for name in scores},
        "token_count": row["token_count"],
        "rank": row["rank"],
        "domain": row["domain"],
        "flags": [flag for flag in FLAGS if row[flag]],
    }


def score_values(scores: Sequence[str]) -> dict[str, str]:
    """SQL of each value of `row_scores`."""
    flags = ", ".join(f"if({flag}, '{flag}', NULL)" for flag in FLAGS)
    return {
        **{name: f"if(isfinite({name}), {name}, NULL)" for name in scores},
        "token_count": "token_count",
        "rank": "rank",
        "domain": "domain",
        "flags": f"list_filter([{flags}], lambda flag: flag IS NOT NULL)",
    }


def score_texts(scores: Sequence[str]) -> dict[str, str]:
    """SQL of each value of `row_scores` as text: numbers and flags as JSON, NULL for null, the domain as it is."""
    flags = ", ".join(f"""if({flag}, '"{flag}"', NULL)""" for flag in FLAGS)
    values = score_values(scores)
    numbers = {name: f"({value})::VARCHAR" for name, value in values.items() if name not in ("domain", "flags")}
    return {**numbers, "domain": "domain", "flags": f"'[' || concat_ws(', ', {flags}) || ']'"}


def scores_json(scores: Sequence[str]) -> str:
    """SQL of `json.dumps(row_scores(row, scores))`, for rows of which `PLAIN_DOMAIN` holds."""
    texts = score_texts(scores) | {"domain": """'"' || domain || '"'"""}
    members = [f"""'{json.dumps(name)}: ' || coalesce({text}, 'null')""" for name, text in texts.items()]
    joined = " || ', ' || ".join(members)
    return f"'{{' || {joined} || '}}'"
