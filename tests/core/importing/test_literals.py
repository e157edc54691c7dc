"""Cells that Python or NumPy printed are read as the values they were, and nothing in them runs."""

import pytest

from core.importing.literals import parse_literal
from core.importing.records import RecordUnusable

TURNS = [{"role": "user", "content": "It's"}, {"role": "assistant", "content": 'He said "no"'}]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (str(TURNS), TURNS),
        (str(TURNS).replace("}, {", "}\n {"), TURNS),
        (f"array({TURNS}, dtype=object)", TURNS),
        ("['Why?' 'Because.']", ["Why?", "Because."]),
        ("{'a': None, 'b': True, 'c': (1, 2.5), 'd': nan}", {"a": None, "b": True, "c": [1, 2.5], "d": None}),
        ('[{"role": "user"}]', [{"role": "user"}]),
        ("['a, } { b' 'c']", ["a, } { b", "c"]),
        (r"['a\nb', 'it\'s']", ["a\nb", "it's"]),
    ],
)
def test_a_printed_value_is_read(cell: str, value: object) -> None:
    assert parse_literal(cell) == value


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("hello", "bad JSON"),
        ("__import__('os').getcwd()", "bad JSON"),
        ("['a', b'c']", "bad JSON"),
        ("[1, 2, ...]", "bad JSON"),
        ("[" + "'a' + " * 5000 + "'b']", "bad JSON"),
        ("['a'" + "]" * 3, "bad JSON"),
        ("{'a': " * 70 + "1" + "}" * 70, "nested too deep"),
        ("('a'," * 5000, "nested too deep"),
        ("{'a': 1e999}", "NaN or infinity"),
        (r"['\ud83d']", "lone surrogate"),
    ],
)
def test_what_is_no_plain_value_is_refused(cell: str, reason: str) -> None:
    with pytest.raises(RecordUnusable) as caught:
        parse_literal(cell)
    assert caught.value.reason == reason
