"""Shards: whole or not there, and damage is noticed."""

from pathlib import Path

import pyarrow as pa
import pytest

from core.data.errors import StoreUnusable
from core.jobs.shards import SHARD_SCHEMA, read_shard, shards, write_shard

LOSSES = pa.table(
    {
        "example_id": [f"00000000-0000-0000-0000-00000000000{number}" for number in range(3)],
        "nll_sum": [1.5, float("nan"), None],
        "token_count": [3, 4, 0],
        "truncated": [False, True, False],
        "reason": [None, None, "response has no token"],
        "left_out": [0.0, 0.5, None],
        "end_nll_sum": [0.5, float("nan"), None],
        "end_token_count": [1, 1, None],
    },
    schema=SHARD_SCHEMA,
)


def test_a_shard_reads_back_as_it_was_written(tmp_path: Path) -> None:
    found = read_shard(write_shard(tmp_path / "new folder", "base-000001", LOSSES))
    assert found.schema == SHARD_SCHEMA
    assert found.column("nll_sum").null_count == 1  # a NaN is a loss, and not a missing one
    assert str(found.to_pylist()) == str(LOSSES.to_pylist())


def test_a_shard_of_an_earlier_version_has_nulls_in_the_columns_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = pa.schema(list(SHARD_SCHEMA)[:6])
    monkeypatch.setattr("core.jobs.shards.SHARD_SCHEMA", earlier)
    path = write_shard(tmp_path, "base-000001", LOSSES.select(earlier.names))
    monkeypatch.undo()
    found = read_shard(path)
    assert found.schema == SHARD_SCHEMA
    assert (found["end_nll_sum"].null_count, found["end_token_count"].null_count) == (3, 3)
    assert found["token_count"].to_pylist() == [3, 4, 0]


def test_columns_of_wider_types_are_brought_to_the_shards_own(tmp_path: Path) -> None:
    wide = LOSSES.set_column(2, "token_count", pa.array([3, 4, 0], pa.int64()))
    assert read_shard(write_shard(tmp_path, "wide", wide)).schema == SHARD_SCHEMA


@pytest.mark.parametrize("place", [0, 15, 16, 200, -1])
def test_one_flipped_byte_anywhere_is_noticed(tmp_path: Path, place: int) -> None:
    path = write_shard(tmp_path, "base-000001", LOSSES)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreUnusable, match=r"base-000001\.arrow is damaged .* Delete it and score again"):
        read_shard(path)


@pytest.mark.parametrize("kept", [0, 8, 16, 100])
def test_a_shard_that_was_cut_off_is_noticed(tmp_path: Path, kept: int) -> None:
    path = write_shard(tmp_path, "base-000001", LOSSES)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(StoreUnusable, match="is damaged"):
        read_shard(path)


def test_finished_shards_come_in_the_order_of_their_names_without_unfinished_ones(tmp_path: Path) -> None:
    for name in ("base-000002", "base-000001", "base-000010"):
        write_shard(tmp_path, name, LOSSES)
    (tmp_path / ".base-000003.arrow.77.tmp").write_bytes(b"half")
    assert [path.stem for path in shards(tmp_path)] == ["base-000001", "base-000002", "base-000010"]
    assert shards(tmp_path / "no such folder") == []
