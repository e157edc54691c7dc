"""Exporting: records come out as they went in, in their order, with a manifest that makes them again."""

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from core.data.errors import ExportFailed, NotFound, SelectionInvalid
from core.data.scores import SCORES
from core.exporting import EXPORT_FORMATS, export_selection, selection_from_manifest
from core.selection import Amount, Selection, save_selection, saved_selection
from core.store import Store
from tests.fakes import ScoredRecord, build_scored_store

ALL = Selection("planets", amount=Amount("ratio", 1.0))
LINES = [
    b'{"question":"2+2?",   "answer" : "4","n":1}',
    '{"question": "Wie heißt ☿?", "answer": "M\\u0065rkur \\ud83d\\ude00/\\/", "n": 12345678901234567890}'.encode(),
    b'{"answer": "=1+1", "question": "+1 \\"quoted\\", comma", "tags": ["a\\nb", {"k": 0.10}], "n": null}',
    b'{"question": "line\\r\\nbreak\\rlone", "answer": "-", "ok": true, "x": 1e400}\t',
]
PRETTY = (
    b'{\n  "question": "two  spaces\\n",\r\n  "answer": "x : y",\n'
    b'  "n": 12345678901234567890123, "d": 1.10,\n  "t": [ 1, 2 ]\n}'
)
FROM_CSV = '{"question": "a,b\\"c\\n", "answer": "  é ", "n": "007"}'.encode()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    originals = [*LINES, PRETTY, FROM_CSV]
    rows = [ScoredRecord("chat" if i % 2 else "math", 2.0, i / 10, original=o) for i, o in enumerate(originals)]
    with build_scored_store(tmp_path / "workspace", rows) as opened:
        yield opened


@pytest.fixture
def one_line_store(tmp_path: Path) -> Iterator[Store]:
    rows = [ScoredRecord("chat", 2.0, 1.9 - i / 10, original=line) for i, line in enumerate(LINES)]
    with build_scored_store(tmp_path / "workspace", rows) as opened:
        yield opened


def read(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def csv_rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(read(path).decode(), newline="")))


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz"])
def test_jsonl_lines_come_out_byte_for_byte_in_their_order(one_line_store: Store, tmp_path: Path, name: str) -> None:
    export_selection(one_line_store, ALL, tmp_path / name)
    assert read(tmp_path / name) == b"".join(line + b"\n" for line in LINES)


def test_a_record_over_several_lines_becomes_one_line_and_loses_nothing(store: Store, tmp_path: Path) -> None:
    export_selection(store, ALL, tmp_path / "out.jsonl")
    line = (tmp_path / "out.jsonl").read_bytes().split(b"\n")[4]
    assert line == b'{"question":"two  spaces\\n","answer":"x : y","n":12345678901234567890123,"d":1.10,"t":[1,2]}'
    assert json.loads(line) == json.loads(PRETTY)


@pytest.mark.parametrize("name", ["out.json", "out.json.gz"])
def test_json_is_an_array_of_the_records_own_texts(store: Store, tmp_path: Path, name: str) -> None:
    export_selection(store, ALL, tmp_path / name)
    assert read(tmp_path / name) == b"[\n" + b",\n".join([*LINES, PRETTY, FROM_CSV]) + b"\n]\n"
    assert json.loads(read(tmp_path / name))[1]["n"] == 12345678901234567890


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz"])
def test_csv_has_every_field_as_a_column_and_loses_nothing(store: Store, tmp_path: Path, name: str) -> None:
    export_selection(store, ALL, tmp_path / name)
    rows = csv_rows(tmp_path / name)
    assert list(rows[0]) == ["question", "answer", "n", "tags", "ok", "x", "d", "t"]
    assert [row["n"] for row in rows] == ["1", "12345678901234567890", "", "", "12345678901234567890123", "007"]
    assert rows[1]["answer"] == "Merkur 😀//"
    assert (rows[2]["answer"], rows[2]["tags"]) == ("=1+1", '["a\\nb", {"k": 0.10}]')
    assert (rows[3]["question"], rows[3]["x"], rows[3]["ok"]) == ("line\r\nbreak\rlone", "1e400", "true")
    assert rows[4]["t"] == "[ 1, 2 ]"
    assert rows[5]["question"] == 'a,b"c\n'


def test_every_csv_cell_is_quoted(one_line_store: Store, tmp_path: Path) -> None:
    export_selection(one_line_store, ALL, tmp_path / "out.csv")
    assert (
        (tmp_path / "out.csv")
        .read_bytes()
        .startswith(b'"question","answer","n","tags","ok","x"\n"2+2?","4","1","","","')
    )


