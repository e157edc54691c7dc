"""Hostile links: a page opens on whatever its address holds, says in a sentence what it ignores, and never fails."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.store import Store
from tests.core.scored_rows import ScoredRow, add_scored_run
from tests.hostile_values import HOSTILE_VALUES, as_link
from tests.pages.closed_parts import with_open_parts
from ui.shell.session import close_sessions

PAGES = Path(__file__).parents[2] / "pages"
PARAMETERS = {
    "curate": ("run", "score", "view", "filter", "near", "example", "tab", "shown"),
    "compare": ("run", "with", "score", "comparison", "domain", "without_flag", "row"),
    "evidence": ("run", "evidence", "details"),
}

TABS_OF = {
    "near": {"view": "Near-duplicates"},
    "row": {"comparison": "Movers"},
}
STREAMLITS_OWN = ("domain", "without_flag")
"""Lists of choices, of which Streamlit leaves out what it does not know."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("hostile_links")
    with Store.open(folder, "a test") as store:
        rows = [ScoredRow("chat", 10.0, 2.0), ScoredRow("math", 8.0, 3.0)]
        add_scored_run(store, rows, run="first")
        add_scored_run(store, [*rows, ScoredRow("chat", 9.0, 4.0)], run="second")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOBASS_WORKSPACE", str(folder))
        yield
        close_sessions()


@pytest.mark.parametrize("value", HOSTILE_VALUES.values(), ids=HOSTILE_VALUES.keys())
def test_curate_opens_on_a_hostile_filter(workspace: None, value: object) -> None:
    text = as_link(value).encode("utf-8", "replace").decode()  # as an address arrives
    for given in (text, f'{{"ranges": {text}}}', f'{{"search": {{"query": {text}, "kind": "regex"}}}}'):
        page = opened("curate", {"filter": given})
        assert not page.exception
        assert page.error or page.query_params.get("filter") or value in ([], {}, "")  # these filter nothing


@pytest.mark.parametrize(
    ("page", "parameter"), [(page, parameter) for page, parameters in PARAMETERS.items() for parameter in parameters]
)
def test_every_page_opens_on_hostile_parameters(workspace: None, page: str, parameter: str) -> None:
    at = TABS_OF.get(parameter, {})
    for value in ("mars", "-1", "1e400", "nan", "9" * 400, "[[1]", "\0", "x" * 10_000, json.dumps({"a": [1]})):
        found = opened(page, {**at, parameter: value})
        assert not found.exception, value
        if parameter not in STREAMLITS_OWN:
            said = [element.value for element in (*found.warning, *found.error)]
            assert any("ignored" in one or "Showing another run" in one for one in said), (value, said)


def opened(page: str, parameters: dict[str, str]) -> AppTest:
    if page == "compare":  # a view of the Evidence page
        page, parameters = "evidence", {"evidence": "Compare runs", **parameters}
    app = with_open_parts(AppTest.from_file(str(PAGES / f"{page}_page.py"), default_timeout=60))
    for name, value in parameters.items():
        app.query_params[name] = value
    return app.run()
