"""Values that a recipe, a filter, a manifest, a trial's plan or a link may hold where another was meant."""

import json
from typing import Any


def nested(levels: int, kind: str = "[]") -> Any:
    """A list or object in a list or object, so many times."""
    value: Any = 1
    for _ in range(levels):
        value = [value] if kind == "[]" else {"a": value}
    return value


HOSTILE_VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "false": False,
    "zero": 0,
    "minus one": -1,
    "a fraction": 0.5,
    "minus a fraction": -0.5,
    "10 ** 18": 10**18,
    "2 ** 63": 2**63,
    "2 ** 64": 2**64,
    "10 ** 400": 10**400,
    "10 ** 5000": 10**5000,
    "minus 10 ** 400": -(10**400),
    "the largest double": 1.7976931348623157e308,
    "the smallest double": 5e-324,
    "not a number": float("nan"),
    "infinity": float("inf"),
    "minus infinity": float("-inf"),
    "an empty text": "",
    "a text": "mars",
    "a number as text": "0.5",
    "not a number as text": "nan",
    "a NUL": "a\0b",
    "a lone surrogate": "a\ud800b",
    "a surrogate escape of a path": "a\udcffb",
    "line breaks": "a\r\n\u2028\x85b",
    "direction marks": "a\u202eb\u2066",
    "a quote and SQL": "'); DROP TABLE run; --",
    "braces": "{0} {} %s ${x}",
    "a long text": "x" * 100_000,
    "a regular expression": "((a{1000}){1000}){1000}",
    "an empty list": [],
    "an empty object": {},
    "a list of null": [None],
    "a list of numbers": [1, 2.5, -3],
    "a list of texts": ["a", "b"],
    "a list of lists": [[], [[]], ["token_count", [], {}]],
    "a list of objects": [{}, {"kind": "ratio", "value": {}}],
    "a range to infinity": [["token_count", float("-inf"), float("nan")]],
    "a region of one point": [["base_loss", "reference_loss", [[0, 0]] * 3]],
    "a region of great numbers": [["base_loss", "token_count", [[1e308, -1e308], [-1e308, 1e308], [5e-324, 0.0]]]],
    "an object of another kind": {"kind": ["ratio"], "value": [1]},
    "an object of odd names": {"": 1, "\ud800": 2, "__class__": 3, "0": {}},
    "an object of lists": {"a": [1, [2]], "b": {"c": None}},
    "100 lists": nested(100),
    "100,000 lists": nested(100_000),
    "100,000 objects": nested(100_000, "{}"),
}


def as_link(value: Any) -> str:
    """The value as JSON that a person may put into an address, valid or not."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "[" * 5_000 + "]" * 5_000
    except ValueError:
        return "1" + "0" * 5_000
