"""Three files become a dataset in a real browser, and its rows are read before any scoring."""

import json
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.dashboard import Dashboard


def test_three_files_are_imported_and_their_rows_read(
    dashboard: Dashboard, open_page: Callable[[str], Page], tmp_path: Path
) -> None:
    moons = "".join(json.dumps({"instruction": f"Name moon {n}.", "output": f"Moon {n}"}) + "\n" for n in range(3))
    files = {"moons.jsonl": moons, "again.jsonl": moons, "sun.csv": "question,answer\nSun?,Yes\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    page = open_page(f"{dashboard.address}/data")
    page.locator("input[type=file]").set_input_files([tmp_path / name for name in files])
    expect(page.get_by_text("2 of 3 files included.")).to_be_visible()
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("moons.jsonl: 3 rows added to moons")).to_be_visible()
    expect(page.get_by_text("sun.csv: 1 rows added to moons")).to_be_visible()
    expect(page.get_by_role("radio", name="moons")).to_be_checked()
    expect(page.get_by_text("Rows 1 to 4; 4 rows.")).to_be_visible()
    page.get_by_role("textbox", name="Search").fill("moon 2")
    page.get_by_role("textbox", name="Search").press("Enter")
    expect(page.get_by_text("1 of 4 rows match")).to_be_visible()
    expect(page.get_by_test_id("stCode").filter(has_text="Name moon 2.")).to_be_visible()
