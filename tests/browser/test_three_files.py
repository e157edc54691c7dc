"""A newcomer goes from three files to a curated file and its evidence in a real browser; every click is counted."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.dashboard import Dashboard

pytestmark = pytest.mark.browser
FILES = ("even.jsonl", "odd.jsonl", "tens.jsonl")
ROWS_A_FILE = 40
MOST_CLICKS = 25
COMPUTING_MS = 240_000  # two tiny models are trained and score; a busy machine takes its time


class Person:
    """Who looks at a page: clicks are counted, typing and waiting are not."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.clicks = 0

    def click(self, target: Locator, timeout: float = COMPUTING_MS) -> None:
        """Click it once the page is at rest: a click on what is being drawn anew can be lost."""
        expect(target).to_be_visible(timeout=timeout)
        expect(self.page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
        target.click()
        self.clicks += 1

    def press(self, name: str) -> None:
        """Click a button by its exact name."""
        self.click(self.page.get_by_role("button", name=name, exact=True))

    def go_to(self, name: str) -> None:
        """Click a page's name in the navigation."""
        self.click(self.page.get_by_test_id("stTopNavLink").filter(has_text=name))
        expect(self.page.get_by_role("heading", name=name, exact=True)).to_be_visible()

    def type(self, field: Locator, text: str) -> None:
        """Click into a field, type and press Enter."""
        self.click(field)
        field.fill(text)
        field.press("Enter")


def test_a_newcomer_goes_from_three_files_to_a_curated_file_with_evidence_in_few_clicks(
    dashboard: Dashboard, open_page: Callable[[str], Page], tmp_path: Path, tiny_base: Path
) -> None:
    lines = _write_files(tmp_path)
    page = open_page(dashboard.address)
    person = Person(page)

    person.press("Import my data")
    page.locator("input[type=file]").set_input_files([tmp_path / name for name in FILES])
    person.clicks += 2  # the button of the upload, and the one of the dialog of the operating system
    expect(page.get_by_text("3 of 3 files included.")).to_be_visible()
    person.press("Import")
    expect(page.get_by_text(f"Rows 1 to 25; {len(lines)} rows.")).to_be_visible()

    person.go_to("Score")
    person.type(page.get_by_role("combobox", name=re.compile("Base model")), str(tiny_base))
    person.press("Train reference")
    person.click(page.get_by_role("link", name=re.compile("^Explore")).first)

    expect(page.get_by_text(f"{len(lines)} of {len(lines)} rows")).to_be_visible()
    person.press("16.7 %")
    kept = page.get_by_test_id("stMetric").filter(has_text="Rows selected").get_by_test_id("stMetricValue")
    expect(kept).to_have_text("21")  # 7 of the 40 rows of each file
    person.type(page.get_by_role("textbox", name="Name"), "the best")
    person.press("Save selection")

    person.go_to("Evidence")
    for question in ("Is it memory?", "Is it length", "Is it stable?", "Does it beat random"):
        expect(page.get_by_text(question).first).to_be_visible()

    person.go_to("Export")
    with page.expect_download() as downloading:
        person.press("Export and download")
    downloading.value.save_as(tmp_path / "curated.zip")
    with ZipFile(tmp_path / "curated.zip") as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".jsonl"))
        curated = archive.read(name).decode().splitlines()
    assert len(curated) == 21
    assert set(curated) <= set(lines)
    assert person.clicks <= MOST_CLICKS


def _write_files(folder: Path) -> list[str]:
    lines = [
        json.dumps({"instruction": f"Say {number} in {name}.", "output": f"The number is {number}, then {number + 1}."})
        for name in FILES
        for number in range(ROWS_A_FILE)
    ]
    for place, name in enumerate(FILES):
        own = lines[place * ROWS_A_FILE : (place + 1) * ROWS_A_FILE]
        (folder / name).write_text("\n".join(own) + "\n", encoding="utf-8")
    return lines
