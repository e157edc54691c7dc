"""Records come out of every container byte for byte, and what cannot be read is left out alone, with its reason."""

import gzip
import io
import json
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from core.data.errors import SourceUnreadable
from core.data.examples import Rejected
from core.importing.reading import container_of, plain_stem, read_records
from core.importing.records import REASONS, RecordUnusable, SourceRecord

LINE = '{"q": "Wie heißt du? 🦉", "a": 1.50, "big": 123456789012345678901234567890}'.encode()


def read(path: Path) -> list[SourceRecord | Rejected]:
    return list(read_records(path, container_of(path)))


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def kept(records: list[SourceRecord | Rejected]) -> list[bytes]:
    return [record.original for record in records if isinstance(record, SourceRecord)]


def rejected(records: list[SourceRecord | Rejected]) -> list[tuple[int, str]]:
    return [(record.line, record.reason) for record in records if isinstance(record, Rejected)]


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
def test_a_jsonl_line_is_kept_byte_for_byte_however_it_is_packed(tmp_path: Path, packing: str) -> None:
    content = b"\xef\xbb\xbf" + LINE + b"\r\n\n  " + LINE + b" \n" + LINE
    pack = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[packing]
    records = read(write(tmp_path / f"a.jsonl{packing}", pack(content)))
    assert kept(records) == [LINE, b"  " + LINE + b" ", LINE]
    assert [record.line for record in records] == [1, 3, 4]
    assert records[0].fields["big"] == 123456789012345678901234567890


def test_each_bad_line_is_rejected_with_its_own_reason_and_the_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOBASS_MAX_LINE_BYTES", "3000")
    deep = b'{"a":' + b"[" * 64 + b"]" * 64 + b"}"
    deepest = b"[" * 1400 + b"]" * 1400
    bad = [
        (b"{'a': 1}", "bad JSON"),
        (b'{"a": 1', "bad JSON"),
        (b'{"a": ' + b"9" * 2900 + b".}", "bad JSON"),
        (b'{"a": "' + b"x" * 3000 + b'"}', "line too long"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a": "\\ud83d!"}', "lone surrogate"),
        (b'{"a": NaN}', "NaN or infinity"),
        (b'{"a": -Infinity}', "NaN or infinity"),
        (b'{"a": 1e999}', "NaN or infinity"),
        (b"[1, 2]", "not an object"),
        (b'"text"', "not an object"),
        (deep, "nested too deep"),
        (deepest, "nested too deep"),
    ]
    lines = [LINE]
    for content, _ in bad:
        lines += [content, LINE]
    records = read(write(tmp_path / "a.jsonl", b"\n".join(lines)))
    assert rejected(records) == [(2 * i + 2, reason) for i, (_, reason) in enumerate(bad)]
    assert kept(records) == [LINE] * (len(bad) + 1)
    assert {reason for _, reason in bad} <= set(REASONS)


def test_escaped_pairs_and_depth_at_the_limit_are_accepted(tmp_path: Path) -> None:
    lines = [b'{"a": "\\ud83e\\udd89"}', b'{"a":' + b"[" * 63 + b"]" * 63 + b"}", b'{"a": "' + b"[" * 99 + b'"}']
    assert kept(read(write(tmp_path / "a.jsonl", b"\n".join(lines)))) == lines


def test_what_is_said_of_a_rejected_record_is_one_short_line_that_is_safe_to_show() -> None:
    detail = RecordUnusable("bad JSON", "a\nb\u202ec\ud83d" + "x" * 500).at(1).detail
    assert detail.startswith("a b\ufffdc\ufffdx")
    assert len(detail) <= 200
    assert detail.encode("utf-8")


@pytest.mark.parametrize("indent", [None, 0, 2])
def test_records_of_a_json_array_keep_their_own_text(tmp_path: Path, indent: int | None) -> None:
    rows = [{"a": 'ä\\"]},{[', "b": [{"c": {}}, 1.0]}, {"a": "x" * 3_000_000}, {"a": ""}]
    text = json.dumps(rows, ensure_ascii=False, indent=indent)
    records = read(write(tmp_path / "a.json", b"\xef\xbb\xbf \n" + text.encode()))
    assert [json.loads(original) for original in kept(records)] == rows
    assert all(original.decode() in text for original in kept(records))
    assert [record.line for record in records] == [1, 2, 3]


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64])
def test_an_array_reads_the_same_wherever_its_chunks_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr("core.importing.json_records._CHUNK_BYTES", chunk)
    good = ['{"a": "ä🦉\\\\", "n": 123}', '{"a": "\\ud83e\\udd89", "b": [true, null, -1.5e3]}']
    text = f'[{good[0]}, {{"a": NaN, "b": "}}\\\\\\""}},\n {good[1]}, 12345, {{bad: "\\"}}"}}, {good[0]}]'
    records = read(write(tmp_path / "a.json", text.encode()))
    assert kept(records) == [good[0].encode(), good[1].encode(), good[0].encode()]
    assert rejected(records) == [(2, "NaN or infinity"), (4, "not an object"), (5, "bad JSON")]


