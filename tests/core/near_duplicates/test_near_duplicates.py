"""Near duplicates: MinHash's proposals are confirmed by hand-made and exhaustive comparison."""

import json
import random
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from core.data.examples import Example, Message
from core.near_duplicates.similarity import (
    Hashes,
    ShingleSets,
    _Search,
    bands,
    compared_text,
    jaccard,
    near_duplicate_groups,
    shingle_sets,
    signatures,
)

STORY = (
    "The lighthouse keeper counted forty ships before noon, wrote each name in the blue ledger, and climbed down to "
    "boil water for tea while the fog rolled slowly over the harbour wall."
)
CODE = (
    "def mean(values: list[float]) -> float:\n    total = 0.0\n    for value in values:\n        total += value\n" * 2
)


def laid_end_to_end(sets: list[Hashes]) -> ShingleSets:
    return ShingleSets(np.concatenate(sets), np.cumsum([len(found) for found in sets], dtype=np.int64))


def groups_of(texts: list[str], threshold: float) -> list[int]:
    sets = shingle_sets(texts)
    return near_duplicate_groups(signatures(sets), laid_end_to_end(sets), threshold).tolist()


def grouped(texts: list[str], threshold: float) -> set[frozenset[str]]:
    """The groups as sets of texts, whatever their numbers."""
    numbers = groups_of(texts, threshold)
    return {
        frozenset(text for text, other in zip(texts, numbers, strict=True) if other == number)
        for number in set(numbers) - {0}
    }


def alike(first: str, second: str) -> float:
    return jaccard(*shingle_sets([first, second]))


def edited(text: str, rng: random.Random, edits: int) -> str:
    words = text.split()
    for place in rng.sample(range(len(words)), edits):
        words[place] = f"word{rng.randrange(10**6)}"
    return " ".join(words)


def test_similarity_is_shared_runs_of_three_words_by_all_of_them() -> None:
    # one two three, two three four | two three four, three four five
    assert alike("one two three four", "two three four five") == pytest.approx(1 / 3)
    assert alike("one two three", "one two three") == 1
    assert alike("one two three", "four five six") == 0


@pytest.mark.parametrize(
    "same",
    [
        "the Lighthouse  keeper\n\tcounted SHIPS",
        " The lighthouse keeper counted ships ",
        "the lighthouse\r\nkeeper counted ships",
    ],
)
def test_case_and_white_space_make_no_difference(same: str) -> None:
    assert alike("The lighthouse keeper counted ships", same) == 1


def test_every_sign_counts_so_code_differs_by_its_operators() -> None:
    assert alike(CODE, CODE.replace("+=", "*=")) < 1
    assert groups_of([CODE, CODE.replace("value", "number")], 0.8) == [0, 0]
    assert groups_of([CODE, CODE.replace("0.0", "0.1")], 0.7) == [1, 1]


def test_chinese_is_compared_by_its_characters() -> None:
    text = "请用简单的语言解释光合作用的过程,并举一个日常生活中的例子来说明它的重要性。"
    assert alike(text, text.replace("日常", "平常")) == pytest.approx(30 / 40, abs=0.1)
    assert groups_of([text, text.replace("过程", "历程"), "今天的天气很好,我们去公园散步吧。"], 0.6) == [1, 1, 0]


def test_very_short_texts_are_compared_by_their_characters() -> None:
    assert 0 < alike("good morning", "good mornings") < 1
    assert alike("ok", "OK ") == 1
    assert alike("ok", "no") == 0


def test_texts_without_any_sign_are_never_grouped() -> None:
    assert groups_of(["", "  \n", "\t", ""], 0.5) == [0, 0, 0, 0]
    assert alike("", "") == 0


def test_system_turns_and_tools_do_not_make_rows_alike() -> None:
    common = "You are a careful assistant of the harbour office. " * 20

    def row(question: str, answer: str) -> Example:
        return Example((Message("system", common), Message("user", question), Message("assistant", answer)), common)

    first, second = row("How many ships?", "Forty of them."), row("Who boils the water?", "The keeper does.")
    assert compared_text(first) == "How many ships?\nForty of them."
    assert groups_of([compared_text(first), compared_text(second)], 0.5) == [0, 0]
    alone = Example((Message("system", "Count the ships."), Message("assistant", "Forty.")))
    assert compared_text(alone) == "Count the ships.\nForty."


def test_the_demos_planted_near_duplicates_are_found_and_hardly_anything_else() -> None:
    rows = [json.loads(line) for line in Path("demo/dataset.jsonl").read_text(encoding="utf-8").splitlines()]
    numbers = groups_of(["\n".join(row[name] for name in ("instruction", "input", "output")) for row in rows], 0.8)
    planted = [(place, row["planted_of"]) for place, row in enumerate(rows) if row["planted"] == "near_duplicate"]
    found = sum(numbers[copy] == numbers[original] > 0 for copy, original in planted)
    assert found >= 0.8 * len(planted)
    related = {place for pair in planted for place in pair}
    related |= {place for row in rows if row["planted"] == "exact_duplicate" for place in (row["planted_of"],)}
    related |= {place for place, row in enumerate(rows) if row["planted"] == "exact_duplicate"}
    assert {place for place, number in enumerate(numbers) if number} <= related


