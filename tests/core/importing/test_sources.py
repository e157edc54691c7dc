"""What a person names becomes data files: archives and saved datasets are opened, and each file stands by itself."""

import io
import json
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from core.data.errors import SourceUnreadable
from core.data.examples import DatasetRow
from core.importing import SourceOptions, data_files, files_at, read_examples
from core.importing.sources import takes_split
from tests import command_line

ROWS = [{"question": "Sun?", "answer": "Yes"}, {"question": "Rain?", "answer": "No"}]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def zipped(path: Path, **members: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return path


def saved(folder: Path, rows: list[dict[str, str]]) -> Path:
    """A folder as save_to_disk writes it: two shards, an Arrow stream each."""
    folder.mkdir(parents=True)
    names = [f"data-{i:05}-of-00002.arrow" for i in range(2)]
    for name, part in zip(names, (rows[:1], rows[1:]), strict=True):
        table = pa.Table.from_pylist(part, schema=pa.schema({"question": pa.string(), "answer": pa.string()}))
        with pa.ipc.new_stream(folder / name, table.schema) as writer:
            writer.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    (folder / "dataset_info.json").write_text("{}")
    return folder


def answers(paths: list[Path]) -> list[str]:
    rows = [row for path in paths for row in read_examples(path, SourceOptions())]
    return [row.example.response for row in rows if isinstance(row, DatasetRow)]


def test_the_data_files_of_a_zip_are_files_of_their_own(tmp_path: Path) -> None:
    path = zipped(tmp_path / "all.zip", a_dot_jsonl=LINES, sub__b_dot_csv="question,answer\nWind?,East\n", README="no")
    files = files_at(path, tmp_path / "out")
    assert [file.name for file in files] == ["all.zip/a.jsonl", "all.zip/sub/b.csv"]
    assert answers([file.path for file in files]) == ["Yes", "No", "East"]
    assert [file.path for file in files_at(path, tmp_path / "out")] == [file.path for file in files]


def test_a_zip_leads_nowhere_but_into_its_folder(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", **{"..__..__evil_dot_jsonl": LINES})
    (file,) = files_at(path, tmp_path / "out")
    assert (tmp_path / "out") in file.path.resolve().parents
    assert not (tmp_path / "evil.jsonl").exists()


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"README": "no"}, "has no data files"),
        ({"[Content_Types]_dot_xml": "", "a_dot_csv": ""}, "office document"),
        ({"a_dot_jsonl": " " * 3_000_000}, "unpacks to more than 1,000,000 bytes"),
    ],
)
def test_a_zip_that_cannot_be_used_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: dict[str, str], sentence: str
) -> None:
    monkeypatch.setenv("LOBASS_MAX_UNPACKED_BYTES", "1000000")
    with pytest.raises(SourceUnreadable, match=sentence):
        files_at(zipped(tmp_path / "a.zip", **members), tmp_path / "out")
    assert not list((tmp_path / "out").glob("*"))


