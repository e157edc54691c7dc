"""Records written by SQL come out as they do one by one, byte for byte, whatever they hold."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from core.data.scores import SCORES
from core.exporting import export_rows, export_selection
from core.exporting.columns import Survey, surveyed
from core.exporting.record_text import on_one_line
from core.exporting.selected_chunks import FIRST_ROWS, SelectedRows
from core.exporting.writing import csv_line, csv_names
from core.selection import Amount, Selection
from core.store import Store
from tests.fakes import ScoredRecord, build_scored_store

ALL = Selection("planets", amount=Amount("ratio", 1.0), collapse_duplicates=False)
PLAIN = [
    b'{"q": "a", "n": 1, "b": true, "z": null}',
    '{"q":"\\u0000 \\"x\\",\\r\\n ☿ \\ud83d\\ude00","n":2,"b":false,"z":null}'.encode(),
    b'{"q": "=1+1", "n": 999999999999999, "b": true, "z": null}',
]
ODD = [
    b'{"q": "a", "n": -0, "b": true, "z": null}',
    b'{"q": "a", "n": 1234567890123456789, "b": true, "z": null}',
    b'{"q": "a", "q": "b", "n": 1}',
    b'{"n": 1, "q": "another order"}',
    b'{"q": "a", "n": 1.50}',
    b'{"q": ["a", {"b": 0.10}], "n": 1}',
    b'{"Q": "names that differ by case", "q": "a"}',
    b'{"q": "a", "a.b": "x", "c\'d": "y", "e f": "z", "": "w", "g\\"h": "v", "*": "u"}',
    b'{"q": "over\\nlines",\n "n": 1}',
    b'{"q": "lobass", "n": 1}',
    b'{"q": "a" }',
    b"{}",
    b'  {"q": "a"}\t',
]
NUMBERS = [0.0, -0.0, 1e16, 1e15, 1e-4, 1e-5, 5e-324, 1.7e308, 0.1, 1 / 3, 123456789.125]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    originals = [*PLAIN * (FIRST_ROWS // len(PLAIN) + 1), *ODD, *PLAIN]
    domains = ("chat", '"quoted"', "=cells", "naïve")
    rows = [
        ScoredRecord(domains[i % 4], 2.0 + NUMBERS[i % 11] % 7, i / 1000, original=original, truncated=i % 5 == 0)
        for i, original in enumerate(originals)
    ]
    with build_scored_store(tmp_path_factory.mktemp("chunks") / "workspace", rows) as opened:
        yield opened


@pytest.mark.parametrize("with_scores", [False, True])
def test_json_is_written_as_one_by_one(store: Store, tmp_path: Path, with_scores: bool) -> None:
    records = [row.with_scores() for row in export_rows(store, ALL, with_scores)]
    export_selection(store, ALL, tmp_path / "o.jsonl", with_scores=with_scores)
    assert (tmp_path / "o.jsonl").read_bytes() == b"".join(on_one_line(record) + b"\n" for record in records)
    export_selection(store, ALL, tmp_path / "o.json", with_scores=with_scores)
    assert (tmp_path / "o.json").read_bytes() == b"[\n" + b",\n".join(records) + b"\n]\n"


@pytest.mark.parametrize("with_scores", [False, True])
@pytest.mark.parametrize("guard", [False, True])
def test_csv_is_written_as_one_by_one(store: Store, tmp_path: Path, guard: bool, with_scores: bool) -> None:
    columns = all_columns(store, with_scores)
    export_selection(store, ALL, tmp_path / "o.csv", with_scores=with_scores, spreadsheet_guard=guard)
    lines = [csv_line(row, columns, guard) for row in export_rows(store, ALL, with_scores)]
    assert (tmp_path / "o.csv").read_bytes() == csv_names(columns, (*SCORES,) if with_scores else (), guard) + b"".join(
        lines
    )


@pytest.mark.parametrize("guard", [False, True])
def test_csv_of_plain_records_holds_the_same_cells_by_sql(tmp_path: Path, guard: bool) -> None:
    texts = [
        "",
        "null",
        "true",
        "7",
        "/",
        "\\",
        'a "b" c',
        '"',
        "'=1",
        "=1",
        "\t=1",
        "\u2028é☿😀\x7f",
        "\n",
        "\0",
        "{}",
    ]
    values = [[text, other] for text in texts for other in (text, "plain")]
    made = [json.dumps({"q": a, "b": True, "r": b}, ensure_ascii=i % 2 == 0) for i, (a, b) in enumerate(values)]
    made += ['{"q":"\\/\\u00e9","r":"\\ud83d\\ude00"}', '{"r":"a","q":null,"b":false}', '{"r": 12, "q": "a"}']
    originals = [text.encode() for text in made]
    rows = [ScoredRecord("chat", 2.0, 1.0, original=original) for original in originals]
    with build_scored_store(tmp_path / "workspace", rows) as store:
        columns, found = all_columns(store, False), surveyed(SelectedRows.of(store, ALL), Survey(()))
        assert len(found.plain.shapes) == len(found.shapes) == 4
        export_selection(store, ALL, tmp_path / "o.csv", spreadsheet_guard=guard)
        lines = [csv_line(row, columns, guard) for row in export_rows(store, ALL)]
    assert (tmp_path / "o.csv").read_bytes() == csv_names(columns, (), guard) + b"".join(lines)


def test_rows_that_lie_in_another_order_come_out_in_the_datasets(tmp_path: Path) -> None:
    originals = [b'{"q": "%d"}' % number for number in range(3 * FIRST_ROWS)]
    rows = [ScoredRecord("chat", 2.0, 1.0, original=original) for original in originals]
    with build_scored_store(tmp_path / "workspace", rows) as store:
        turn = "CREATE TEMP TABLE turned AS FROM dataset_row ORDER BY row_number % 2, row_number"
        again = "DELETE FROM dataset_row; INSERT INTO dataset_row FROM turned"
        store.write(lambda connection: connection.execute(f"{turn}; {again}").fetchall())
        for name in ("o.jsonl", "o.csv"):
            export_selection(store, ALL, tmp_path / name)
    assert (tmp_path / "o.jsonl").read_bytes() == b"".join(original + b"\n" for original in originals)
    cells = [b'"%d"\n' % number for number in range(3 * FIRST_ROWS)]
    assert (tmp_path / "o.csv").read_bytes() == b'"q"\n' + b"".join(cells)


def test_columns_that_only_late_records_have_are_found(store: Store, tmp_path: Path) -> None:
    export_selection(store, ALL, tmp_path / "o.parquet", with_scores=True)
    names = ["q", "n", "b", "z", "Q", "a.b", "c'd", "e f", "", 'g"h', "*"]
    table = pq.read_table(tmp_path / "o.parquet")
    assert table.schema.names[: len(names)] == names == [column.name for column in all_columns(store, True)]
    rows = list(export_rows(store, ALL, True))
    assert table["lobass_learnability"].to_pylist() == [row.scores["learnability"] for row in rows]
    assert table["lobass_flags"].to_pylist() == [row.scores["flags"] for row in rows]
    assert table["q"].to_pylist()[:2] == ["a", json.loads(PLAIN[1])["q"]]
    assert table["n"].type == "string"  # -0, 1.50 and a number of 19 digits are among them
    assert table["n"].to_pylist()[-len(PLAIN) - len(ODD) :][:6] == ["-0", "1234567890123456789", "1", "1", "1.50", "1"]


def test_typed_columns_hold_the_same_values_by_sql(tmp_path: Path) -> None:
    rows = [ScoredRecord("chat", 2.0, 1.0, original=line) for line in PLAIN]
    with build_scored_store(tmp_path / "workspace", rows) as store:
        export_selection(store, ALL, tmp_path / "o.parquet")
    table = pq.read_table(io.BytesIO((tmp_path / "o.parquet").read_bytes()))
    assert [str(kind) for kind in table.schema.types] == ["string", "int64", "bool", "string"]
    assert table.to_pylist() == [json.loads(line) for line in PLAIN]


def all_columns(store: Store, with_scores: bool) -> list:  # type: ignore[type-arg]
    return surveyed(SelectedRows.of(store, ALL), Survey((*SCORES,) if with_scores else ())).columns