def test_parquet_types_what_is_uniform_and_keeps_the_rest_as_text(tmp_path: Path) -> None:
    lines = [
        b'{"text": "a", "whole": 1, "part": 0.5, "yes": true, "mixed": 1, "long": 12345678901234567890, "nest": {}}',
        b'{"text": "b", "whole": null, "part": 2, "mixed": "1", "long": 1, "nest": [1]}',
    ]
    rows = [ScoredRecord("chat", 2.0, 1.0, original=line) for line in lines]
    with build_scored_store(tmp_path / "workspace", rows) as store:
        export_selection(store, ALL, tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert {field.name: str(field.type) for field in table.schema} == {
        "text": "string",
        "whole": "int64",
        "part": "double",
        "yes": "bool",
        "mixed": "string",
        "long": "string",
        "nest": "string",
    }
    assert table.to_pylist() == [
        {
            "text": "a",
            "whole": 1,
            "part": 0.5,
            "yes": True,
            "mixed": "1",
            "long": "12345678901234567890",
            "nest": "{}",
        },
        {"text": "b", "whole": None, "part": 2.0, "yes": None, "mixed": "1", "long": "1", "nest": "[1]"},
    ]


def test_a_decimal_that_a_double_would_round_stays_text(tmp_path: Path) -> None:
    rows = [ScoredRecord("chat", 2.0, 1.0, original=b'{"n": 0.1234567890123456789}')]
    with build_scored_store(tmp_path / "workspace", rows) as store:
        export_selection(store, ALL, tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == [{"n": "0.1234567890123456789"}]


def test_only_kept_rows_are_written_in_file_order_not_in_rank_order(one_line_store: Store, tmp_path: Path) -> None:
    # Reference losses fall with the row number: the last two lines rank first.
    report = export_selection(one_line_store, Selection("planets", amount=Amount("rows", 2)), tmp_path / "out.jsonl")
    assert report.rows == 2
    assert (tmp_path / "out.jsonl").read_bytes() == LINES[2] + b"\n" + LINES[3] + b"\n"


def test_scores_are_added_under_one_key_and_the_rest_stays_byte_for_byte(one_line_store: Store, tmp_path: Path) -> None:
    export_selection(one_line_store, ALL, tmp_path / "out.jsonl", with_scores=True)
    lines = (tmp_path / "out.jsonl").read_bytes().splitlines()
    assert [line.startswith(original.rstrip()[:-1]) for line, original in zip(lines, LINES, strict=True)] == [True] * 4
    scores = json.loads(lines[0])["lobass"]
    assert list(scores) == [*SCORES, "token_count", "rank", "domain", "flags"]
    assert scores["learnability"] == pytest.approx(0.05)
    assert (scores["token_count"], scores["rank"], scores["domain"], scores["flags"]) == (10, 4, "chat", [])


def test_scores_become_columns_in_csv_and_parquet(tmp_path: Path) -> None:
    rows = [ScoredRecord("chat", 2.0, 1.0, truncated=True), ScoredRecord("chat", 2.0, 1.5)]
    with build_scored_store(tmp_path / "workspace", rows) as store:
        for suffix in ("csv", "parquet"):
            export_selection(store, ALL, tmp_path / f"out.{suffix}", with_scores=True)
    cells = csv_rows(tmp_path / "out.csv")[0]
    assert (cells["lobass_learnability"], cells["lobass_rank"], cells["lobass_flags"]) == ("0.5", "1", '["truncated"]')
    typed: dict[str, Any] = pq.read_table(tmp_path / "out.parquet").to_pylist()[0]
    assert (typed["lobass_learnability"], typed["lobass_rank"], typed["lobass_flags"]) == (0.5, 1, ["truncated"])


@pytest.mark.parametrize(("name", "field"), [("o.jsonl", "lobass"), ("o.json", "lobass"), ("o.csv", "lobass_rank")])
def test_scores_never_replace_a_field_of_the_record(tmp_path: Path, name: str, field: str) -> None:
    rows = [ScoredRecord("chat", 2.0, 1.0, original=f'{{"{field}": 1}}'.encode())]
    with build_scored_store(tmp_path / "workspace", rows) as store, pytest.raises(ExportFailed, match=field):
        export_selection(store, ALL, tmp_path / name, with_scores=True)
    assert [path.name for path in tmp_path.iterdir()] == ["workspace"]


def test_the_spreadsheet_guard_is_a_choice_and_the_manifest_says_so(one_line_store: Store, tmp_path: Path) -> None:
    for guard, expected in (
        (False, ["=1+1", '+1 "quoted", comma', "-"]),
        (True, ["'=1+1", '\'+1 "quoted", comma', "'-"]),
    ):
        report = export_selection(one_line_store, ALL, tmp_path / "out.csv", spreadsheet_guard=guard)
        rows = csv_rows(report.path)
        assert [rows[2]["answer"], rows[2]["question"], rows[3]["answer"]] == expected
        assert json.loads(report.manifest_path.read_text())["output"]["spreadsheet_guard"] is guard


def test_the_manifest_says_where_every_row_comes_from_and_goes(tmp_path: Path) -> None:
    rows = [
        ScoredRecord("chat", 2.0, 1.0, response="twin"),
        ScoredRecord("chat", 2.0, 1.0, response="twin"),
        ScoredRecord("math", 2.0, None),
        ScoredRecord("math", 2.0, 0.1),
    ]
    with build_scored_store(tmp_path / "workspace", rows) as store:
        report = export_selection(store, ALL, tmp_path / "out.jsonl", name="everything")
    found = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())
    data = (tmp_path / "out.jsonl").read_bytes()
    assert found["output"]["sha256"] == report.sha256 == hashlib.sha256(data).hexdigest()
    assert (found["output"]["bytes"], found["output"]["rows"], found["selection"]) == (len(data), 2, "everything")
    assert {(o["domain"], o["outcome"]): o["rows"] for o in found["result"]["outcomes"]} == {
        ("chat", "kept"): 1,
        ("chat", "duplicate of an eligible row"): 1,
        ("math", "kept"): 1,
        ("math", "no score: not_scored"): 1,
    }
    assert found["result"]["notices"] == [
        "chat: 2 rows requested, 1 eligible. All eligible rows are selected.",
        "math: 2 rows requested, 1 eligible. All eligible rows are selected.",
    ]
    assert (found["profile"]["row_share"], found["profile"]["median_tokens"]) == (0.5, 10)
    (source,) = found["dataset"]["sources"]
    assert (source["name"], source["rows"], source["rejected_by_reason"]) == ("s.jsonl", 4, {"bad JSON": 1})
    assert found["run"]["base"]["model_fingerprint"] == "base weights"
    assert found["run"]["reference"]["model_fingerprint"] == "reference weights"
    assert {"python", "duckdb", "pyarrow"} <= set(found["versions"])


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "json", "csv", "parquet"])
def test_the_manifests_recipe_gives_the_same_file(store: Store, tmp_path: Path, suffix: str) -> None:
    recipe = Selection("planets", order="random", seed=3, amount=Amount("ratio", 0.5))
    first = export_selection(store, recipe, tmp_path / f"a.{suffix}", with_scores=True)
    again = selection_from_manifest(first.manifest_path)
    assert again == recipe
    assert export_selection(store, again, tmp_path / f"b.{suffix}", with_scores=True).sha256 == first.sha256


