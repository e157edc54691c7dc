"""Whatever stands in a file, each record of it ends as a row or as a counted rejection with its line, in bounded
memory; a file that cannot be read at all is refused in a sentence, and leaves nothing behind."""

import json
import math
import os
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from core.data.errors import NoUsableRows, SourceUnreadable
from core.data.examples import DatasetRow, Rejected
from core.importing import DomainRule, SourceOptions, import_source, read_blocks, read_examples
from core.importing.records import REASONS
from core.store import Store
from tests.core.bad_input_cases import BLANK, FILES, GOOD, LINES, LONGEST_LINE, MOST_UNPACKED, File, Kept
from tests.core.generated_lines import generated_lines

OPTIONS = SourceOptions(format="question-answer")


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOBASS_MAX_LINE_BYTES", str(LONGEST_LINE))
    monkeypatch.setenv("LOBASS_MAX_UNPACKED_BYTES", str(MOST_UNPACKED))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(tmp_path_factory.mktemp("bad") / "workspace", "a test") as opened:
        yield opened


def read(path: Path, options: SourceOptions) -> tuple[dict[int, tuple[str, str, str, bytes]], list[Rejected]]:
    """Rows (id, conversation, domain, original) by line, and what was rejected."""
    rows: dict[int, tuple[str, str, str, bytes]] = {}
    rejected: list[Rejected] = []
    for record in read_examples(path, options):
        if isinstance(record, DatasetRow):
            example = record.example
            rows[record.line] = (str(example.example_id), example.to_json(), record.domain, record.original)
        else:
            rejected.append(record)
    return rows, rejected


def read_by_column(path: Path, options: SourceOptions) -> tuple[dict[int, tuple[str, str, str, bytes]], list[Rejected]]:
    """The same, as the store gets it."""
    rows: dict[int, tuple[str, str, str, bytes]] = {}
    rejected: list[Rejected] = []
    for block in read_blocks(path, options):
        rejected += block.rejected
        for row in block.rows.to_pylist():
            rows[row["line"]] = (str(row["example_id"]), row["conversation"], row["domain"], row["original"])
    return rows, rejected


def test_the_tables_are_as_large_as_promised() -> None:
    assert len(LINES) + len(FILES) >= 300
    assert len({name for name, _, _ in LINES}) == len(LINES)
    covered = {outcome for _, _, outcome in LINES if isinstance(outcome, str)}
    covered |= {reason for file in FILES for _, reason in file.rejected}
    # Files of preference pairs have a table of their own, in importing/test_preference.py.
    covered |= {"empty side", "equal sides", "unequal prompts", "no partner"}
    # The limits of these tables leave no room for a million parts: see `_BOMBS`.
    assert covered - {BLANK} | {"too many parts"} == set(REASONS)


@pytest.mark.parametrize(("line", "outcome"), [case[1:] for case in LINES], ids=[case[0] for case in LINES])
def test_a_line_is_a_row_or_a_rejection_and_its_neighbours_are_kept(
    tmp_path: Path, line: bytes, outcome: Kept | str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join([GOOD, line, GOOD]))
    rows, rejected = read(path, OPTIONS)
    assert (rows, rejected) == read_by_column(path, OPTIONS)
    assert rows[1][3] == rows[3][3] == GOOD
    if isinstance(outcome, Kept):
        (row,) = [row for row in read_examples(path, OPTIONS) if row.line == 2]
        assert isinstance(row, DatasetRow)
        assert row.example.response == outcome.answer
        assert row.original == line.removesuffix(b"\r")
    elif outcome == BLANK:
        assert (list(rows), rejected) == ([1, 3], [])
    else:
        assert list(rows) == [1, 3]
        assert [(r.line, r.reason) for r in rejected] == [(2, outcome)]
        assert len(rejected[0].detail) <= 200
        assert not rejected[0].detail or rejected[0].detail.isprintable()


