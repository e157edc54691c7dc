"""Multiple-choice rows are recognised, natural orders left out, and the difference has the binomial's own interval."""

import random

import pytest

from core.data.examples import Example, Message
from core.evidence.option_orders import choice_row, order_difference


def asked(prompt: str, answer: str) -> Example:
    return Example((Message("user", prompt), Message("assistant", answer)))


QUESTION = "Which is a river?\nA. stone\nB. Thames\nC. apple"


@pytest.mark.parametrize("answer", ["B", "b.", "B. Thames", "(B) Thames", "thames"])
def test_a_question_with_lettered_lines_is_recognised_if_its_reply_names_one(answer: str) -> None:
    row = choice_row(asked(QUESTION + "\nAnswer:", answer))
    assert row is not None
    assert (row.before, row.options, row.after) == ("Which is a river?", ("stone", "Thames", "apple"), "\nAnswer:")
    assert (row.objection, row.chance) == (None, 1 / 6)


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        (QUESTION, "The Thames is one of them."),
        ("Sort this.\nA. stone\nC. apple", "A"),
        ("A. stone\nB. apple", "A"),
        ("Which?\n1. stone\n2. apple", "1"),
        ("Write a poem.", "A"),
    ],
)
def test_other_rows_are_not_multiple_choice(prompt: str, answer: str) -> None:
    assert choice_row(asked(prompt, answer)) is None


def test_every_order_keeps_the_letters_and_the_original_is_first() -> None:
    row = choice_row(asked("Which?\n(a) stone\n(b) Thames\n(c) apple\nSay it.", "(b)"))
    assert row is not None
    replies = [example.response for example in row.orders()]
    assert replies[0] == "(a) stone\n(b) Thames\n(c) apple\nSay it."
    assert "(a) apple\n(b) stone\n(c) Thames\nSay it." in replies
    assert len(set(replies)) == 6
    assert {example.prompt for example in row.orders()} == {"Which?"}


@pytest.mark.parametrize(
    ("options", "objection"),
    [
        (["12", "15", "9"], "natural order"),
        (["$1.50", "$2", "$3"], "natural order"),
        (["True", "False"], "natural order"),
        (["pear", "apple", "All of the above"], "refers to others"),
        (["pear", "apple", "Both A and B"], "refers to others"),
        (["pear", "apple", "None of these"], "refers to others"),
        (["pear", "Pear.", "apple"], "equal"),
        (["f", "a", "d", "b", "c", "e"], "more than 5"),
    ],
)
def test_options_that_are_not_exchangeable_are_left_out(options: list[str], objection: str) -> None:
    lines = "\n".join(f"{'ABCDEF'[place]}. {option}" for place, option in enumerate(options))
    row = choice_row(asked(f"Which?\n{lines}", "A"))
    assert row is not None
    assert objection in str(row.objection)


def test_two_models_that_agree_differ_by_nothing_and_the_interval_says_how_much_could_be_missed() -> None:
    found = order_difference([True, False] * 50, [True, False] * 50, [1 / 6] * 100)
    assert (found.only_base, found.only_reference, found.difference) == (0, 0, 0.0)
    bound = 1 - 0.0125 ** (1 / 100)  # no event in 100 rows, at 97.5 % two-sided
    assert (found.low, found.high) == pytest.approx((-bound, bound))


def test_shares_have_clopper_and_pearsons_interval() -> None:
    found = order_difference([True] + [False] * 9, [True] * 5 + [False] * 5, [1 / 24] * 10)
    assert (found.base.low, found.base.high) == pytest.approx((0.0025, 0.4450), abs=1e-4)  # published tables
    assert (found.reference.low, found.reference.high) == pytest.approx((0.1871, 0.8129), abs=1e-4)
    assert (found.difference, found.only_reference) == (0.4, 4)


def test_without_a_leak_the_interval_holds_zero_and_a_planted_one_is_found() -> None:
    draw = random.Random(1)
    misses = 0
    for _ in range(200):
        base, reference = ([draw.random() < 1 / 6 for _ in range(60)] for _ in range(2))
        found = order_difference(base, reference, [1 / 6] * 60)
        misses += not found.low <= 0 <= found.high
    assert misses <= 10  # at most 5 %
    base = [draw.random() < 1 / 24 for _ in range(200)]
    leaked = [draw.random() < 0.4 for _ in range(200)]
    assert order_difference(base, leaked, [1 / 24] * 200).low > 0.1
