"""A file goes into the store whole or not at all, and every record of it is a row or a counted rejection."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import zstandard

from core.data.errors import NoUsableRows, SourceUnreadable
from core.data.examples import DatasetRow, Rejected
from core.importing import (
    DataFile,
    DomainRule,
    SourceOptions,
    detection,
    import_file,
    import_source,
    preview,
    read_examples,
)
from core.importing.detection import detect_format
from core.store import Store

AUTO = SourceOptions()
QA = [{"question": f"{i} + 1?", "answer": str(i + 1), "topic": ["sum", "", None][i % 3]} for i in range(6)]


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "workspace", "a test") as opened:
        yield opened


def jsonl(path: Path, records: Sequence[object]) -> Path:
    text = "\n".join(record if isinstance(record, str) else json.dumps(record) for record in records)
    path.write_text(text, encoding="utf-8")
    return path


def test_an_import_is_counted_by_reason_and_by_domain(workspace: Store, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "qa.jsonl", [*QA, "{oops", {"question": "a", "answer": ""}, "{again", {"question": "b"}])
    options = SourceOptions(domain=DomainRule(field="topic"))
    report = import_source(workspace, "maths", path, options)
    assert (report.dataset, report.source, report.format) == ("maths", "qa.jsonl", "question-answer")
    assert (report.rows, report.rejected, report.already_imported) == (6, 4, False)
    assert report.by_reason == {"bad JSON": 2, "empty response": 1, "missing field": 1}
    assert next(iter(report.by_reason)) == "bad JSON"
    assert report.domains == {"unlabelled": 4, "sum": 2}
    assert workspace.rows("SELECT line FROM rejection ORDER BY line") == [(7,), (8,), (9,), (10,)]


def test_what_the_store_keeps_is_the_original_byte_for_byte(workspace: Store, tmp_path: Path) -> None:
    lines = ['{"question" : "\\u00e4 \\/ ä\\u0000", "answer":"1", "n": 1.50}', '{"answer": "2", "question": "b"}  ']
    import_source(workspace, "d", jsonl(tmp_path / "a.jsonl", list(lines)), AUTO)
    stored = workspace.rows("SELECT original FROM dataset_row ORDER BY row_number")
    assert [bytes(row[0]).decode() for row in stored] == lines


@pytest.mark.parametrize("kind", ["jsonl", "json"])
def test_an_import_looks_for_the_format_once(
    kind: str, workspace: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"qa.{kind}"
    path.write_text("\n".join(map(json.dumps, QA)) if kind == "jsonl" else json.dumps(QA), encoding="utf-8")
    choose, looks = detection._choose, []
    monkeypatch.setattr(detection, "_choose", lambda *given: (looks.append(given), choose(*given))[1])
    options = SourceOptions(domain=DomainRule(field="topic"), columns={"question": "question"})
    assert import_file(workspace, "d", DataFile(path, path.name), options).rows == 6
    assert len(looks) == 1


def test_importing_the_same_file_again_adds_nothing(workspace: Store, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "qa.jsonl", [*QA, "oops"])
    first = import_source(workspace, "d", path, AUTO)
    again = import_source(workspace, "d", path, SourceOptions(format="question-answer"))
    assert again.already_imported
    assert (again.rows, again.by_reason, again.domains) == (first.rows, first.by_reason, first.domains)
    assert workspace.rows("SELECT count(*) FROM dataset_row") == [(6,)]


def test_another_domain_or_dataset_makes_it_another_import(workspace: Store, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "qa.jsonl", list(QA))
    import_source(workspace, "d", path, AUTO)
    named = import_source(workspace, "d", path, SourceOptions(domain=DomainRule(name="sums")))
    other = import_source(workspace, "e", path, AUTO)
    assert (named.already_imported, named.domains) == (False, {"sums": 6})
    assert (other.already_imported, other.domains) == (False, {"qa": 6})


def test_several_files_make_one_dataset_in_the_order_they_came(workspace: Store, tmp_path: Path) -> None:
    import_source(workspace, "d", jsonl(tmp_path / "one.jsonl", QA[:2]), AUTO)
    (tmp_path / "two.csv").write_text("prompt,completion\nHi,Ho\n")
    import_source(workspace, "d", tmp_path / "two.csv", AUTO)
    rows = workspace.rows("SELECT row_number, domain FROM dataset_row ORDER BY row_number")
    assert rows == [(1, "one"), (2, "one"), (3, "two")]


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ([], "has no records"),
        (["oops", "{", {"a": 1}], "2 of 3 were rejected as 'bad JSON'"),
        ([{"text": "a"}] * 3, r"missing field.*record 1: no format fits; found text.*Map its columns"),
        ([{"question": "a", "chosen": "b", "rejected": "b"}], "equal sides.*are the same"),
    ],
)
def test_a_file_without_a_usable_row_leaves_nothing_behind(
    workspace: Store, tmp_path: Path, records: list[object], sentence: str
) -> None:
    with pytest.raises(NoUsableRows, match=sentence):
        import_source(workspace, "d", jsonl(tmp_path / "a.jsonl", records), AUTO)
    for table in ("dataset", "source", "dataset_row", "rejection"):
        assert workspace.rows(f"SELECT count(*) FROM {table}") == [(0,)]


def test_a_packed_file_that_is_cut_off_leaves_nothing_behind(workspace: Store, tmp_path: Path) -> None:
    content = "\n".join(json.dumps({"question": str(i), "answer": str(i)}) for i in range(50_000))
    (tmp_path / "a.jsonl.zst").write_bytes(zstandard.compress(content.encode())[:-9])
    with pytest.raises(SourceUnreadable, match="truncated"):
        import_source(workspace, "d", tmp_path / "a.jsonl.zst", AUTO)
    assert workspace.rows("SELECT count(*) FROM dataset_row") == [(0,)]


def test_a_file_that_changes_while_it_is_read_leaves_nothing_behind(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", list(QA))

    class StoreOfAFileStillWritten(Store):
        def add_source(self, *arguments: Any) -> int:
            jsonl(path, [*QA, *QA])
            return super().add_source(*arguments)

    with StoreOfAFileStillWritten.open(tmp_path / "workspace", "a test") as store:
        with pytest.raises(SourceUnreadable, match="changed while it was being read"):
            import_source(store, "d", path, AUTO)
        assert store.rows("SELECT count(*) FROM dataset_row") == [(0,)]


def test_a_wrong_path_says_what_was_found(workspace: Store, tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match="There is no file"):
        import_source(workspace, "d", tmp_path / "none.jsonl", AUTO)
    with pytest.raises(SourceUnreadable, match="is a folder"):
        import_source(workspace, "d", tmp_path, AUTO)
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(SourceUnreadable, match="not a regular file"):
        detect_format(tmp_path / "pipe.jsonl")
    with pytest.raises(SourceUnreadable, match="must be one of auto, messages"):
        SourceOptions(format="alpacca")


def test_mapped_columns_are_read_and_the_domain_keeps_its_own_name(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"q": "Hi", "a": "Ho", "input": "not this", "output": "nor this"}])
    options = SourceOptions(columns={"instruction": "q", "output": "a", "input": ""}, domain=DomainRule(field="q"))
    (row,) = read_examples(path, options)
    assert isinstance(row, DatasetRow)
    assert [message.content for message in row.example.messages] == ["Hi", "Ho"]
    assert row.domain == "Hi"
    assert detect_format(path, options).format == "alpaca"


def test_one_answer_of_a_preference_pair_can_be_mapped_on_purpose(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"prompt": "Hi", "chosen": "Ho", "rejected": "Hu"}])
    plain = SourceOptions(format="prompt-completion")
    assert [record.reason for record in read_examples(path, plain) if isinstance(record, Rejected)] == [
        "preference pair"
    ]
    options = SourceOptions(format="prompt-completion", columns={"completion": "chosen"})
    (row,) = read_examples(path, options)
    assert isinstance(row, DatasetRow)
    assert row.example.response == "Ho"


@pytest.mark.parametrize(
    ("record", "name"),
    [
        ({"instruction": "a", "output": "b"}, "alpaca"),
        ({"instruction": "a", "context": "", "response": "b", "category": "c"}, "alpaca"),
        ({"conversations": []}, "sharegpt"),
        ({"prompt": "a", "messages": []}, "messages"),
        ({"prompt": "a", "response": "b"}, "prompt-completion"),
        ({"question": "a", "answer": "b"}, "question-answer"),
        ({"text": "a"}, None),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "preference"),
        ({"prompt": "a", "completion": "b", "label": True}, "prompt-completion"),
    ],
)
def test_the_format_is_detected_from_the_fields(tmp_path: Path, record: dict[str, object], name: str | None) -> None:
    detection = detect_format(jsonl(tmp_path / "a.jsonl", [record, "oops", record]))
    assert detection.format == name
    assert detection.container == "jsonl"
    assert detection.columns == tuple(record)


def test_a_detection_says_why(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [*QA, {"question": "c"}])
    assert detect_format(path).why == "6 of the first 7 records have question and answer"
    pairs = jsonl(tmp_path / "p.jsonl", [{"prompt": "a", "chosen": "b", "rejected": "c"}])
    assert "preference pairs" in detect_format(pairs).why
    assert detect_format(jsonl(tmp_path / "t.jsonl", [{"text": "a"}])).why == "no format fits the fields text"


def test_a_preview_shows_the_first_records_and_reads_no_further(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [QA[0], "oops", *QA])
    first, second = preview(path, AUTO, rows=2)
    assert isinstance(first, DatasetRow)
    assert second == Rejected(2, "bad JSON", "Expecting value at character 1 of the record")


def test_a_domain_comes_from_a_field_else_a_name_else_unlabelled() -> None:
    assert DomainRule(field="topic").domain_of({"topic": " chat "}) == "chat"
    assert DomainRule(field="topic").domain_of({"topic": 7}) == "7"
    assert DomainRule(field="topic").domain_of({"topic": "  "}) == "unlabelled"
    assert DomainRule(field="topic").domain_of({}) == "unlabelled"
    assert DomainRule(field="topic", name="rest").domain_of({}) == "rest"
    assert DomainRule(name="chat").domain_of({"topic": "x"}) == "chat"


def test_options_go_to_the_store_as_json() -> None:
    options = SourceOptions("alpaca", DomainRule(name="chat"), {"output": "a"})
    assert json.loads(json.dumps(options.to_fields())) == {
        "format": "alpaca",
        "domain": {"name": "chat", "field": None},
        "columns": {"output": "a"},
    }


def test_a_field_said_to_be_absent_is_not_read_under_an_alias(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"instruction": "Name it.", "context": "A river.", "output": "Thames"}\n', encoding="utf-8")
    with_context, without = (
        next(read_examples(path, SourceOptions("alpaca", columns=columns))) for columns in ({}, {"input": ""})
    )
    assert isinstance(with_context, DatasetRow)
    assert isinstance(without, DatasetRow)
    assert [message.role for message in with_context.example.messages] == ["user", "context", "assistant"]
    assert [message.role for message in without.example.messages] == ["user", "assistant"]