NUMBERS = (
    "7",
    "-0",
    "2.50",
    "1e5",
    str(2**63),
    str(2**64),
    "9" * 40,
    "[1, 18446744073709551616]",
    '{"a": 1.0}',
    "null",
)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_that_is_a_domain_keeps_its_digits(tmp_path: Path, number: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"question":"q","answer":"a","part":' + number.encode() + b"}")
    options = SourceOptions(domain=DomainRule("none", "part"))
    rows, rejected = read(path, options)
    assert rejected == []
    assert rows[1][2] == ("none" if number == "null" else json.dumps(json.loads(number)))
    assert read_by_column(path, options) == (rows, rejected)


def test_all_lines_in_one_file_are_kept_and_counted_by_the_store(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    path.write_bytes(b"\n".join([GOOD, *(line for _, line, _ in LINES), GOOD]))
    report = import_source(store, "all lines", path, OPTIONS)
    expected = {number: outcome for number, (_, _, outcome) in enumerate(LINES, 2)}
    reasons = {line: outcome for line, outcome in expected.items() if outcome != BLANK and isinstance(outcome, str)}
    answers = {line: outcome.answer for line, outcome in expected.items() if isinstance(outcome, Kept)}
    answers |= {1: "4", len(LINES) + 2: "4"}
    sql = "SELECT line, {} FROM {} WHERE source_id = (SELECT source_id FROM source WHERE name = 'all.jsonl') ORDER BY 1"
    assert dict(store.rows(sql.format("reason", "rejection"))) == reasons
    assert dict(store.rows(sql.format("response", "dataset_row JOIN example USING (example_id)"))) == answers
    assert (report.rows, report.rejected) == (len(answers), len(reasons))
    assert report.by_reason == Counter(reasons.values())


@pytest.mark.parametrize("file", FILES, ids=[f"{file.name}: {file.about}" for file in FILES])
def test_a_file_is_imported_or_refused_as_a_whole(store: Store, tmp_path: Path, file: File) -> None:
    path = tmp_path / file.name
    path.write_bytes(file.bytes())
    dataset = f"{file.name}: {file.about}"
    if file.refused:
        with pytest.raises((SourceUnreadable, NoUsableRows), match=file.refused) as caught:
            import_source(store, dataset, path, SourceOptions())
        assert "\n" not in str(caught.value)
        assert store.rows("SELECT 1 FROM dataset WHERE name = ?", [dataset]) == []
        return
    report = import_source(store, dataset, path, SourceOptions())
    sql = """
        SELECT line, {} FROM {} WHERE source_id IN
        (SELECT source_id FROM source JOIN dataset USING (dataset_id) WHERE dataset.name = ?) ORDER BY line
    """
    kept = [line for line, _ in store.rows(sql.format("row_number", "dataset_row"), [dataset])]
    assert kept == list(file.rows)
    assert store.rows(sql.format("reason", "rejection"), [dataset]) == list(file.rejected)
    assert (report.rows, report.rejected) == (len(file.rows), len(file.rejected))
    if not file.name.startswith("a.parquet"):
        assert read(path, SourceOptions()) == read_by_column(path, SourceOptions())


def test_ten_thousand_generated_lines_are_each_a_row_or_a_rejection(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "generated.jsonl"
    lines = [GOOD, *generated_lines(10_000, seed=5)]
    path.write_bytes(b"\n".join(lines))
    rows, rejected = read(path, OPTIONS)
    assert read_by_column(path, OPTIONS) == (rows, rejected)
    blank = {number for number, line in enumerate(lines, 1) if not line.strip()}
    found = sorted([*rows, *(rejection.line for rejection in rejected), *blank])
    assert found == list(range(1, 10_002))
    reasons = {rejection.line: rejection.reason for rejection in rejected}
    for number, line in enumerate(lines, 1):
        if number not in blank:
            allowed = _what_may_become(line)
            assert reasons.get(number, "row") in allowed, (number, line, reasons.get(number, "row"))
        if number in rows:
            assert rows[number][3] == line.removesuffix(b"\r")
            answer = json.loads(line)["answer"]
            response = json.loads(rows[number][1])["messages"][-1][1]
            assert response == (answer if isinstance(answer, str) else json.dumps(answer))
    report = import_source(store, "generated", path, OPTIONS)
    assert (report.rows, report.by_reason) == (len(rows), Counter(reasons.values()))
    assert {reason for reason, count in report.by_reason.items() if count >= 20} >= {
        "bad JSON", "not UTF-8", "lone surrogate", "NaN or infinity", "nested too deep", "not an object",
        "missing field", "wrong type", "empty response", "empty prompt",
    }  # fmt: skip
    assert report.rows > 1_500


def _what_may_become(line: bytes) -> set[str]:
    """By the standard library's parser, which knows nothing of ours: a row, or which reasons."""
    if len(line.removesuffix(b"\r")) > LONGEST_LINE:
        return {"line too long"}
    unheard: list[str] = []

    def fraction(digits: str) -> float:
        unheard.extend([digits] if math.isinf(float(digits)) else [])
        return float(digits)

    try:
        value: Any = json.loads(line.decode(), parse_constant=unheard.append, parse_float=fraction)
    except UnicodeDecodeError:
        return {"not UTF-8"}
    except ValueError:
        bad = {"bad JSON", "NaN or infinity"} if unheard else {"bad JSON"}
        return bad | {"nested too deep"} if line.count(b"[") + line.count(b"{") > 64 else bad
    except RecursionError:
        return {"nested too deep"}
    if unheard:
        return {"NaN or infinity", "nested too deep"} if line.count(b"[") > 64 else {"NaN or infinity"}
    if _depth(json.loads(line.decode(), object_pairs_hook=lambda pairs: [value for _, value in pairs])) > 64:
        return {"nested too deep"}
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return {"lone surrogate"}
    if not isinstance(value, dict):
        return {"not an object"}
    if not {"question", "answer"} <= value.keys():
        return {"missing field"}
    read_fields = [value.get(name) for name in ("question", "answer", "context", "system")]
    if any(isinstance(field, bool | list | dict) for field in read_fields):
        return {"wrong type"}
    if not str(value["answer"] if value["answer"] is not None else "").strip():
        return {"empty response"}
    asked = [value.get(name) for name in ("question", "context", "system")]
    return {"row"} if any(str(text).strip() for text in asked if text is not None) else {"empty prompt"}


def _depth(value: Any) -> int:
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


MOST_MEMORY = 300
"""What an import of hostile files may take beyond what it takes of a small one [MB]."""

_BOMBS = (
    ("nearly-too-many", b"{},", 490_000),
    ("numbers-in-text", b'"1,2,3,4,5,6,7,8",', 200_000),
    ("pairs", b'{"a":1},', 2_000_000),
    ("nested", b"[" * 60 + b"]" * 60 + b",", 134_000),
    ("objects", b"{},", 5_400_000),
)
_LISTS = "[" + "[]," * 5_000_000 + "0]"
_TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
_CALLS = {
    "messages": [_TURNS[0], {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": _LISTS}}]}]
}
_MEASURED = """
import resource, sys
from pathlib import Path
from core.data.errors import UserError
from core.importing import DomainRule, SourceOptions, import_source
from core.store import Store

folder = Path(sys.argv[1])
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
with Store.open(folder / "workspace", "a test") as store:
    import_source(store, "small", folder / "small.jsonl", SourceOptions())
    before = peak()
    for path in sorted(folder.glob("big*")):
        try:
            report = import_source(store, path.name, path, SourceOptions())
            print(path.name, report.rows, report.by_reason, round(peak() - before), sep="|")
        except UserError as error:
            print(path.name, error, "", round(peak() - before), sep="|")
"""


def test_hostile_files_are_read_in_bounded_memory_and_the_process_lives(tmp_path: Path) -> None:
    megabyte = 2**20
    (tmp_path / "small.jsonl").write_bytes(GOOD + b"\n")
    with open(tmp_path / "big-line.jsonl", "wb") as file:
        file.write(GOOD + b'\n{"question":"q","answer":"')
        file.writelines(b"x" * megabyte for _ in range(100))
        file.write(b'"}\n' + GOOD)
    with open(tmp_path / "big-record.json", "wb") as file:
        file.write(b"[" + GOOD + b',{"question":"q","answer":"')
        file.writelines(b"x" * megabyte for _ in range(100))
        file.write(b'"},' + GOOD + b"]")
    with open(tmp_path / "big-quote.csv", "wb") as file:
        file.write(b'question,answer\nq,a\nq,"')
        file.writelines(b"x" * megabyte for _ in range(100))
        file.write(b"\nq,a\n")
    million = b'{"question":"q","answer":"' + b"word " * 1_000_000 + b'"}\n'
    (tmp_path / "big-words.jsonl").write_bytes(million + GOOD)
    (tmp_path / "big-brackets.jsonl").write_bytes(GOOD + b"\n" + b"[" * 900_000 + b"\n" + GOOD)
    for name, part, times in _BOMBS:
        record = b'{"question":"q","answer":"a","more":[' + part * times + b"0]}"
        (tmp_path / f"big-{name}.jsonl").write_bytes(GOOD + b"\n" + record + b"\n" + GOOD)
    (tmp_path / "big-in-an-array.json").write_bytes(b"[" + GOOD + b"," + record + b"," + GOOD + b"]")
    for name, fields in (("arguments", _CALLS), ("tools", {"messages": _TURNS, "tools": _LISTS})):
        plain = json.dumps({"messages": _TURNS, "tools": ""})
        (tmp_path / f"big-{name}.jsonl").write_text(f"{plain}\n{json.dumps(fields)}\n{plain}")
    cells = "".join(f"{{'role': 'user', 'content': '{number}'}}, " for number in range(400_000))
    (tmp_path / "big-cell.csv").write_text(f'id,messages\n1,"{_TURNS}"\n2,"[{cells}]"\n')
    (tmp_path / "big-tokens.jsonl").write_bytes(b'{"question":"q","answer":"a"}\n' * 50_000)
    (tmp_path / "big-bomb.jsonl.zst").write_bytes(_zstd_of(b" " * megabyte, 100))
    (tmp_path / "big-bomb.jsonl.gz").write_bytes(_gzip_of(b" " * megabyte, 100))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOBASS_MAX")}
    environment |= {"LOBASS_MAX_UNPACKED_BYTES": str(64 * megabyte)}
    command = [sys.executable, "-c", _MEASURED, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = [line.split("|") for line in done.stdout.splitlines()]
    found = {name: (rows, reasons) for name, rows, reasons, _ in said}
    too_long = str({"line too long": 1})
    too_many = str({"too many parts": 1})
    bomb = "{} unpacks to more than 67,108,864 bytes. If you trust it, raise LOBASS_MAX_UNPACKED_BYTES."
    assert found == {
        "big-bomb.jsonl.gz": (bomb.format("big-bomb.jsonl.gz"), ""),
        "big-bomb.jsonl.zst": (bomb.format("big-bomb.jsonl.zst"), ""),
        "big-arguments.jsonl": ("2", too_many),
        "big-brackets.jsonl": ("2", str({"nested too deep": 1})),
        "big-cell.csv": ("1", too_many),
        "big-in-an-array.json": ("2", too_many),
        "big-line.jsonl": ("2", too_long),
        "big-quote.csv": ("2", too_long),
        "big-record.json": ("2", too_long),
        **{f"big-{name}.jsonl": ("2", too_many) for name, *_ in _BOMBS[2:]},
        "big-nearly-too-many.jsonl": ("3", "{}"),
        "big-numbers-in-text.jsonl": ("3", "{}"),
        "big-tools.jsonl": ("2", too_many),
        "big-tokens.jsonl": ("50000", "{}"),
        "big-words.jsonl": ("2", "{}"),
    }
    assert max(int(megabytes) for *_, megabytes in said) < MOST_MEMORY, said


def _zstd_of(unit: bytes, times: int) -> bytes:
    packer = zstandard.ZstdCompressor().compressobj()
    return b"".join(packer.compress(unit) for _ in range(times)) + packer.flush()


def _gzip_of(unit: bytes, times: int) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return b"".join(packer.compress(unit) for _ in range(times)) + packer.flush()
