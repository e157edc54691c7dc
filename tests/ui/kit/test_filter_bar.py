"""The filter bar's chips: every condition in words, and the filter that is left without it."""

from core.data.filters import EVERYTHING, Range, Region, RowFilter
from core.data.text_search import TextSearch
from ui.kit.filter_bar import filter_chips

CORNERS = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))


def test_every_condition_has_a_chip_that_takes_only_it_away() -> None:
    row_filter = RowFilter(
        ("chat", "math"),
        (Range("learnability", 0.25, 0.5), Range("token_count", 5.0, None), Range("base_loss", None, 2.0)),
        ("truncated",),
        ("duplicate",),
        TextSearch("red planet", "phrase", "prompt"),
        (Region("base_loss", "reference_loss", CORNERS),),
    )
    chips = filter_chips(row_filter)
    assert [label for label, _ in chips] == [
        "chat",
        "math",
        "Learnability 0.25 to 0.5",
        "Tokens from 5",
        "Base loss to 2",
        "Lasso over base loss and reference loss",
        "Exclude truncated",
        "Require duplicate",
        "Exact phrase: red planet in the prompt",
    ]
    for _, without in chips:
        assert len(filter_chips(without)) == len(chips) - 1
    rest = row_filter
    while found := filter_chips(rest):
        rest = found[0][1]
    assert rest == EVERYTHING


def test_a_long_search_does_not_fill_the_bar() -> None:
    ((label, _),) = filter_chips(RowFilter(search=TextSearch("word " * 100)))
    assert len(label) <= 60
