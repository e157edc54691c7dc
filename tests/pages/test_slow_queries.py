"""Pages whose queries take too long, or are asked too much by a link, say so in a sentence and offer a way out."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.store import Store, page_queries
from tests.core.scored_rows import ScoredRow, add_scored_run
from ui.shell.session import close_sessions

PAGE = Path(__file__).parents[2] / "pages" / "curate_page.py"
LASSO = ["base_loss", "reference_loss", [[0, 0], [4, 0], [4, 4]]]
SLOW = "A query of this page was stopped after 1e-09 seconds."


@pytest.fixture
def explore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    monkeypatch.setenv("LOBASS_WORKSPACE", str(tmp_path / "workspace"))
    with Store.open(tmp_path / "workspace", "a test") as store:
        add_scored_run(store, [ScoredRow("chat", 10.0 * row, 5.0) for row in range(1, 20)])
    yield AppTest.from_file(str(PAGE), default_timeout=60)
    close_sessions()


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """No query is quick enough."""
    monkeypatch.setenv("LOBASS_QUERY_SECONDS", "1e-9")
    monkeypatch.setattr(page_queries, "_LOOK_SECONDS", 0.0)


def errors(page: AppTest) -> list[str]:
    """Errors shown, as a person reads them."""
    return [error.value.replace("\\", "") for error in page.error]


def test_a_link_with_forty_lassos_is_ignored_in_a_sentence(explore: AppTest) -> None:
    explore.query_params["filter"] = json.dumps({"regions": [LASSO] * 40})
    explore.run()
    (said,) = errors(explore)
    assert re.fullmatch(r"The filter has 40 regions\. Use at most \d\d\. The filter in this URL was ignored\.", said)
    assert not explore.exception


@pytest.mark.usefixtures("no_patience")
def test_a_page_says_that_a_query_took_too_long_and_the_filters_can_be_removed(explore: AppTest) -> None:
    explore.query_params["filter"] = json.dumps({"regions": [LASSO]})
    explore.run()
    assert errors(explore)[0].startswith(SLOW)
    assert not explore.exception
    explore.button("remove_slow_filters").click().run()
    assert "filter" not in explore.query_params


def changing_page() -> None:
    """A page that asks before a change and after it."""
    import streamlit as st

    from core.data.errors import QueryStopped
    from core.system.permission import require_change
    from ui.shell.session import open_session

    store = open_session().store
    for change in (False, True):
        if change:
            require_change()
        try:
            store.rows("SELECT count(*) FROM example WHERE ?", [st.session_state.get("again", False)])
            st.text("answered")
        except QueryStopped:
            st.text("stopped")
    st.button("Again", key="again")


@pytest.mark.usefixtures("no_patience", "explore")
def test_after_its_first_change_a_run_of_a_page_is_not_limited_and_the_next_is_again() -> None:
    page = AppTest.from_function(changing_page, default_timeout=60).run()
    assert [text.value for text in page.text] == ["stopped", "answered"]
    page.button("again").click().run()
    assert [text.value for text in page.text] == ["stopped", "answered"]
