"""Near-duplicates: nearly identical texts, found by MinHash and confirmed by an exact comparison.

A text is represented by its set of shingles: runs of three words, ignoring case and white space. A word is a run of
letters, digits and underscores. Any other character is a word by itself, so that code differs by its operators; so is
each character of a script without spaces (Chinese, Japanese, Thai ...). A text of fewer than three words uses runs of
three characters. The similarity of two texts is the Jaccard similarity of their sets: shingles in both / shingles in
either.

Two texts are linked when that is at least the threshold, and a group is what links hold together: every link is one of
two texts that alike, yet the ends of a long chain may be less so. MinHash (Broder 1997) only proposes pairs, in bands
as of Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, chapter 3; each is then compared exactly. The bands are
chosen so that a pair just at the threshold is proposed with a chance of 99 % or more.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..data.examples import Example

SHINGLE_WORDS = 3
PERMUTATIONS = 128
_SEED = 1
_PROPOSED = 0.99  # probability that a pair at the threshold is proposed
_MOST_ROWS_A_BAND = 32
_CROWD = 256  # in a larger bucket not all pairs are compared, because their number grows quadratically
_FRUITLESS_PIVOTS = 4
_BLOCK = 1000  # texts compared with one text at a time
_BUCKETS_A_REPORT = 1000

# Thai to Lao, Myanmar, Khmer, kana, the blocks of Han
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]")
_FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)  # any two odd numbers
_KEY = np.uint64(0x100000001B3)

Hashes = npt.NDArray[np.uint64]
Signatures = npt.NDArray[np.uint32]
Report = Callable[[float], None]
"""Called regularly with the share done, 0 to 1; may raise to stop."""


@dataclass(frozen=True, slots=True)
class ShingleSets:
    """Concatenated shingle sets: set i is `hashes[ends[i - 1]:ends[i]]`, sorted, without repeats."""

    hashes: Hashes
    ends: npt.NDArray[np.int64]

    def __getitem__(self, index: int) -> Hashes:
        return self.hashes[self.ends[index - 1] if index else 0 : self.ends[index]]

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Number of shingles in each set."""
        return np.diff(self.ends, prepend=0)

    def similarities(self, index: int, others: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """`jaccard` of one set with each of some others, none of them empty."""
        one, sizes = self[index], self.sizes_of(others)
        starts = np.cumsum(sizes) - sizes
        places = np.arange(sizes.sum()) + np.repeat(self.ends[others] - sizes - starts, sizes)
        hashes = self.hashes[places]
        in_one = one[np.minimum(np.searchsorted(one, hashes), len(one) - 1)] == hashes
        both = np.add.reduceat(in_one, starts, dtype=np.int64) if len(others) else np.zeros(0, np.int64)
        return np.asarray(both / (len(one) + sizes - both), np.float64)

    def sizes_of(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Number of shingles in some of the sets."""
        return np.asarray(self.ends[indices] - np.where(indices > 0, self.ends[indices - 1], 0), np.int64)


def compared_text(example: Example) -> str:
    """The part of a conversation that is compared: prompt and response, without text that a whole dataset shares.

    System turns and tools are excluded: a long one in every row would make all rows similar. A system turn is included
    if nothing else precedes the response.
    """
    asked = any(message.role not in ("system", "assistant") for message in example.messages)
    return "\n".join(message.text for message in example.messages if message.role != "system" or not asked)


def shingle_sets(texts: Sequence[str]) -> list[Hashes]:
    """Each text's set of shingles, as sorted 64-bit hashes; empty only for a blank text."""
    words = [_words(text) for text in texts]
    ends = np.cumsum([len(found) for found in words], dtype=np.int64)
    # pandas' hash is the same in every process; Python's own is not.
    flat = np.array([word for found in words for word in found], dtype=object)
    hashes = np.asarray(pd.util.hash_array(flat, categorize=False), dtype=np.uint64)
    padded = np.concatenate([hashes, np.zeros(2, np.uint64)])
    runs = padded[:-2] * _FIRST + padded[1:-1] * _SECOND + padded[2:]
    starts = ends - [len(found) for found in words]
    return [
        np.unique(runs[start : end - 2]) if end - start >= SHINGLE_WORDS else _single(hashes[start:end])
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]


def _words(text: str) -> list[str]:
    folded = text.casefold()
    words = _WORD.findall(folded)
    return words if len(words) >= SHINGLE_WORDS else list(" ".join(folded.split()))


def _single(hashes: Hashes) -> Hashes:
    """The only shingle of a text shorter than one, or none."""
    if not hashes.size:
        return hashes
    return (hashes[:1] * _FIRST + (hashes[1:2] * _SECOND if hashes.size > 1 else np.uint64(0))).astype(np.uint64)


def signatures(sets: Sequence[Hashes]) -> Signatures:
    """MinHash signatures of shingle sets, [sets, PERMUTATIONS]; always the same for the same set."""
    from rensa import RMinHash  # imported here, because only searches need it

    flat = np.concatenate([np.zeros(0, np.uint64), *sets])
    ends = np.cumsum([0, *map(len, sets)], dtype=np.uint64)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(flat, ends, PERMUTATIONS, _SEED)
    return np.array(matrix.to_rows(), np.uint32).reshape(len(sets), PERMUTATIONS)


def jaccard(first: Hashes, second: Hashes) -> float:
    """Shingles in both / shingles in either, 0 to 1; 0 if either has none."""
    if not first.size or not second.size:
        return 0.0
    both = int(np.intersect1d(first, second, assume_unique=True).size)
    return both / (len(first) + len(second) - both)


def bands(threshold: float) -> tuple[int, int]:
    """Number of bands of a signature, and rows per band: the strictest choice that proposes enough pairs."""
    for rows in range(_MOST_ROWS_A_BAND, 1, -1):
        count = PERMUTATIONS // rows
        if 1 - (1 - threshold**rows) ** count >= _PROPOSED:
            return count, rows
    return PERMUTATIONS, 1


def near_duplicate_groups(
    sketches: Signatures, sets: ShingleSets, threshold: float, report: Report = lambda _: None
) -> npt.NDArray[np.int64]:
    """The group of each text: numbered from 1, the largest first, then by first member; 0 without a group.

    `sketches` are the sets' signatures. Both may lie in files (`numpy.memmap`): a band is read at a time, and the
    sets of proposed pairs only. Held besides are a few numbers a text. Where more than 256 texts share a band,
    some are compared with all of them, and of the rest those that share further bands with each other: a link in such
    a crowd can be missed where no other band shows it. Otherwise the groups do not depend on the texts' order.
    """
    search = _Search(sketches, sets, threshold)
    count, _ = bands(threshold)
    candidates = np.flatnonzero(sets.sizes)
    for band in range(count):
        ordered, cuts = search.buckets(candidates, band)
        starts, stops = cuts[:-1], cuts[1:]
        full = np.flatnonzero(stops - starts > 1)
        for done, bucket in enumerate(full.tolist()):
            if done % _BUCKETS_A_REPORT == 0:
                report((band + done / len(full)) / count)
            search.link(ordered[starts[bucket] : stops[bucket]], band, band + 1)
        search.connect()
        report((band + 1) / count)
    return numbered(search.labels)


class _Search:
    """Links found so far. `labels` of two texts are equal if links of earlier bands connect them, or links of this band
    within the bucket that is looked at; a label is the first text of its component."""

    def __init__(self, sketches: Signatures, sets: ShingleSets, threshold: float) -> None:
        self._sketches, self._sets, self._threshold = sketches, sets, threshold
        self._bands, self._rows = bands(threshold)
        # Below this a signature says by itself that the pair is not alike: four standard errors of its estimate.
        self._least_estimate = threshold - 4 * math.sqrt(threshold * (1 - threshold) / PERMUTATIONS) - 1e-9
        self.labels = np.arange(len(sets.ends))
        self._links: list[tuple[int, int]] = []  # of labels, since they were last made

    def buckets(self, members: npt.NDArray[np.int64], band: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The members in order of their key in a band, and where one bucket ends and the next begins."""
        columns = self._sketches[:, band * self._rows : (band + 1) * self._rows]
        keys = np.zeros(len(members), np.uint64)
        for column in range(self._rows):
            keys = keys * _KEY + columns[members, column] * _FIRST
        order = np.argsort(keys, kind="stable")
        changes = np.flatnonzero(np.diff(keys[order])) + 1
        return members[order], np.concatenate([[0], changes, [len(members)]]).astype(np.int64)

    def link(self, members: npt.NDArray[np.int64], band: int, following: int) -> None:
        """Link the members of one bucket; what the pivots of a crowd leave is divided by the bands that follow."""
        if (self.labels[members] == self.labels[members[0]]).all():
            return
        if len(members) <= _CROWD:
            for place, pivot in enumerate(members[:-1].tolist()):
                self._link_alike(pivot, members[place + 1 :], members)
            return
        self._link_crowd(members)
        alone = members[self.labels[members] == members]
        if len(alone) < 2 or following % self._bands == band:
            return
        ordered, cuts = self.buckets(alone, following % self._bands)
        for start, stop in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
            if stop - start > 1:
                self.link(ordered[start:stop], band, following + 1)

    def _link_crowd(self, members: npt.NDArray[np.int64]) -> None:
        """Compare pivots, one of each group so far, with all of a crowd, until some in a row have found nothing."""
        fruitless = 0
        for pivot in members.tolist():
            if self.labels[pivot] == pivot:
                fruitless = 0 if self._link_alike(pivot, members, members) else fruitless + 1
            if fruitless == _FRUITLESS_PIVOTS:
                return

    def _link_alike(self, pivot: int, others: npt.NDArray[np.int64], bucket: npt.NDArray[np.int64]) -> bool:
        """Link a text with those of the others that are alike; whether there was any that was not linked yet."""
        others = others[self.labels[others] != self.labels[pivot]]
        found = False
        for start in range(0, len(others), _BLOCK):
            block = others[start : start + _BLOCK]
            estimates = np.count_nonzero(self._sketches[block] == self._sketches[pivot], axis=1) / PERMUTATIONS
            block = block[estimates >= self._least_estimate]
            alike = block[self._sets.similarities(pivot, block) >= self._threshold - 1e-9]
            if len(alike):
                linked = np.unique(self.labels[alike])
                self._links += [(int(self.labels[pivot]), label) for label in linked.tolist()]
                self.labels[bucket[np.isin(self.labels[bucket], linked)]] = self.labels[pivot]
                found = True
        return found

    def connect(self) -> None:
        """Make the labels of all texts those of their components."""
        if not self._links:
            return
        from scipy.sparse import coo_array  # here, because the dashboard should not wait for it
        from scipy.sparse.csgraph import connected_components

        texts = np.arange(len(self.labels))
        ends = np.concatenate([[texts, self.labels], np.array(self._links).T], axis=1)
        graph = coo_array((np.ones(ends.shape[1], bool), tuple(ends)), shape=(len(texts), len(texts)))
        count, component = connected_components(graph, directed=False)
        first = np.empty(count, np.int64)
        first[component[::-1]] = texts[::-1]  # of those assigned to one place the last one stays
        self.labels = first[component]
        self._links.clear()


def numbered(labels: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
    """Groups of texts of equal labels: numbered from 1, the largest first, then by first member; 0 for a text alone."""
    _, first, group, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    numbers = np.zeros(len(sizes), np.int64)
    numbers[order] = np.arange(1, len(sizes) + 1)
    numbers[sizes == 1] = 0  # groups of one come last, so the others are numbered without a gap
    return numbers[group]
