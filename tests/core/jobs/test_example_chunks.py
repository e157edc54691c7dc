"""A job's examples by row group, its encoded chunks on disk, its leases."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest

from core.data.encoded import Encoded
from core.data.examples import Example, Message
from core.jobs.example_chunks import EXAMPLES_SCHEMA, ExampleFile, id_texts, packed_ids, write_examples_file
from core.scoring.encoded_chunks import read_encoded_chunk, write_encoded_chunk
from core.scoring.leases import take_lease
from tests import command_line


def examples_table(count: int, words: int = 1) -> pa.Table:
    examples = [Example((Message("user", f"{n}"), Message("assistant", "yes " * words))) for n in range(count)]
    texts = [[str(example.example_id), example.to_json(), ""] for example in examples]
    return pa.table([list(column) for column in zip(*texts, strict=True)], schema=EXAMPLES_SCHEMA)


def row_of(*input_ids: int) -> Encoded:
    places = np.arange(len(input_ids))
    return Encoded(np.array(input_ids, np.int32), places > 0, len(input_ids) > 3, is_end=places == len(input_ids) - 1)


def test_ids_keep_every_one_of_their_bytes() -> None:
    given = [UUID(bytes=bytes(16)), UUID(bytes=b"\0a" * 8), UUID(bytes=b"a\0" * 8), UUID(bytes=b"\xff" * 16)]
    texts = [str(one) for one in given]
    ids = packed_ids(pa.array(texts))
    assert id_texts(ids) == texts
    assert np.argsort(ids).tolist() == [0, 1, 2, 3]
    assert np.isin(ids, packed_ids(pa.array(texts[1:3]))).tolist() == [False, True, True, False]


def test_chunks_hold_every_row_once_and_the_first_is_small(tmp_path: Path) -> None:
    table = examples_table(5000)
    write_examples_file(tmp_path / "base.parquet", table)
    file = ExampleFile(tmp_path / "base.parquet")
    chunks = file.chunks(3000)
    assert [(chunk.start, chunk.end) for chunk in chunks] == [(0, 256), (256, 4352), (4352, 5000)]
    assert id_texts(file.ids) == table["example_id"].to_pylist()
    read = [example.to_json() for chunk in chunks for group in file.read(chunk) for example in group]
    assert read == table["conversation"].to_pylist()


def test_long_examples_are_kept_in_smaller_groups(tmp_path: Path) -> None:
    write_examples_file(tmp_path / "base.parquet", examples_table(40, words=100_000))
    file = ExampleFile(tmp_path / "base.parquet")
    assert max(len(group) for chunk in file.chunks() for group in file.read(chunk)) <= 10


def test_examples_come_in_batches_as_well_as_in_one_table(tmp_path: Path) -> None:
    table = examples_table(700)
    write_examples_file(tmp_path / "base.parquet", iter(table.to_batches(max_chunksize=100)))
    assert id_texts(ExampleFile(tmp_path / "base.parquet").ids) == table["example_id"].to_pylist()


def test_a_file_without_examples_has_no_chunks(tmp_path: Path) -> None:
    write_examples_file(tmp_path / "base.parquet", examples_table(1).slice(1))
    file = ExampleFile(tmp_path / "base.parquet")
    assert (len(file), file.chunks()) == (0, [])


def test_encoded_rows_come_back_as_they_were(tmp_path: Path) -> None:
    rows = [row_of(1, 2, 3), Encoded(np.zeros(0, np.int32), np.zeros(0, np.bool_), False, "空"), row_of(7, 8, 9, 7)]
    write_encoded_chunk(tmp_path / "encoded" / "a.arrow", rows)
    found = read_encoded_chunk(tmp_path / "encoded" / "a.arrow")
    assert found is not None
    for one, other in zip(found, rows, strict=True):
        assert one.input_ids.tolist() == other.input_ids.tolist()
        assert one.scored.tolist() == other.scored.tolist()
        assert one.is_end.tolist() == other.is_end.tolist()
        assert (one.truncated, one.reason, one.token_count) == (other.truncated, other.reason, other.token_count)


def test_an_encoded_chunk_of_an_earlier_version_counts_as_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_encoded_chunk(tmp_path / "a.arrow", [row_of(1, 2, 3)])
    monkeypatch.setattr("core.scoring.encoded_chunks._SCHEMA", pa.schema([("input_ids", pa.list_(pa.int32()))]))
    assert read_encoded_chunk(tmp_path / "a.arrow") is None


@pytest.mark.parametrize("kept", [0, 10, 16, 200, -1])
def test_a_torn_encoded_chunk_counts_as_missing(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "a.arrow"
    assert read_encoded_chunk(path) is None
    write_encoded_chunk(path, [row_of(1, 2, 3)])
    path.write_bytes(path.read_bytes()[:kept])
    assert read_encoded_chunk(path) is None


def test_a_lease_is_one_processs_until_it_gives_it_back_or_dies(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom core.scoring.leases import take_lease\n"
        "lease = take_lease(Path(sys.argv[1]), 'a')\nprint('held', flush=True)\nsys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "leases")]
    with subprocess.Popen(command, cwd=command_line.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert take_lease(tmp_path / "leases", "a") is None
        other = take_lease(tmp_path / "leases", "b")
        assert other is not None
        os.kill(holder.pid, signal.SIGKILL)
        holder.communicate()
    mine = take_lease(tmp_path / "leases", "a")
    assert mine is not None
    assert take_lease(tmp_path / "leases", "a") is None
    mine.release()
    assert take_lease(tmp_path / "leases", "a") is not None
