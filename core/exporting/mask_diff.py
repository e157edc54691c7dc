"""Compares the tokens that a trainer trains on with those that were scored. Works on token ids only."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

FIRST_ROWS = 5
"""Row numbers listed for each difference."""

KINDS = {
    "trained_only": "trained on, not scored",
    "scored_only": "scored, not trained on",
    "read_otherwise": "read by the trainer as context, not in scoring",
    "not_read": "read in scoring as context, not by the trainer",
}
"""The kinds of difference, as text."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A row as one side reads it: token ids, and which of them count (scored or trained on)."""

    ids: Sequence[int]
    counted: Sequence[bool]


@dataclass(frozen=True, slots=True)
class Difference:
    """A text that only one side counts or reads: a name of `KINDS`, the number of rows, and the total tokens."""

    kind: str
    text: str
    rows: int
    tokens: int
    first_rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MaskReport:
    """The result: compared, equal and dropped rows; scored, trained and shared tokens; and the differences, those in
    most rows first."""

    rows: int
    equal_rows: int
    dropped_rows: tuple[int, ...]
    scored_tokens: int
    trained_tokens: int
    shared_tokens: int
    differences: tuple[Difference, ...]


@dataclass(slots=True)
class _Count:
    rows: int = 0
    tokens: int = 0
    first_rows: list[int] = field(default_factory=list)


def compare_masks(
    rows: Iterable[tuple[int, Tokens, Tokens | None]], decode: Callable[[Sequence[int]], str]
) -> MaskReport:
    """Compare rows, each given as its number, its scored tokens, and its trained tokens (None if the trainer drops it).

    The first token of a row never counts, because nothing predicts it. Tokens after the last counted token are ignored,
    because no loss depends on them.
    """
    found: dict[tuple[str, str], _Count] = {}
    compared = equal = scored_tokens = trained_tokens = shared_tokens = 0
    dropped = []
    for number, scored, trained in rows:
        scored = _without_first(scored)
        scored_tokens += sum(scored.counted)
        if trained is None:
            dropped.append(number)
            continue
        trained = _without_first(trained)
        compared += 1
        trained_tokens += sum(trained.counted)
        runs, shared = row_differences(scored, trained)
        shared_tokens += shared
        equal += not runs
        told: set[tuple[str, str]] = set()
        for kind, ids in runs:
            key = (kind, decode(ids))
            count = found.setdefault(key, _Count())
            count.tokens += len(ids)
            if key not in told:
                count.rows += 1
                count.first_rows = [*count.first_rows, number][:FIRST_ROWS]
            told.add(key)
    differences = [
        Difference(kind, text, count.rows, count.tokens, tuple(count.first_rows))
        for (kind, text), count in found.items()
    ]
    differences.sort(key=lambda difference: (-difference.rows, list(KINDS).index(difference.kind), difference.text))
    return MaskReport(
        compared, equal, tuple(dropped), scored_tokens, trained_tokens, shared_tokens, tuple(differences)
    )  # fmt: skip


def row_differences(scored: Tokens, trained: Tokens) -> tuple[list[tuple[str, list[int]]], int]:
    """Runs of tokens of one row that only one side counts or reads, in order, each with its kind; and the number of
    tokens that both count."""
    marks: list[tuple[str, int]] = []
    shared = 0
    for here, there in _aligned(_until_counted(scored), _until_counted(trained)):
        counts_here = here is not None and bool(scored.counted[here])
        counts_there = there is not None and bool(trained.counted[there])
        token = scored.ids[here] if here is not None else trained.ids[there or 0]
        shared += counts_here and counts_there
        if counts_here != counts_there:
            marks.append(("scored_only" if counts_here else "trained_only", token))
        elif here is None:
            marks.append(("read_otherwise", token))
        elif there is None:
            marks.append(("not_read", token))
        else:
            marks.append(("", token))
    runs: list[tuple[str, list[int]]] = []
    last = ""
    for kind, token in marks:
        if kind and kind == last:
            runs[-1][1].append(token)
        elif kind:
            runs.append((kind, [token]))
        last = kind
    return runs, shared


def _without_first(row: Tokens) -> Tokens:
    return Tokens(row.ids, [False, *map(bool, row.counted[1:])])


def _until_counted(row: Tokens) -> list[int]:
    """Ids up to the last counted token."""
    end = max((i for i, counts in enumerate(row.counted) if counts), default=-1) + 1
    return list(row.ids[:end])


def _aligned(here: list[int], there: list[int]) -> Iterable[tuple[int | None, int | None]]:
    """Pairs of positions of both sides; None where only the other side has a token."""
    start = 0
    while start < min(len(here), len(there)) and here[start] == there[start]:
        start += 1
    end = 0
    while end < min(len(here), len(there)) - start and here[-1 - end] == there[-1 - end]:
        end += 1
    yield from ((i, i) for i in range(start))
    # Comparing all pairs is slow, so only the part between the first and the last difference is aligned.
    matcher = SequenceMatcher(None, here[start : len(here) - end], there[start : len(there) - end], autojunk=False)
    for tag, a, a_end, b, b_end in matcher.get_opcodes():
        if tag == "equal":
            yield from ((start + a + i, start + b + i) for i in range(a_end - a))
        else:
            yield from ((start + i, None) for i in range(a, a_end))
            yield from ((None, start + i) for i in range(b, b_end))
    yield from ((len(here) - end + i, len(there) - end + i) for i in range(end))
