"""Places on a map as columns of a filter: `map_KEY_x` and `map_KEY_y`, where KEY says which map.

A scored table has no such column: a condition on one is looked up among the places that the store keeps of that map.
"""

import re

MAP_KEY_CHARACTERS = 16
_COLUMN = re.compile(rf"map_([0-9a-f]{{{MAP_KEY_CHARACTERS}}})_[xy]")


def map_columns(key: str) -> tuple[str, str]:
    """The columns of a map's places."""
    return f"map_{key}_x", f"map_{key}_y"


def map_of(column: str) -> str | None:
    """The key of the map that the column is of; None for any other column."""
    found = _COLUMN.fullmatch(column)
    return found[1] if found else None


def places_sql(key: str) -> str:
    """SQL of a map's places: example_id, and x and y under the names of `map_columns`."""
    x, y = map_columns(key)
    return f"SELECT example_id, x AS {x}, y AS {y} FROM map_place JOIN map_set USING (map_set_id) WHERE key = '{key}'"


def inside_sql(key: str, conditions: list[str]) -> str:
    """SQL of the example_ids whose places meet all conditions on the map's columns."""
    return f"SELECT example_id FROM ({places_sql(key)}) WHERE {' AND '.join(conditions)}"