def test_a_pair_at_the_threshold_is_linked_and_one_below_is_not() -> None:
    # Ten words are eight runs; one more word at the end makes nine, eight of them shared.
    ten = "a b c d e f g h i j"
    assert groups_of([ten, f"{ten} k"], 8 / 9) == [1, 1]
    assert groups_of([ten, f"{ten} k"], 8 / 9 + 1e-6) == [0, 0]


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.95, 1.0])
def test_the_same_words_are_grouped_at_every_threshold(threshold: float) -> None:
    assert groups_of([STORY, STORY.upper(), CODE], threshold) == [1, 1, 0]


def test_links_hold_a_chain_together_whose_ends_are_less_alike() -> None:
    words = [f"w{number}" for number in range(60)]
    chain = [" ".join(words[start : start + 40]) for start in (0, 4, 8)]
    assert alike(chain[0], chain[2]) < 0.75 <= alike(chain[0], chain[1])
    assert groups_of(chain, 0.75) == [1, 1, 1]


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9])
def test_groups_are_those_of_comparing_all_with_all(threshold: float) -> None:
    rng = random.Random(1)  # of a hundred pairs at the threshold one may be missed; of these texts none is
    vocabulary = [f"v{number}" for number in range(300)]
    originals = [" ".join(rng.choices(vocabulary, k=rng.randrange(20, 60))) for _ in range(60)]
    texts = [text for original in originals for text in (original, *(edited(original, rng, n) for n in (1, 2, 4)))]
    sets = shingle_sets(texts)
    parent = list(range(len(texts)))

    def root(place: int) -> int:
        while parent[place] != place:
            place = parent[place]
        return place

    for first, second in combinations(range(len(texts)), 2):
        if jaccard(sets[first], sets[second]) >= threshold:
            parent[root(second)] = root(first)
    expected = {
        frozenset(text for place, text in enumerate(texts) if root(place) == number)
        for number in set(map(root, parent))
    }
    assert grouped(texts, threshold) == {group for group in expected if len(group) > 1}


def test_a_link_of_a_later_band_connects_groups_of_earlier_ones() -> None:
    """Links that each band and each bucket found alone: a, b and c, d first, then b and c."""
    texts = _Search(signatures(shingle_sets([STORY] * 5)), laid_end_to_end(shingle_sets([STORY] * 5)), 0.8)
    for first, second in ((1, 0), (3, 2)):
        assert texts._link_alike(first, np.array([second]), np.array([first, second]))
    texts.connect()
    assert texts.labels.tolist() == [0, 0, 2, 2, 4]
    assert texts._link_alike(3, np.array([1]), np.array([1, 3]))
    assert not texts._link_alike(3, np.array([1]), np.array([1, 3]))
    texts.connect()
    assert texts.labels.tolist() == [0, 0, 0, 0, 4]


def test_the_order_of_the_texts_changes_no_group() -> None:
    rng = random.Random(1)
    texts = [edited(text, rng, edits) for text in (STORY, CODE, "five " * 9 + STORY) for edits in (0, 1, 1, 2, 3)]
    expected = grouped(texts, 0.6)
    assert expected
    for _ in range(5):
        rng.shuffle(texts)
        assert grouped(texts, 0.6) == expected


def test_groups_are_numbered_from_the_largest() -> None:
    texts = ["lone text of five words", CODE, CODE.upper(), STORY, STORY.upper(), STORY.title()]
    assert groups_of(texts, 0.8) == [0, 2, 2, 1, 1, 1]


def test_a_crowd_of_near_duplicates_is_one_group_and_stays_apart_from_its_neighbours() -> None:
    crowd = [STORY.replace("forty", f"n{number}") for number in range(700)]
    numbers = groups_of([*crowd, CODE, CODE.upper()], 0.7)
    assert numbers == [1] * 700 + [2, 2]


def test_a_crowd_that_is_almost_alike_is_not_grouped() -> None:
    crowd = [STORY.replace("forty", f"n{number}") for number in range(600)]
    assert alike(crowd[0], crowd[1]) < 0.85
    assert set(groups_of(crowd, 0.85)) == {0}


def test_pairs_in_a_crowd_are_found() -> None:
    crowd = [STORY.replace("forty", f"n{number}").replace("tea", f"m{number}") for number in range(400)]
    twins = [text.replace("fog", "Fog") for text in crowd[::40]]
    numbers = groups_of([*crowd, *twins], 0.9)
    assert [numbers[place] for place in range(0, 400, 40)] == numbers[400:]
    assert sorted(numbers[400:]) == list(range(1, 11))


def test_similarities_to_one_set_are_jaccards() -> None:
    rng = random.Random(2)
    sets = shingle_sets([STORY, *(edited(STORY, rng, edits) for edits in (0, 1, 5, 20)), CODE])
    together = laid_end_to_end(sets)
    assert together.sizes.tolist() == [len(found) for found in sets]
    found = together.similarities(3, np.array([5, 0, 4, 1]))
    assert found.tolist() == pytest.approx([jaccard(sets[3], sets[other]) for other in (5, 0, 4, 1)])


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0])
def test_bands_propose_a_pair_at_the_threshold_almost_surely_and_unlike_ones_rarely(threshold: float) -> None:
    count, rows = bands(threshold)
    assert count * rows <= 128
    assert 1 - (1 - threshold**rows) ** count >= 0.99
    assert 1 - (1 - (threshold / 4) ** rows) ** count < 0.15


def test_the_search_says_how_far_it_is_and_can_be_ended() -> None:
    sets = shingle_sets([STORY, STORY.upper(), CODE])
    shares: list[float] = []
    near_duplicate_groups(signatures(sets), laid_end_to_end(sets), 0.8, shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1

    def end(share: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        near_duplicate_groups(signatures(sets), laid_end_to_end(sets), 0.8, end)
