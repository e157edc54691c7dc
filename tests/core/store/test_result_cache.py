"""Kept results: the same question is not asked twice, and never answered with what was true before a write."""

from pathlib import Path

import pytest

from core.store import Store
from core.store.connection import fetch_all
from core.store.result_cache import KEPT, MOST_CELLS, ResultCache


class Asked:
    """Answers with a list of so many rows and counts how often it was asked."""

    def __init__(self, rows: int = 1) -> None:
        self.rows, self.times = rows, 0

    def __call__(self) -> list[tuple[object, ...]]:
        self.times += 1
        return [(number,) for number in range(self.rows)]


def test_the_same_question_is_asked_once() -> None:
    cache, asked = ResultCache(), Asked()
    assert [cache.result("rows", "SELECT ?", [1], asked) for _ in range(3)] == [[(0,)]] * 3
    assert asked.times == 1


@pytest.mark.parametrize("other", [("rows", "SELECT ?", [1.0]), ("rows", "SELECT ? ", [1]), ("frame", "SELECT ?", [1])])
def test_another_question_is_asked(other: tuple[str, str, list[object]]) -> None:
    cache, asked = ResultCache(), Asked()
    cache.result("rows", "SELECT ?", [1], asked)
    cache.result(*other, asked)
    assert asked.times == 2


def test_a_change_to_an_answer_stays_with_who_made_it() -> None:
    cache, asked = ResultCache(), Asked()
    cache.result("rows", "SELECT", [], asked).clear()
    assert cache.result("rows", "SELECT", [], asked) == [(0,)]


def test_an_answer_from_before_a_write_is_not_kept() -> None:
    cache, asked = ResultCache(), Asked()

    def ask_while_something_is_written() -> list[tuple[object, ...]]:
        cache.forget()
        return asked()

    cache.result("rows", "SELECT", [], ask_while_something_is_written)
    cache.result("rows", "SELECT", [], asked)
    assert asked.times == 2


def test_large_answers_and_old_ones_are_not_kept() -> None:
    cache, large, old = ResultCache(), Asked(MOST_CELLS + 1), Asked()
    for _ in range(2):
        cache.result("rows", "large", [], large)
    assert large.times == 2
    cache.result("rows", "old", [], old)
    for number in range(KEPT):
        cache.result("rows", "newer", [number], Asked())
    cache.result("rows", "old", [], old)
    assert old.times == 2


def test_parameters_that_cannot_be_a_key_are_asked_each_time() -> None:
    cache, asked = ResultCache(), Asked()
    for _ in range(2):
        cache.result("rows", "SELECT", [{"an": "object"}], asked)
    assert asked.times == 2


def test_lists_are_told_apart_by_what_they_hold() -> None:
    cache, asked = ResultCache(), Asked()
    for given in (["a", "b"], ["a", "b"], ["b", "a"]):
        cache.result("rows", "SELECT", [given], asked)
    assert asked.times == 2


def test_a_store_answers_with_what_was_written_last(tmp_path: Path) -> None:
    with Store.open(tmp_path / "workspace", "a test") as store:
        for number in range(3):
            assert store.rows("SELECT count(*) FROM shard") == [(number,)]
            assert store.frame("SELECT count(*) AS shards FROM shard")["shards"].tolist() == [number]
            name = f"shard {number}"
            store.write(
                lambda connection, name=name: fetch_all(
                    connection, "INSERT INTO shard (name, row_count, ingested_at) VALUES (?, 1, now())", [name]
                )
            )