def test_a_manifest_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="cannot be read"):
        selection_from_manifest(tmp_path / "none.manifest.json")
    (tmp_path / "other.json").write_text("[1]")
    with pytest.raises(SelectionInvalid, match="not an export manifest"):
        selection_from_manifest(tmp_path / "other.json")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("missing/out.jsonl", "does not exist"),
        ("folder.jsonl", "is a folder"),
        ("out.xlsx", "Must be one of: jsonl, json, csv, parquet"),
        ("out", "is not a known format"),
        ("out.parquet.gz", "already compressed"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_in_one_sentence(
    store: Store, tmp_path: Path, name: str, sentence: str
) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(ExportFailed) as refusal:
        export_selection(store, ALL, tmp_path / name)
    assert sentence in str(refusal.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.jsonl", "workspace"]


def test_a_failed_export_leaves_the_one_before_it_untouched(store: Store, tmp_path: Path) -> None:
    first = export_selection(store, ALL, tmp_path / "out.csv")
    rows = [ScoredRecord("chat", 2.0, 1.0), ScoredRecord("chat", 2.0, 1.5, original=b"no record")]
    with build_scored_store(tmp_path / "other", rows) as broken, pytest.raises(ExportFailed, match="not a JSON object"):
        export_selection(broken, ALL, tmp_path / "out.csv")
    assert hashlib.sha256(first.path.read_bytes()).hexdigest() == first.sha256
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "other",
        "out.csv",
        "out.csv.manifest.json",
        "workspace",
    ]


def test_a_selection_that_keeps_nothing_writes_nothing(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ExportFailed, match="is empty"):
        export_selection(store, Selection("planets", amount=Amount("rows", 0)), tmp_path / "out.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["workspace"]


def test_the_file_a_dataset_came_from_is_never_replaced(scored_store: Store, tmp_path: Path) -> None:
    mine = tmp_path / "mine.jsonl"
    mine.write_bytes(LINES[0])
    digest = hashlib.sha256(LINES[0]).hexdigest()
    scored_store.add_source("space", "mine.jsonl", "jsonl", digest, {}, [])
    with pytest.raises(ExportFailed, match="a source file of the dataset"):
        export_selection(scored_store, ALL, mine)
    assert mine.read_bytes() == LINES[0]


def test_the_format_may_be_named_against_the_suffix(store: Store, tmp_path: Path) -> None:
    export_selection(store, ALL, tmp_path / "out.txt", format="json")
    assert len(json.loads((tmp_path / "out.txt").read_bytes())) == 6
    assert set(EXPORT_FORMATS) == {"jsonl", "json", "csv", "parquet"}


def test_a_selection_saved_and_loaded_exports_the_same_file(store: Store, tmp_path: Path) -> None:
    save_selection(store, "all", ALL)
    loaded = saved_selection(store, "all")
    first, second = (export_selection(store, s, tmp_path / f"{n}.jsonl") for n, s in enumerate((ALL, loaded)))
    assert first.sha256 == second.sha256