def test_a_zip_with_two_files_of_one_name_is_refused_because_only_the_last_can_be_read(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", a_dot_jsonl=LINES)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("a.jsonl", LINES)
    with pytest.raises(SourceUnreadable, match=r"more than one file named 'a\.jsonl'"):
        files_at(path, tmp_path / "out")


def test_a_damaged_zip_is_one_sentence(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", a_dot_jsonl=LINES * 100)
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with pytest.raises(SourceUnreadable, match="not a complete zip archive"):
        files_at(path, tmp_path / "out")
    path.write_bytes(whole[:60] + b"\xff" * 20 + whole[80:])
    with pytest.raises(SourceUnreadable, match="cannot be unpacked"):
        files_at(path, tmp_path / "out")


def test_a_saved_dataset_is_read_shard_by_shard_and_gives_its_rows_its_name(tmp_path: Path) -> None:
    files = files_at(saved(tmp_path / "weather", ROWS), tmp_path)
    assert [(file.name, file.domain) for file in files] == [
        (f"weather/data-0000{i}-of-00002.arrow", "weather") for i in range(2)
    ]
    assert answers([file.path for file in files]) == ["Yes", "No"]


def test_of_a_saved_dataset_with_splits_one_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "weather"
    saved(folder / "train", ROWS)
    saved(folder / "test", ROWS[1:])
    (folder / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert answers([file.path for file in files_at(folder, tmp_path)]) == ["Yes", "No"]
    assert answers([file.path for file in files_at(folder, tmp_path, "test")]) == ["No"]
    with pytest.raises(SourceUnreadable, match=r"no split 'dev'\. It has: train, test"):
        files_at(folder, tmp_path, "dev")
    (folder / "dataset_dict.json").write_text('{"splits": ["../train"]}')
    with pytest.raises(SourceUnreadable, match="refers to a file outside"):
        files_at(folder, tmp_path)


def test_an_arrow_file_is_read_like_a_stream_and_a_damaged_one_refused(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    assert answers([tmp_path / "a.arrow"]) == ["Yes", "No"]
    content = (tmp_path / "a.arrow").read_bytes()
    (tmp_path / "b.arrow").write_bytes(content[: len(content) // 2])
    (tmp_path / "c.arrow").write_bytes(b"nothing")
    for name, sentence in (
        ("b.arrow", "not a complete Arrow file"),
        ("c.arrow", "has the extension of Arrow but other content"),
    ):
        with pytest.raises(SourceUnreadable, match=sentence):
            answers([tmp_path / name])


def test_an_arrow_file_whose_offsets_lie_is_refused(tmp_path: Path) -> None:
    sink = io.BytesIO()
    batch = pa.RecordBatch.from_pylist([{"question": "a", "answer": "b"}, {"question": "c", "answer": "d"}])
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    true, lie = (b"".join(end.to_bytes(4, "little") for end in ends) for ends in ((0, 1, 2), (0, 2**24, 2**30)))
    assert sink.getvalue().count(true) == 2
    (tmp_path / "a.arrow").write_bytes(sink.getvalue().replace(true, lie))
    with pytest.raises(SourceUnreadable, match="not a complete Arrow file"):
        answers([tmp_path / "a.arrow"])


def test_null_keys_that_arrow_pads_are_not_read_as_the_records_own(tmp_path: Path) -> None:
    records = [
        {
            "messages": [
                {"role": "user", "content": "Go."},
                {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": n, "arguments": a}}]},
            ],
            "tools": [{"name": n, "parameters": {"properties": {key: {"type": "string"} for key in a}}}],
        }
        for n, a in (("walk", {"to": "Bath"}), ("wait", {"hours": "2"}))
    ]
    table = pa.Table.from_pylist(records)
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    from_arrow, from_jsonl = (
        [row.example for row in read_examples(tmp_path / f"a.{kind}", SourceOptions()) if isinstance(row, DatasetRow)]
        for kind in ("arrow", "jsonl")
    )
    assert from_arrow == from_jsonl
    assert from_arrow[0].messages[1].tool_calls[0].arguments == '{"to": "Bath"}'


def test_a_null_that_jsonl_has_is_the_records_own(tmp_path: Path) -> None:
    call = {"name": "walk", "arguments": {"to": None}}
    record = {"messages": [{"role": "user", "content": "Go."}, {"role": "assistant", "tool_calls": [call]}]}
    (tmp_path / "a.jsonl").write_text(json.dumps(record))
    (row,) = read_examples(tmp_path / "a.jsonl", SourceOptions())
    assert isinstance(row, DatasetRow)
    assert row.example.messages[1].tool_calls[0].arguments == '{"to": null}'


def test_what_may_have_splits(tmp_path: Path) -> None:
    assert all(map(takes_split, ("owner/name", "hf://datasets/a/b", "a.json", "a.json.gz", "a.zip", str(tmp_path))))
    assert not any(map(takes_split, ("a.jsonl", "a.csv", "a.parquet")))
    assert [file.name for file in data_files(str(tmp_path / "a.csv"), tmp_path)] == ["a.csv"]


def test_a_bad_file_of_a_batch_keeps_no_other_from_being_imported(tmp_path: Path) -> None:
    (tmp_path / "good.jsonl").write_text(LINES)
    (tmp_path / "bad.jsonl").write_text('{"a": 1}\n')
    (tmp_path / "last.csv").write_text("question,context,answer\nWind?,nan,East\nSnow?,NaN,No\n")
    names = [str(tmp_path / name) for name in ("none.jsonl", "good.jsonl", "bad.jsonl", "last.csv")]
    done = command_line.run(tmp_path / "w", "import", *names, "--dataset", "d", "--json")
    assert done.returncode == 1
    assert "There is no file" in done.stderr
    assert "bad.jsonl was not imported: No record of bad.jsonl can be used" in done.stderr
    report = json.loads(done.stdout)
    assert (report["rows"], report["domains"]) == (4, {"good": 2, "last": 2})
    assert report["notices"] == ["last.csv: 2 rows have a context nan, kept as text."]
    assert [("error" in file, file.get("rows")) for file in report["files"]] == [
        (True, None),
        (False, 2),
        (True, None),
        (False, 2),
    ]


def test_a_column_named_on_the_command_line_is_read_as_the_field(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"ask": "Sun?", "reply": "Yes", "system": "No."}\n')
    command = ["import", str(tmp_path / "a.jsonl"), "--dataset", "d", "--column", "prompt=ask", "--column"]
    report = command_line.result(tmp_path / "w", *command, "completion=reply", "--column", "system=")
    assert (report["rows"], report["files"][0]["format"]) == (1, "prompt-completion")
    missing = command_line.run(tmp_path / "w", *command, "completion=answer")
    assert (missing.returncode, "no field 'answer' for the field completion" in missing.stderr) == (1, True)
    unknown = command_line.run(tmp_path / "w", *command, "reply")
    assert (unknown.returncode, "must read FIELD=COLUMN" in unknown.stderr) == (2, True)
