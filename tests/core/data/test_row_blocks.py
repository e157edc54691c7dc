"""Rows on their way into the store: a block's columns are in one piece, and say which row is first of its example."""

from core.data.examples import DatasetRow, Example, Message
from core.data.row_blocks import row_blocks

_ROWS = 10_000  # which are collected in several parts


def test_a_block_is_in_one_piece_and_knows_repeats_across_its_parts() -> None:
    rows = [row(number, f"answer {number % 7_000}") for number in range(_ROWS)]
    (block,) = row_blocks(rows)
    assert [column.num_chunks for column in block.rows.columns] == [1] * block.rows.num_columns
    assert block.rows["is_first"].to_pylist() == [number < 7_000 for number in range(_ROWS)]
    assert block.rows["line"].to_pylist() == list(range(_ROWS))
    assert block.rows["example_id"].to_pylist() == [row.example.example_id for row in rows]


def row(number: int, answer: str) -> DatasetRow:
    example = Example((Message("user", "a question"), Message("assistant", answer)))
    return DatasetRow(number, "chat", example, answer.encode())
