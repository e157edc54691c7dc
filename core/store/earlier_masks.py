"""Finds runs scored with a chat template by versions up to 0.5.0, which often masked the reply wrongly."""

import json
from pathlib import Path

import duckdb

from .connection import fetch_all


def earlier_masks_notice(connection: duckdb.DuckDBPyConnection, _workspace: Path) -> list[str]:
    """A sentence that names these runs, if there are any; they stay unchanged until they are scored again."""
    runs = fetch_all(connection, "SELECT name, description FROM run ORDER BY run_id")
    names = [
        name for name, description in runs if json.loads(description).get("encoding", {}).get("template") == "chat"
    ]
    if not names:
        return []
    return [
        f"The runs {', '.join(map(repr, names))} were scored by an earlier version, which often masked replies in chat "
        "templates wrongly. Score them again under the same names."
    ]