def test_a_single_object_and_objects_one_after_another_are_read(tmp_path: Path) -> None:
    one = json.dumps({"a": {"b": 1}}, indent=2).encode()
    assert kept(read(write(tmp_path / "one.json", one))) == [one]
    assert kept(read(write(tmp_path / "two.json", one + b"\n\n" + one + b"\n"))) == [one, one]
    assert kept(read(write(tmp_path / "lines.json", LINE + b"\n" + LINE))) == [LINE, LINE]


@pytest.mark.parametrize(
    "bad",
    ['{\n  "a": "b,\n  "c": 1\n }', '{\n  "a": {"b": 1,\n  "c": 1\n }', '{\n  "a": 1\n ', '{\n  "a": "\udcff"\n }'],
)
@pytest.mark.parametrize("chunk", [1, 2**20])
def test_a_bad_record_of_a_pretty_printed_array_loses_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: str, chunk: int
) -> None:
    monkeypatch.setattr("core.importing.json_records._CHUNK_BYTES", chunk)
    good = '{\n  "a": {\n   "b": 1\n  }\n }'
    text = "[\n " + ",\n ".join([good, bad, good, good]) + "\n]"
    records = read(write(tmp_path / "a.json", text.encode("utf-8", "surrogateescape")))
    assert kept(records) == [good.encode()] * 3
    assert [line for line, _ in rejected(records)] == [2]


def test_an_array_that_is_cut_off_or_goes_on_after_its_end_says_so(tmp_path: Path) -> None:
    cut = read(write(tmp_path / "cut.json", b'[{"a": 1}, {"a": 2}'))
    assert (len(kept(cut)), rejected(cut)) == (2, [(3, "bad JSON")])
    after = read(write(tmp_path / "after.json", b'[{"a": 1}]\n{"a": 2}'))
    assert (len(kept(after)), rejected(after)) == (2, [(2, "bad JSON")])


def test_a_record_longer_than_allowed_is_passed_over_in_an_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOBASS_MAX_LINE_BYTES", "1000")
    monkeypatch.setattr("core.importing.json_records._CHUNK_BYTES", 100)
    text = b'[{"a": 1}, {"a": "' + b'\\"}, {' * 500 + b'"}, {"a": 2}]'
    records = read(write(tmp_path / "a.json", text))
    assert kept(records) == [b'{"a": 1}', b'{"a": 2}']
    assert rejected(records) == [(2, "line too long")]


def test_stray_brackets_end_in_rejections_and_not_in_a_loop(tmp_path: Path) -> None:
    records = read(write(tmp_path / "a.json", b'{"a":\n1} ] } {"a": 2} ]]'))
    assert kept(records) == [b'{"a":\n1}', b'{"a": 2}']
    assert len(rejected(records)) == 4


def test_csv_fields_are_kept_exactly_with_every_kind_of_line_break(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbfq,a\r\n"one\r\ntwo\nthree\rfour","say ""hi"""\r\nlone\rreturn, x \r\n\r\n,5" pipe\r\n'
    records = read(write(tmp_path / "a.csv", content))
    expected = [
        {"q": "one\r\ntwo\nthree\rfour", "a": 'say "hi"'},
        {"q": "lone\rreturn", "a": " x "},
        {"q": "", "a": '5" pipe'},
    ]
    assert [record.fields for record in records] == expected
    assert [json.loads(original) for original in kept(records)] == expected
    assert [record.line for record in records] == [1, 2, 3]


def test_csv_rows_that_cannot_be_used_lose_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOBASS_MAX_LINE_BYTES", "100")
    long = b"x" * 300 + b",y"
    bad = [b"only one", b"a,b,c", b'"a"b,c', b"\xff,a", long, b'"never closed,a']
    records = read(
        write(tmp_path / "a.csv", b"q;,a\n".replace(b";", b"") + b"\n".join([x for b in bad for x in (b"1,2", b)]))
    )
    assert len(kept(records)) == len(bad)
    assert [reason for _, reason in rejected(records)] == [
        "wrong number of fields",
        "wrong number of fields",
        "bad CSV",
        "not UTF-8",
        "line too long",
        "bad CSV",
    ]
    assert [record.line for record in records] == list(range(1, 13))


def test_a_quote_that_never_closes_costs_one_row_of_many(tmp_path: Path) -> None:
    rows = [b"1,2"] * 50 + [b'"open,2'] + [b"3,4"] * 50
    records = read(write(tmp_path / "a.csv", b"q,a\n" + b"\n".join(rows)))
    assert len(kept(records)) == 100
    assert rejected(records) == [(51, "bad CSV")]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_the_header_says_what_separates_fields(tmp_path: Path, delimiter: str) -> None:
    path = write(tmp_path / "a.tsv", f"q{delimiter}a\none, two{delimiter}three\n".encode())
    assert read(path)[0].fields == {"q": "one, two", "a": "three"}


def test_a_csv_with_one_name_twice_or_with_cr_line_ends_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match="more than one field named 'q'"):
        read(write(tmp_path / "twice.csv", b"q,q\n1,2\n"))
    with pytest.raises(SourceUnreadable, match="CR only"):
        read(write(tmp_path / "mac.csv", b"q,a\r1,2\r"))


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
def test_parquet_values_become_json_by_the_stated_rule(tmp_path: Path, packing: str) -> None:
    when = datetime(2024, 5, 17, 12, 30, tzinfo=UTC)
    values = {
        "text": "ä",
        "bytes": b"ok",
        "blob": b"\xff\xfe",
        "when": when,
        "price": Decimal("1.10"),
        "nan": float("nan"),
        "big": 2**63 - 1,
        "turns": [{"role": "user", "content": "hi"}],
        "none": None,
    }
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([values] * 2500), file)
    pack = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[packing]
    records = read(write(tmp_path / f"a.parquet{packing}", pack(file.getvalue())))
    expected = {
        **values,
        "bytes": "ok",
        "blob": "//4=",
        "when": "2024-05-17T12:30:00+00:00",
        "price": "1.10",
        "nan": None,
    }
    assert [record.line for record in records] == list(range(1, 2501))
    assert records[2499].fields == expected
    assert json.loads(kept(records)[2499]) == expected


