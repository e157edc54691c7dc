"""What differs between two texts: pieces that add up to both."""

import pytest

from core.exploring.text_differences import LONGEST_COMPARED, differences


def test_an_edit_is_marked_word_by_word() -> None:
    assert differences("Forty ships sail.", "Forty boats sail!") == [
        ("same", "Forty "),
        ("removed", "ships"),
        ("added", "boats"),
        ("same", " sail"),
        ("removed", "."),
        ("added", "!"),
    ]


def test_the_same_text_has_no_difference() -> None:
    assert differences("Forty\nships", "Forty\nships") == [("same", "Forty\nships")]
    assert differences("", "") == []


@pytest.mark.parametrize(
    ("old", "new"),
    [("", "all new"), ("all gone", ""), ("a  b\n\nc", "a b c d"), ("四十艘船", "四十艘大船"), ("x+=1", "x *= 2")],
)
def test_the_pieces_add_up_to_both_texts(old: str, new: str) -> None:
    pieces = differences(old, new)
    assert pieces is not None
    assert "".join(text for kind, text in pieces if kind != "removed") == new
    assert "".join(text for kind, text in pieces if kind != "added") == old


def test_long_texts_are_not_compared() -> None:
    assert differences("a " * LONGEST_COMPARED, "a") is None
    assert differences("a", "a " * LONGEST_COMPARED) is None
