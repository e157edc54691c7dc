"""What the first view of a run makes ahead is what Curate asks for when it opens."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.store import Store
from core.store.database import Database
from core.workspace.first_view import FirstView
from tests.two_runs import TwiceScored, import_rows, score_rows
from ui.shell.session import open_session

PAGE = Path(__file__).parents[2] / "pages" / "curate_page.py"
ROWS = [TwiceScored("ab"[number % 2], 9.0, 9.0 - number, number / 2, f"reply {number}") for number in range(8)]


@pytest.fixture
def built(page_workspace: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tables that the store has built since a dataset was scored with two references."""
    with Store.open(page_workspace, "a test") as store:
        import_rows(store, ROWS)
        for reference in ("one", "two"):
            score_rows(store, ROWS, reference, reference)
    found: list[str] = []
    build = Database.build_scratch

    def recorded(database: Database, sql: str, parameters: Sequence[object] = ()) -> Any:
        if sql.startswith("CREATE"):
            found.append(sql)
        return build(database, sql, parameters)

    monkeypatch.setattr(Database, "build_scratch", recorded)
    return found


def open_curate() -> None:
    page = AppTest.from_file(str(PAGE), default_timeout=30).run()
    assert not page.exception
    assert not page.error


def test_curate_builds_no_table_that_was_not_made_ahead(built: list[str]) -> None:
    FirstView(open_session().store).do_round()
    ahead = built.copy()
    assert ahead
    open_curate()
    assert built == ahead


def test_without_it_curate_builds_them_itself(built: list[str]) -> None:
    open_curate()
    assert len(built) > 2, "the ranking of both runs, and what is left out"


def test_a_newer_run_is_made_ahead_once(built: list[str]) -> None:
    store = open_session().store
    first_view = FirstView(store)
    first_view.do_round()
    ahead = len(built)
    first_view.do_round()
    assert len(built) == ahead
    score_rows(store, ROWS, "newer", "one")
    first_view.do_round()
    assert len(built) > ahead


def test_a_stopped_one_asks_nothing_more(built: list[str]) -> None:
    first_view = FirstView(open_session().store)
    first_view._stopped.set()
    first_view.do_round()
    assert built == []


def test_a_run_that_cannot_be_ranked_is_left_to_the_page(tmp_path: Path) -> None:
    with Store.open(tmp_path, "a test") as store:
        first_view = FirstView(store)
        first_view.do_round()
        import_rows(store, ROWS)
        score_rows(store, ROWS, "both", "one")
        store.save_run("base alone", "data", {"base": store.run("both")["loss_sets"]["base"]}, {})
        first_view.do_round()
