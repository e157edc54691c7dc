"""What is said of files before they are imported."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.importing import DataFile, SourceOptions, import_source
from core.importing.listed_files import known_copies, list_file
from core.store import Store

ROWS = [{"instruction": f"Name moon {n}.", "output": f"Moon {n}"} for n in range(3)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def file_of(folder: Path, name: str, content: bytes) -> DataFile:
    path = folder / name
    path.write_bytes(content)
    return DataFile(path, name)


@pytest.mark.parametrize(
    ("name", "content", "records"),
    [
        ("a.jsonl", LINES, 3),
        ("blank lines.jsonl", LINES + b"\n\n" + LINES, 6),
        ("a.json", json.dumps(ROWS).encode(), None),
        ("a.jsonl.gz", gzip.compress(LINES, mtime=0), None),
        ("a.csv", b"question,answer\nSun?,Yes\n", None),
    ],
    ids=["jsonl", "blank lines", "json", "packed", "csv"],
)
def test_records_are_counted_where_that_is_quick(
    tmp_path: Path, name: str, content: bytes, records: int | None
) -> None:
    listed = list_file(file_of(tmp_path, name, content))
    assert (listed.records, listed.error) == (records, None)


def test_a_parquet_file_says_how_many_rows_it_has(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    assert list_file(DataFile(tmp_path / "a.parquet", "a.parquet")).records == 3


def test_a_file_that_cannot_be_read_has_an_error(tmp_path: Path) -> None:
    for file in (
        file_of(tmp_path, "cut.jsonl.gz", gzip.compress(LINES)[:-12]),
        file_of(tmp_path, "picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        DataFile(tmp_path / "nowhere.jsonl", "nowhere.jsonl"),
    ):
        listed = list_file(file)
        assert listed.detected is None
        assert file.path.name in str(listed.error)


@pytest.mark.parametrize(
    ("content", "is_said"),
    [
        (json.dumps(ROWS).encode(), False),
        (json.dumps(ROWS).encode() + b" \n", False),
        (json.dumps(ROWS).encode()[:-9], True),
    ],
    ids=["whole", "blanks at its end", "cut off"],
)
def test_a_json_file_that_is_cut_off_is_said(tmp_path: Path, content: bytes, is_said: bool) -> None:
    listed = list_file(file_of(tmp_path, "a.json", content))
    assert listed.detected is not None
    assert ("cut off" in listed.detected.note) == is_said


def test_preference_pairs_are_noticed(tmp_path: Path) -> None:
    pair = json.dumps({"prompt": "Moon?", "chosen": "Io", "rejected": "Mars"}).encode() + b"\n"
    detected = list_file(file_of(tmp_path, "mixed.jsonl", LINES + pair)).detected
    assert detected is not None
    assert (detected.format, detected.has_pairs) == ("alpaca", True)


def test_content_that_is_known_is_said(tmp_path: Path) -> None:
    old = file_of(tmp_path, "old.jsonl", LINES)
    new = file_of(tmp_path, "new.jsonl", b'{"question": "Sun?", "answer": "Yes"}\n')
    again = file_of(tmp_path, "again.jsonl", new.path.read_bytes())
    copy = file_of(tmp_path, "copy.jsonl", LINES)
    with Store.open(tmp_path / "workspace", "a test") as store:
        import_source(store, "moons", old.path, SourceOptions())
        assert known_copies(store, map(list_file, (new, again, copy))) == {
            again.path: "Same content as new.jsonl.",
            copy.path: "Already imported into moons (as old.jsonl).",
        }
