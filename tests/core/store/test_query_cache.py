"""Cached tables are made once, made again when what they read has changed, and never dropped while they are read."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.store import Store, database


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "workspace", "a test") as opened:
        yield opened


def test_a_table_is_made_once_for_the_same_state(store: Store) -> None:
    names = []
    for state in (1, 1, 2):
        with store.cached_table("SELECT range AS number FROM range(?)", [3], [state]) as table:
            assert store.rows(f"SELECT count(*) FROM {table}") == [(3,)]
            names.append(table)
    assert names[0] == names[1] != names[2]


def test_a_table_in_use_outlives_the_limit_and_goes_after_it(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_MAX_CACHED_ROWS", 4)
    store = request.getfixturevalue("store")
    with store.cached_table("FROM range(3)", [], []) as first:
        with store.cached_table("FROM range(4)", [], []) as second:
            assert store.rows(f"SELECT count(*) FROM {first}") == [(3,)]
        assert store.rows(f"SELECT sum(range)::INTEGER FROM {first}") == [(3,)]  # not asked before, so not cached
    with store.cached_table("FROM range(2)", [], []):
        pass
    there = {name for (name,) in store.rows("SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'cached_%'")}
    assert there == {"cached_3"}
    assert second not in there


def test_many_who_ask_at_once_get_one_table(store: Store) -> None:
    found: list[str] = []

    def ask() -> None:
        with store.cached_table("SELECT count(*) AS pairs FROM range(3000) a, range(1000) b", [], []) as table:
            found.append(f"{table} {store.rows(f'FROM {table}')[0][0]}")

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert set(found) == {"scratch.main.cached_1 3000000"}