def test_one_parquet_text_that_is_not_utf8_loses_its_row_alone(tmp_path: Path) -> None:
    column = pa.array([b"one", b"\xff", b"three"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"q": column}), tmp_path / "a.parquet")
    records = read(tmp_path / "a.parquet")
    assert [record.line for record in records if isinstance(record, SourceRecord)] == [1, 3]
    assert rejected(records) == [(2, "not UTF-8")]


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
def test_a_packed_file_that_is_cut_off_is_refused(tmp_path: Path, name: str) -> None:
    pack = gzip.compress if name.endswith("gz") else zstandard.compress
    content = pack(b"".join(b'{"a": %d}\n' % i for i in range(100_000)))
    with pytest.raises(SourceUnreadable, match="truncated"):
        read(write(tmp_path / name, content[:-20]))


def test_zstandard_frames_one_after_another_are_one_file(tmp_path: Path) -> None:
    content = zstandard.compress(LINE + b"\n") + zstandard.compress(LINE)
    assert kept(read(write(tmp_path / "a.jsonl.zst", content))) == [LINE, LINE]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_small_file_that_unpacks_to_too_much_is_refused_in_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setenv("LOBASS_MAX_UNPACKED_BYTES", "50000000")
    path = write(tmp_path / "bomb.jsonl", pack((b" " * 999_999 + b"\n") * 100))
    tracemalloc.start()
    with pytest.raises(SourceUnreadable, match="50,000,000"):
        read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 70_000_000


@pytest.mark.parametrize(
    ("name", "content", "container"),
    [
        ("a.jsonl", b'[\n{"a": 1}\n]', "json"),
        ("a.jsonl", b'[1]\n{"a": 1}', "jsonl"),
        ("a.jsonl", b'oops\n{"a": 1}', "jsonl"),
        ("a.json", b'{"a": 1}\n{"a": 1}', "jsonl"),
        ("a.json", b'{"a":\n1}', "json"),
        ("a.json", b"oops", "jsonl"),
        ("data", b'[{"a": 1}]', "json"),
        ("data", b'{"a": 1}\n{"a": 1}', "jsonl"),
        ("data.txt", b"question,answer\n1,2", "csv"),
        ("a.csv", b"[x],y\n1,2", "csv"),
    ],
)
def test_the_kind_of_a_file_is_told_by_content_and_then_by_name(
    tmp_path: Path, name: str, content: bytes, container: str
) -> None:
    names = frozenset(["question"])
    assert container_of(write(tmp_path / name, content), names) == container
    assert container_of(write(tmp_path / f"{name}.gz", gzip.compress(content)), names) == container


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.jsonl", '{"a": 1}'.encode("utf-16"), "UTF-16"),
        ("a.json", '{"a": 1}'.encode("utf-16-le"), "UTF-16"),
        ("a.parquet", b"nothing", "has the extension of Parquet"),
        ("a.parquet", b"PAR1 and no more", "not a complete Parquet file"),
        ("a.parquet", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("notes.md", b"# Notes\n", "is not JSON, JSONL"),
        ("bad.json.gz", b"\x1f\x8bnot gzip at all", "damaged"),
    ],
)
def test_a_file_that_is_no_data_file_is_refused_in_a_sentence(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    with pytest.raises(SourceUnreadable, match=sentence):
        read(write(tmp_path / name, content))


def test_the_plain_stem_of_a_name_has_neither_kind_nor_packing() -> None:
    assert plain_stem("chat.train.jsonl.gz") == "chat.train"
    assert plain_stem("math.v1.2") == "math.v1.2"
