"""Text measures: each held against counting sequences in plain Python, and the flags that come of them."""

import random
import re
from pathlib import Path

import pytest

from core.store import Store
from core.store.text_measures import measure_texts
from tests.core.scored_rows import ScoredRow, add_scored_run

LOOP = "the same four words again " * 6
TEXTS = (
    ("Say it.", LOOP),
    ("Repeat: one two three four five six", "one two three four five six"),
    ("Repeat: one two three four five six", "It says one two three four and then some"),
    ("写一句话。", "春天来了,春天来了,春天来了。"),
    ("What is it?", "a few\nwords\t over  lines a few words over and out"),
    ("What is it?", "too few words"),
    ("What is it?", "Mars"),
)


def sequences(text: str) -> list[tuple[str, ...]]:
    words = re.findall(r"[\u3040-\u30ff\u4e00-\u9fff]|[^\s\u3040-\u30ff\u4e00-\u9fff]+", text)
    return [tuple(words[place : place + 4]) for place in range(len(words) - 3)]


def by_hand(prompt: str, response: str) -> tuple[float, float] | tuple[None, None]:
    found, known = sequences(response), set(sequences(prompt))
    if not found:
        return None, None
    return 1 - len(set(found)) / len(found), len(set(found) & known) / len(set(found))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "workspace", "a test")


def flags(store: Store, table: str) -> list[tuple[bool, ...]]:
    return store.rows(f"SELECT short_response, repetitive, copies_prompt FROM {table} ORDER BY row_number")


def test_measures_are_what_counting_gives(store: Store) -> None:
    add_scored_run(store, [ScoredRow("chat", 2.0, 1.0, 20, prompt, response) for prompt, response in TEXTS])
    found = store.rows(
        "SELECT repeated_share, copied_share FROM text_measure JOIN example USING (example_id) "
        "JOIN dataset_row USING (example_id) ORDER BY row_number"
    )
    for (prompt, response), shares in zip(TEXTS, found, strict=True):
        assert shares == pytest.approx(by_hand(prompt, response)), response


def test_measures_of_thousands_of_texts_are_what_counting_gives(store: Store) -> None:
    rng = random.Random(3)
    texts = [
        (" ".join(rng.choices("abc", k=rng.randrange(30))), "\n".join(rng.choices("abcd春", k=rng.randrange(1, 60))))
        for _ in range(5_000)
    ]
    add_scored_run(store, [ScoredRow("chat", 2.0, 1.0, 20, *text) for text in texts])
    found = store.rows(
        "SELECT prompt, response, repeated_share, copied_share FROM text_measure JOIN example USING (example_id)"
    )
    assert len(found) == len(set(texts))
    wrong = [row for row in found if row[2:] != pytest.approx(by_hand(*row[:2]))]
    assert wrong == []


def test_flags_follow_the_settings(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [ScoredRow("chat", 2.0, 1.0, tokens, *TEXTS[place]) for tokens, place in ((9, 0), (10, 1), (0, 2))]
    table = add_scored_run(store, rows)
    assert flags(store, table) == [(True, True, False), (False, False, True), (False, False, False)]
    monkeypatch.setenv("LOBASS_SHORT_RESPONSE", "9")
    monkeypatch.setenv("LOBASS_REPEATED_SHARE", "0.9")
    monkeypatch.setenv("LOBASS_COPIED_SHARE", "0.1")
    add_scored_run(store, rows)
    assert flags(store, table) == [(False, False, False), (False, False, True), (False, False, True)]


def test_each_example_is_measured_once(store: Store) -> None:
    row = ScoredRow("chat", 2.0, 1.0, 20, *TEXTS[0])
    add_scored_run(store, [row, row])
    add_scored_run(store, [row], run="second", dataset="other")
    assert store.rows("SELECT count(*) FROM text_measure") == [(1,)]


def test_examples_imported_by_an_earlier_version_are_measured_when_scored(store: Store) -> None:
    rows = [ScoredRow("chat", 2.0, 1.0, 20, *TEXTS[0])]
    table = add_scored_run(store, rows)
    store.write(lambda connection: connection.execute("DELETE FROM text_measure").fetchall())
    store.write(lambda connection: connection.execute(f"ALTER TABLE {table} DROP COLUMN repetitive").fetchall())
    store.close()
    with Store.open(store.workspace, "a test") as again:
        assert flags(again, table) == [(False, True, False)]
        again.write(measure_texts)
        assert again.rows("SELECT count(*) FROM text_measure") == [(1,)]
