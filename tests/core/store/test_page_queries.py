"""Queries of pages against a real DuckDB: over time, nobody waiting, more than one's share; others run on."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from core.data.errors import QueryStopped
from core.store import Store, page_queries
from core.store.page_queries import TURNS_EACH, Asker, find_askers_with
from core.system.permission import on_own_account
from tests.waiting import wait_for

ENDLESS = "SELECT sum(sin(a.range * b.range + ?)) FROM range(1000000) a, range(1000000) b"
LONG = "SELECT count(*) FROM range(100000) a, range(4000) b WHERE a.range * b.range = ?"


class Gone(Exception):
    """Nobody waits any more."""


class People:
    """Who asks in which thread, and asks in threads of their own."""

    def __init__(self, store: Store, pool: ThreadPoolExecutor) -> None:
        self.store, self._pool = store, pool
        self._thread = threading.local()
        self._numbers = count(1)  # no query is one that was answered before

    def asker(self) -> Asker | None:
        """The asker of this thread."""
        found: Asker | None = getattr(self._thread, "asker", None)
        return found

    def ask(self, name: str, sql: str, check: Callable[[], None] = lambda: None) -> Any:
        """A future of the rows that somebody of this name waits for."""

        def wait() -> list[tuple[Any, ...]]:
            self._thread.asker = Asker(name, check)
            return self.store.rows(sql, [next(self._numbers)])

        return self._pool.submit(wait)


@pytest.fixture
def people(tmp_path: Path) -> Iterator[People]:
    with Store.open(tmp_path / "workspace", "a test") as store, ThreadPoolExecutor(8) as pool:
        found = People(store, pool)
        before = page_queries._find_asker
        find_askers_with(found.asker)
        yield found
        find_askers_with(before)


def test_a_query_over_time_is_stopped_and_others_run_on(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOBASS_QUERY_SECONDS", "0.5")
    endless = people.ask("anna", ENDLESS)
    with on_own_account():
        assert people.store.rows(LONG, [-1]) == [(0,)]  # takes longer, and has no asker
    with pytest.raises(QueryStopped, match=r"^A query of this page was stopped after 0\.5 seconds\. Try again with"):
        endless.result(60)
    assert people.ask("anna", "SELECT ?::INTEGER + 1").result(60)[0][0] > 1


def test_without_a_limit_no_query_is_stopped(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOBASS_QUERY_SECONDS", "0")
    assert people.ask("anna", LONG.replace("= ?", "= -?")).result(120) == [(0,)]


def test_a_query_that_nobody_waits_for_is_stopped_and_no_other(people: People) -> None:
    gone = threading.Event()

    def check() -> None:
        if gone.is_set():
            raise Gone

    left, stays = people.ask("anna", ENDLESS, check), people.ask("ben", LONG.replace("= ?", "= -?"))
    gone.set()
    with pytest.raises(Gone):
        left.result(60)
    assert stays.result(120) == [(0,)]


def test_one_person_has_so_many_queries_at_a_time_and_others_do_not_wait(people: People) -> None:
    gone, asked = threading.Event(), threading.Semaphore(0)

    def check() -> None:
        asked.release()
        if gone.is_set():
            raise Gone

    endless = [people.ask("anna", ENDLESS, check) for _ in range(TURNS_EACH)]
    for _ in range(4 * TURNS_EACH):  # both are asked for by now
        asked.acquire()
    looked = threading.Semaphore(0)
    waits = people.ask("anna", "SELECT ?", looked.release)
    assert people.ask("ben", "SELECT ? > 0").result(60) == [(True,)]
    for _ in range(3):  # it has waited for its turn that often
        assert looked.acquire(timeout=60)
    assert not waits.done()
    gone.set()
    for query in endless:
        with pytest.raises(Gone):
            query.result(60)
    assert waits.result(60)[0][0] > 0


def test_who_waits_for_a_table_that_another_makes_can_leave_and_a_table_half_made_is_made_again(people: People) -> None:
    gone = {name: threading.Event() for name in ("anna", "ben")}
    sql = "SELECT count(*) AS pairs FROM range(1000000) a, range(?) b WHERE a.range * b.range < 0"

    def make(name: str, pairs: int) -> list[tuple[Any, ...]]:
        def check() -> None:
            if gone[name].is_set():
                raise Gone

        people._thread.asker = Asker(name, check)
        with people.store.cached_table(sql, [pairs], []) as table:
            return people.store.rows(f"FROM {table}")

    makes = people._pool.submit(make, "anna", 1_000_000)
    wait_for(lambda: len(people.store._cached._tables) == 1, "the table's making")
    waits = people._pool.submit(make, "ben", 1_000_000)
    gone["ben"].set()
    with pytest.raises(Gone):
        waits.result(60)
    assert not makes.done()
    gone["anna"].set()
    with pytest.raises(Gone):
        makes.result(60)
    gone["ben"].clear()
    assert people._pool.submit(make, "ben", 2).result(60) == [(0,)]


def test_rows_that_are_streamed_are_stopped_too(people: People) -> None:
    gone = threading.Event()

    def check() -> None:
        if gone.is_set():
            raise Gone

    def stream() -> int:
        people._thread.asker = Asker("anna", check)
        rows = 0
        for batch in people.store.batches("SELECT range FROM range(3) UNION ALL (" + ENDLESS + ")", [1.0], 1):
            rows += batch.num_rows
        return rows

    streams = people._pool.submit(stream)
    gone.set()
    with pytest.raises(Gone):
        streams.result(60)


def test_a_change_is_never_stopped(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOBASS_QUERY_SECONDS", "0.01")

    def check() -> None:
        raise Gone

    def change() -> list[tuple[Any, ...]]:
        people._thread.asker = Asker("anna", check)
        return people.store.write(lambda connection: connection.execute(LONG, [-1]).fetchall())

    assert people._pool.submit(change).result(120) == [(0,)]
