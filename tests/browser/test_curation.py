"""Choosing, in a real browser: a hand pick that survives into a bundle, and a mixture with locks."""

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from core.data.examples import Example, Message
from core.store import Store
from tests.browser.dashboard import Dashboard, go_to
from tests.core.scored_models import score_examples
from tests.core.trl_reading import keep_datasets_in, trl_trainer

pytestmark = pytest.mark.browser
EXAMPLES = [
    Example((Message("user", f"What is {number} apples?"), Message("assistant", "It is a river. " * (number % 7 + 1))))
    for number in range(40)
]


@pytest.fixture
def served(tmp_path: Path, tiny_base: Path, tiny_reference: Path) -> Iterator[Dashboard]:
    """A dashboard on rows of two domains that real tiny models scored."""
    workspace = tmp_path / "workspace"
    with Store.open(workspace, "a test") as store:
        score_examples(store, EXAMPLES, tiny_base, tiny_reference, domains=("chat", "math"))
    dashboard = Dashboard(workspace)
    dashboard.environment = {"OMP_NUM_THREADS": "1"}
    dashboard.start()
    yield dashboard
    dashboard.stop()


def worst_row(page: Page, address: str) -> int:
    """Number of the row with the lowest score, as the table shows it."""
    page.goto(f"{address}/curate?run=tiny")
    page.get_by_role("radio", name="Lowest first").click()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    cell = page.get_by_test_id("glide-cell-1-0").first
    expect(cell).to_be_attached()
    return int(cell.inner_text())


def test_a_hand_pick_goes_with_its_note_into_a_bundle_that_trl_takes_a_step_on(
    served: Dashboard,
    open_page: Callable[[str], Page],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = open_page("about:blank")
    row = worst_row(page, served.address)
    number = page.get_by_role("spinbutton", name="Open row")
    number.fill(str(row))
    number.press("Enter")
    panel = page.locator(".st-key-row_panel")
    panel.get_by_role("radio", name="Always select").click()
    note = panel.get_by_role("textbox", name="Note")
    expect(note).to_be_enabled()
    note.fill("rare and right")
    note.press("Enter")
    expect(page.get_by_text("Selected by hand: 1 of these rows")).to_be_visible()
    name = page.get_by_role("textbox", name="Name")
    name.fill("picked")
    name.press("Enter")
    page.get_by_role("button", name="Save selection").click()
    expect(page.get_by_text(re.compile("Saved as .picked")).first).to_be_visible()

    go_to(page, "Export")
    page.get_by_role("radio", name="A bundle for a trainer").click()
    page.get_by_role("combobox", name=re.compile("Trainer")).click()
    page.get_by_role("option", name="TRL (SFTTrainer)").click()
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Export and download").click()
    with zipfile.ZipFile(downloading.value.path()) as archive:
        archive.extractall(tmp_path / "unpacked")
    (manifest,) = (tmp_path / "unpacked").rglob("manifest.json")
    folder = manifest.parent

    recipe = json.loads(manifest.read_text(encoding="utf-8"))["recipe"]
    assert [(pick["keep"], pick["note"]) for pick in recipe["picks"]] == [(True, "rare and right")]
    text = (folder / "train.jsonl").read_text(encoding="utf-8")
    assert EXAMPLES[row - 1].prompt in text
    keep_datasets_in(tmp_path, monkeypatch)
    assert trl_trainer(folder, tmp_path / "output", monkeypatch).train().training_loss > 0
