"""Packs: what lies where, what is shared, and what is planned together."""

from collections.abc import Sequence

import numpy as np

from core.data.encoded import Encoded
from core.engine.packing import Pack, pack_rows, plan_packs, side_by_side


def row_of(input_ids: Sequence[int], scored_from: int) -> Encoded:
    return Encoded(np.array(input_ids, np.int32), np.arange(len(input_ids)) >= scored_from, False)


HEADER = list(range(100, 120))
ROWS = [
    row_of([*HEADER, 1, 2, 3], 21),
    row_of([7, 8, 9, 10], 2),
    row_of([*HEADER, 4, 5, 6, 7, 8], 22),
]


def seen_by(pack: Pack) -> dict[int, list[int]]:
    """Of each place in the pack, the ids of the tokens that it attends to, itself last."""
    buckets, answers = side_by_side(pack)
    flat = np.concatenate([bucket.places.ravel() for bucket in buckets])
    starts = np.concatenate(
        [np.repeat(np.arange(len(b.places)) * b.places.shape[1], b.places.shape[1]) for b in buckets]
    )
    starts += np.repeat(np.cumsum([0, *(b.places.size for b in buckets)])[:-1], [b.places.size for b in buckets])
    return {place: pack.input_ids[flat[starts[answer] : answer + 1]].tolist() for place, answer in enumerate(answers)}


def test_every_token_sees_its_own_row_up_to_itself_and_nothing_else() -> None:
    for share in (True, False):
        pack = pack_rows(ROWS, share)
        seen = seen_by(pack)
        for row, place, target in zip(pack.row_index, pack.state_index, pack.targets, strict=True):
            ids = ROWS[row].input_ids.tolist()
            assert seen[place] + [target] == ids[: len(seen[place]) + 1]
            assert pack.position_ids[place] == len(seen[place]) - 1


def test_a_beginning_that_rows_share_is_there_once() -> None:
    assert len(pack_rows(ROWS, share=False).input_ids) == sum(len(row.input_ids) - 1 for row in ROWS)
    shared = pack_rows(ROWS).input_ids.tolist()
    assert shared.count(HEADER[0]) == 1
    assert len(shared) == len(pack_rows(ROWS, share=False).input_ids) - len(HEADER)


def test_a_shared_beginning_ends_before_the_state_that_predicts_the_first_scored_token() -> None:
    rows = [row_of([*HEADER, 1, 2], 18), row_of([*HEADER, 1, 3], 20)]
    pack = pack_rows(rows)
    assert pack.input_ids.tolist().count(HEADER[16]) == 1
    assert pack.input_ids.tolist().count(HEADER[17]) == 2


def test_rows_that_share_few_tokens_or_none_are_laid_whole() -> None:
    rows = [row_of([1, 2, 3, 4, 5], 3), row_of([1, 2, 3, 4, 6], 3)]
    assert pack_rows(rows).input_ids.tolist() == [1, 2, 3, 4, 1, 2, 3, 4]


def test_scored_tokens_come_in_the_order_of_rows_and_places() -> None:
    pack = pack_rows(ROWS)
    assert pack.row_index.tolist() == [0, 0, 1, 1, 2, 2, 2]
    assert pack.targets.tolist() == [2, 3, 9, 10, 6, 7, 8]


def test_packs_hold_every_row_once_longest_first_and_the_first_is_small() -> None:
    lengths = [30, 5, 5, 7, 300, 12, 9, 40, 41, 8]
    batches = plan_packs(lengths, 80)
    assert sorted(row for batch in batches for row in batch.rows) == list(range(10))
    assert batches[0].rows == (4,)
    assert all(sum(lengths[row] for row in batch.rows) <= 80 for batch in batches[1:])
    assert [batch.length for batch in batches] == sorted((batch.length for batch in batches), reverse=True)
    assert [len(batch.rows) for batch in plan_packs([5] * 500, 800)] == [20, 160, 160, 160]
