"""Batching and packing: which rows are computed together, and their layout in one sequence, with prefix sharing.

    [prefix A][rest of row 1][rest of row 2] ... [prefix B][rest of row 7] ... [row 9] ...

Templates begin most rows with the same text. The result for a token depends only on the tokens before it, so a prefix
shared by rows of a pack is computed once, and each of these rows attends to it.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.encoded import Encoded

_LEAST_SHARED = 16
"""Shorter prefixes are not shared: attending to them costs more than it saves [tokens]."""
_FIRST_BATCH_SHARE = 8
_LIKE_LENGTH = 1.2


@dataclass(frozen=True, slots=True)
class Batch:
    """Indices of the rows computed together, and the length of the longest [tokens]."""

    rows: tuple[int, ...]
    length: int


@dataclass(frozen=True, slots=True)
class Segment:
    """Tokens of a pack that attend to each other: a row, without its shared prefix if it has one."""

    start: int
    length: int
    shared_start: int = 0
    shared_length: int = 0

    @property
    def seen(self) -> int:
        """Number of tokens that the last token attends to, itself included."""
        return self.shared_length + self.length


@dataclass(frozen=True, slots=True)
class Bucket:
    """Segments of similar length whose attention is computed in one call.

    `places` [segments x longest] are the tokens' places in the pack; a shorter segment repeats its last token, to which
    no earlier token attends (causal attention).
    """

    places: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pack:
    """Packed rows.

    input_ids and position_ids [tokens]; `segments` are in order. For every scored token, in order of rows: its row, the
    place of the token that predicts it, and its id.
    """

    input_ids: NDArray[np.int64]
    position_ids: NDArray[np.int64]
    segments: tuple[Segment, ...]
    row_index: NDArray[np.int64]
    state_index: NDArray[np.int64]
    targets: NDArray[np.int64]


def plan_batches(lengths: Sequence[int], token_budget: int) -> list[Batch]:
    """Batches of rows of similar length, longest first, padded size at most `token_budget` [tokens].

    A row longer than the budget gets its own batch. Longest first: if memory runs out, it does so at the start.
    """
    order = _longest_first(lengths)
    batches: list[Batch] = []
    start = 0
    while start < len(order):
        length = lengths[order[start]]
        count = max(1, token_budget // max(1, length))
        batches.append(Batch(tuple(order[start : start + count]), length))
        start += count
    return batches


def plan_packs(lengths: Sequence[int], token_budget: int) -> list[Batch]:
    """Batches of rows to be packed, longest first, together at most `token_budget` [tokens].

    The first batch is smaller, so that the first result comes early. A row longer than the budget gets its own batch.
    """
    batches: list[Batch] = []
    rows: list[int] = []
    tokens, budget = 0, max(1, token_budget // _FIRST_BATCH_SHARE)
    for row in _longest_first(lengths):
        if rows and tokens + lengths[row] > budget:
            batches.append(Batch(tuple(rows), lengths[rows[0]]))
            rows, tokens, budget = [], 0, token_budget
        rows.append(row)
        tokens += lengths[row]
    if rows:
        batches.append(Batch(tuple(rows), lengths[rows[0]]))
    return batches


def pack_rows(rows: Sequence[Encoded], share: bool = True) -> Pack:
    """Pack the rows; with `share`, a prefix of several rows is stored once.

    A row ends before its last scored token, because no token is predicted from that one.
    """
    layout = _Layout()
    for members, shared in _beginnings(rows) if share else (([index], 0) for index in range(len(rows))):
        shared_start = layout.add_tokens(rows[members[0]].input_ids[:shared], 0)
        if shared:
            layout.segments.append(Segment(shared_start, shared))
        for index in members:
            layout.add_row(index, rows[index], shared_start, shared)
    return layout.pack()


class _Layout:
    """Collects the tokens and segments of a pack."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self._ids: list[NDArray[np.int32]] = []
        self._positions: list[NDArray[np.int64]] = []
        self._scored: list[tuple[int, NDArray[np.int64], NDArray[np.int32]]] = []
        self._tokens = 0

    def add_tokens(self, input_ids: NDArray[np.int32], first_position: int) -> int:
        """Add tokens; returns the place of the first one."""
        start = self._tokens
        self._ids.append(input_ids)
        self._positions.append(np.arange(first_position, first_position + len(input_ids)))
        self._tokens += len(input_ids)
        return start

    def add_row(self, index: int, row: Encoded, shared_start: int, shared: int) -> None:
        """Add a row whose first `shared` tokens are already stored."""
        scored = np.flatnonzero(row.scored)
        end = int(scored[-1]) if len(scored) else len(row.input_ids)
        start = self.add_tokens(row.input_ids[shared:end], shared)
        self.segments.append(Segment(start, end - shared, shared_start, shared))
        # logits[t] predict token t + 1, so a token scored at t + 1 needs the state at t.
        self._scored.append((index, start + scored - 1 - shared, row.input_ids[scored]))

    def pack(self) -> Pack:
        """The finished pack."""
        self._scored.sort(key=lambda item: item[0])
        return Pack(
            np.concatenate(self._ids).astype(np.int64),
            np.concatenate(self._positions),
            tuple(self.segments),
            np.concatenate([np.full(len(places), index, np.int64) for index, places, _ in self._scored]),
            np.concatenate([places for _, places, _ in self._scored]),
            np.concatenate([targets for _, _, targets in self._scored]).astype(np.int64),
        )


def _longest_first(lengths: Sequence[int]) -> list[int]:
    return sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))


def _beginnings(rows: Sequence[Encoded]) -> Iterable[tuple[list[int], int]]:
    """Groups of rows, and the length of the prefix that each group shares [tokens].

    The state that predicts a row's first scored token is not shared.
    """
    groups: defaultdict[bytes, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        first_scored = int(np.argmax(row.scored))
        key = row.input_ids[:_LEAST_SHARED].tobytes() if first_scored > _LEAST_SHARED else b""
        groups[key].append(index)
    for key, members in groups.items():
        yield (
            (members, _shared_length([rows[index] for index in members])) if key and len(members) > 1 else (members, 0)
        )


def _shared_length(rows: Sequence[Encoded]) -> int:
    first, shared = rows[0], min(int(np.argmax(row.scored)) for row in rows) - 1
    for row in rows[1:]:
        differs = first.input_ids[:shared] != row.input_ids[:shared]
        shared = int(np.argmax(differs)) if differs.any() else shared
    return shared


def side_by_side(pack: Pack) -> tuple[tuple[Bucket, ...], NDArray[np.int64]]:
    """Buckets with all segments of a pack, and the index [tokens] of each token's result in the buckets' concatenated,
    flattened results."""
    answers = np.zeros(len(pack.input_ids), np.int64)
    buckets: list[Bucket] = []
    waiting = sorted(pack.segments, key=lambda segment: -segment.seen)
    flat = 0
    while waiting:
        longest = waiting[0].seen
        alike = [segment for segment in waiting if segment.seen * _LIKE_LENGTH >= longest]
        waiting = waiting[len(alike) :]
        places = np.empty((len(alike), longest), np.int64)
        for line, segment in zip(places, alike, strict=True):
            shared, end = segment.shared_length, segment.start + segment.length
            line[:shared] = np.arange(segment.shared_start, segment.shared_start + shared)
            line[shared : segment.seen] = np.arange(segment.start, end)
            line[segment.seen :] = end - 1
            answers[segment.start : end] = np.arange(flat + shared, flat + segment.seen)
            flat += longest
        buckets.append(Bucket(places))
    return tuple(buckets), answers
