"""What holds on every page: each control says in plain words what it does."""

import json
import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.selection import Selection, save_selection
from core.store import Store
from tests.core.scored_rows import ScoredRow, add_scored_run
from tests.pages.closed_parts import with_open_parts

PAGES = Path(__file__).parents[2] / "pages"
CONTROLS = (
    "selectbox", "multiselect", "slider", "number_input", "text_input", "text_area", "checkbox", "toggle", "radio",
    "segmented_control", "pills", "file_uploader",
)  # fmt: skip
VIEWS = [
    ("data", {}),
    ("score", {}),
    *(("curate", {"view": view}) for view in ("Overview", "Distribution", "Length", "Trust", "Near-duplicates")),
    *(("curate", {"view": view}) for view in ("By domain", "Saved selections")),
    *(("curate", {"shown": part}) for part in ("Kept", "At the cut", "Picks")),
    *(("evidence", {"evidence": "Compare runs", "comparison": view}) for view in ("Agreement", "Top rows", "Movers")),
    *(("evidence", {"details": details}) for details in ("Stability", "Trial")),
    ("export", {}),
]


@pytest.fixture
def workspace(page_workspace: Path) -> Path:
    """Two runs of one dataset, and two saved selections, so that every page has its controls."""
    with Store.open(page_workspace, "a test") as store:
        rows = [ScoredRow(domain, 10.0, 9.0 - number) for number in range(6) for domain in ("chat", "math")]
        add_scored_run(store, rows, run="first")
        (base,), (reference,) = store.rows("SELECT loss_set_id FROM run_loss ORDER BY role")
        store.save_run("second", "data", {"base": reference, "reference": base}, {})
        for name in ("one", "two"):
            save_selection(store, name, Selection("first"))
    return page_workspace


@pytest.mark.parametrize(("page", "parameters"), VIEWS)
def test_every_control_has_help_in_plain_words(workspace: Path, page: str, parameters: dict[str, str]) -> None:
    opened = with_open_parts(AppTest.from_file(str(PAGES / f"{page}_page.py"), default_timeout=60))
    for name, value in parameters.items():
        opened.query_params[name] = value
    opened.run()
    assert not opened.exception
    controls = [control for kind in CONTROLS for control in opened.get(kind)]
    assert controls
    assert [control.proto.label for control in controls if not control.proto.help] == []


def test_what_was_seen_when_the_store_was_opened_is_said_on_a_page(page_workspace: Path) -> None:
    Store.open(page_workspace, "a test").close()
    record = json.loads((page_workspace / "store.changes").read_bytes())
    record["written_at"] = time.time() + 86_400
    (page_workspace / "store.changes").write_text(json.dumps(record), encoding="ascii")
    opened = AppTest.from_file(str(PAGES / "data_page.py"), default_timeout=60).run()
    assert ["clock is behind" in warning.value for warning in opened.warning] == [True]
