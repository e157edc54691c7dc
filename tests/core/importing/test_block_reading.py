"""Blocks of a JSONL file: several processes, real ones, read what one does."""

import gzip
import json
import random
from collections import Counter
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pytest

from core.data.errors import SourceUnreadable
from core.data.row_blocks import RowBlock
from core.importing import block_reading
from core.importing.block_reading import _BlockProcesses, _pieces, read_blocks
from core.importing.detection import detect_format
from core.importing.importer import import_source
from core.importing.json_records import jsonl_lines
from core.importing.row_reading import reading_of
from core.importing.source_options import DomainRule, SourceOptions
from core.store import Store

_LONGEST = 400
OPTIONS = SourceOptions(domain=DomainRule(field="kind"))


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_reading, "BLOCK_ROWS", 5)
    monkeypatch.setattr(block_reading, "_CHUNK_BYTES", 64)
    monkeypatch.setenv("LOBASS_MAX_LINE_BYTES", str(_LONGEST))


def hostile_lines(seed: int, count: int = 90) -> bytes:
    draw = random.Random(seed)
    lines = []
    for number in range(count):
        fields = {
            "instruction": f"Say {draw.randrange(20)}",
            "output": "word " * draw.randrange(1, 30),
            "kind": "a b"[number % 3 : 3],
        }
        record = json.dumps(fields).encode()
        lines.append(
            draw.choice(
                [record] * 6
                + [
                    b"",
                    b"  \t",
                    b"[1, 2]",
                    b'{"instruction": 3',
                    record.replace(b"Say", b"\xff\xfe"),
                    b'{"x": "' + b"y" * draw.randrange(300, 3000) + b'"}',
                ]
            )
        )
    text = b"".join(line + draw.choice([b"\n", b"\n", b"\r\n"]) for line in lines)
    return draw.choice([b"", b"\xef\xbb\xbf"]) + (text if seed % 2 else text[:-1])


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("chunk", [1, 7, 64, 2**16])
def test_pieces_have_all_lines_with_their_numbers(seed: int, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_reading, "_CHUNK_BYTES", chunk)
    content = hostile_lines(seed)
    pieces = list(_pieces(BytesIO(content)))
    found = [line for piece in pieces for line in jsonl_lines(BytesIO(piece.content), piece.first)]
    assert found == list(jsonl_lines(BytesIO(content)))
    assert any(not isinstance(original, bytes) for _, original in found), "some line is too long"
    if chunk < 2**16:
        assert len(pieces) > 5
        assert max(len(piece.content) for piece in pieces) < 5 * (_LONGEST + chunk) + 2 * (_LONGEST + 2)


def test_a_first_line_that_is_too_long_is_one_line_whatever_stands_before_it() -> None:
    for mark in (b"", b"\xef\xbb\xbf"):
        for length in (_LONGEST, _LONGEST + 1, _LONGEST + 2, 3 * _LONGEST):
            lines = list(jsonl_lines(BytesIO(mark + b"[" + b"y" * (length - 1) + b"\r\n[]\n")))
            assert [line for line, _ in lines] == [1, 2]
            assert isinstance(lines[0][1], bytes) == (length == _LONGEST)


def contents(blocks: list[RowBlock]) -> tuple[list[object], list[object], Counter[str]]:
    rows = pa.concat_tables([block.rows.drop_columns(["is_first"]) for block in blocks]).to_pylist()
    notices: Counter[str] = Counter()
    for block in blocks:
        notices.update(block.notices)
    return rows, [rejected for block in blocks for rejected in block.rejected], notices


@pytest.mark.parametrize("packed", [False, True])
def test_several_processes_read_what_one_does(packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ("rows.jsonl.gz" if packed else "rows.jsonl")
    path.write_bytes(gzip.compress(hostile_lines(3, 400)) if packed else hostile_lines(3, 400))
    found = {}
    for processes in ("1", "3"):
        monkeypatch.setenv("LOBASS_IMPORT_PROCESSES", processes)
        found[processes] = list(read_blocks(path, OPTIONS, detect_format(path, OPTIONS)))
    assert len(found["3"]) > len(found["1"])
    assert contents(found["3"]) == contents(found["1"])
    rows, rejected, _ = contents(found["3"])
    assert len(rows) > 150
    assert len({each.reason for each in rejected}) >= 4


def test_what_a_killed_process_had_to_read_is_read_here(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(hostile_lines(5, 300))
    reading = reading_of(path, OPTIONS)
    expected = contents([block for piece in _pieces(BytesIO(path.read_bytes())) for block in piece.blocks(reading)])
    processes = _BlockProcesses(reading, 2)
    started = list(processes._processes)
    blocks = processes.blocks(_pieces(BytesIO(path.read_bytes())))
    found = [next(blocks)]
    started[0].kill()
    found += blocks
    assert contents(found) == expected
    assert all(process.poll() is not None for process in started)


def test_an_import_that_fails_leaves_no_row_and_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_reading, "BLOCK_ROWS", 500)
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(hostile_lines(7, 6_000))[:-20])  # its end is missing
    monkeypatch.setenv("LOBASS_IMPORT_PROCESSES", "2")
    started = []
    begin = _BlockProcesses.__init__

    def noted(self: _BlockProcesses, *arguments: object) -> None:
        begin(self, *arguments)  # type: ignore[arg-type]
        started.extend(self._processes)

    monkeypatch.setattr(_BlockProcesses, "__init__", noted)
    with Store.open(tmp_path / "workspace", "a test") as store:
        with pytest.raises(SourceUnreadable, match=r"rows.jsonl.gz"):
            import_source(store, "counts", path, OPTIONS)
        assert store.rows("SELECT count(*) FROM example") == [(0,)]
    assert len(started) == 2
    assert all(process.poll() is not None for process in started)
