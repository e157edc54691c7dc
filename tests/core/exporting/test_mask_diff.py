"""Masks compared: what only one side counts or reads is found, counted and named, whatever shifts the tokens."""

from core.exporting.mask_diff import Difference, MaskReport, Tokens, compare_masks, row_differences
from core.exporting.mask_report import mask_text


def row(text: str) -> Tokens:
    """A token a character; capitals count."""
    return Tokens([ord(letter.lower()) for letter in text], [letter.isupper() for letter in text])


def runs(scored: str, trained: str) -> list[tuple[str, str]]:
    found, _ = row_differences(row(scored), row(trained))
    return [(kind, "".join(map(chr, ids))) for kind, ids in found]


def report(*pairs: tuple[str, str | None]) -> MaskReport:
    rows = ((n, row(scored), None if trained is None else row(trained)) for n, (scored, trained) in enumerate(pairs, 1))
    return compare_masks(rows, lambda ids: "".join(map(chr, ids)))


def test_rows_that_are_alike_differ_in_nothing() -> None:
    assert runs("abcDEF", "abcDEF") == []


def test_what_stands_after_the_last_counted_token_does_not_matter() -> None:
    assert runs("abcDEFgh", "abcDEFij") == []


def test_an_end_that_only_one_side_trains_on_is_named() -> None:
    assert runs("abcDEF", "abcDEFX") == [("trained_only", "x")]
    assert runs("abcDEFX", "abcDEF") == [("scored_only", "x")]


def test_context_that_is_counted_by_one_side_is_named_as_one_text() -> None:
    assert runs("abcdefGH", "abCDefGH") == [("trained_only", "cd")]
    assert runs("abCDefGH", "abcdefGH") == [("scored_only", "cd")]


def test_a_text_that_only_one_side_reads_shifts_nothing_else() -> None:
    assert runs("abcDEF", "xabcDEF") == [("read_otherwise", "x")]
    assert runs("abxcDEFghIJ", "abcDEFghyIJ") == [("not_read", "x"), ("read_otherwise", "y")]


def test_equal_texts_are_put_together_over_rows_with_their_counts() -> None:
    found = report(("aBC", "aBCN"), ("aBD", "aBDN"), ("aBC", "aBC"))
    assert (found.rows, found.equal_rows) == (3, 1)
    assert (found.scored_tokens, found.trained_tokens, found.shared_tokens) == (6, 8, 6)
    assert found.differences == (Difference("trained_only", "n", 2, 2, (1, 2)),)


def test_the_first_token_of_a_row_counts_for_nothing() -> None:
    assert report(("aBC", "ABC")).equal_rows == 1


def test_a_row_that_the_trainer_drops_is_named() -> None:
    found = report(("aBC", "aBC"), ("aBC", None))
    assert (found.rows, found.dropped_rows, found.scored_tokens) == (1, (2,), 4)
    assert "It drops 1 rows (row 2)." in mask_text("TRL", found)


def test_the_text_says_the_counts_first_then_each_difference() -> None:
    lines = mask_text("TRL", report(("aBC", "aBCN"), ("aBC", "aBC"))).splitlines()
    assert lines == [
        "TRL reads 1 of 2 rows exactly as they were scored. It trains on 4 of 4 scored tokens, and on 1 that were not "
        "scored.",
        "trained on, not scored: 'n', 1 tokens in 1 row (row 1)",
    ]
