"""A row of a Parquet file that is small on disk and would fill the memory is rejected, and its neighbours are kept."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data.examples import Rejected
from core.importing.arrow_records import parquet_records

MANY = 1_200_000


def of_lists(lengths: list[int], inner: pa.Array) -> pa.Array:
    offsets = [sum(lengths[:place]) for place in range(len(lengths) + 1)]
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), inner)


def empty_lists(count: int) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array([0] * (count + 1), pa.int32()), pa.array([], pa.int8()))


@pytest.mark.parametrize(
    "inner",
    [
        empty_lists(MANY + 2),
        pa.nulls(MANY + 2, pa.int8()),
        pa.StructArray.from_arrays([empty_lists(MANY + 2)], ["a"]),
        pa.nulls(MANY + 2, pa.map_(pa.string(), pa.int8())),
    ],
    ids=["lists", "nulls", "objects", "maps"],
)
def test_a_row_of_a_million_empty_values_is_rejected_before_it_is_made(tmp_path: Path, inner: pa.Array) -> None:
    table = pa.table({"question": ["q"] * 3, "answer": ["a"] * 3, "more": of_lists([1, MANY, 1], inner)})
    pq.write_table(table, tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 20_000
    first, second, third = parquet_records(tmp_path / "a.parquet")
    assert not isinstance(first, Rejected)
    assert not isinstance(third, Rejected)
    assert second == Rejected(2, "too many parts", "more than 1,000,000")


def test_a_batch_of_many_small_rows_is_read_whole(tmp_path: Path) -> None:
    rows = 1_000
    table = pa.table({"question": ["q"] * rows, "more": of_lists([1_100] * rows, pa.nulls(1_100 * rows, pa.int8()))})
    pq.write_table(table, tmp_path / "a.parquet")
    found = list(parquet_records(tmp_path / "a.parquet"))
    assert [record.line for record in found] == list(range(1, rows + 1))
    assert not any(isinstance(record, Rejected) for record in found)
