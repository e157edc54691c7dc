"""Rows that nearly repeat a row of a target set: contamination, if the target is a benchmark's own questions.

A row is one if its prompt is a target's (case and white space apart), or if its text or its prompt alone is similar by
0.8 or more to that of the target whose embedding is nearest (`core.near_duplicates.similarity`).
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..data.examples import Example
from ..jobs.example_chunks import Ids, packed_ids
from ..near_duplicates.jobs import DEFAULT_THRESHOLD
from ..near_duplicates.similarity import Hashes, compared_text, jaccard, shingle_sets


def copies_of_targets(
    batches: Iterable[pa.RecordBatch], ids: Ids, nearest: NDArray[np.int64], targets: Sequence[Example]
) -> NDArray[np.bool_]:
    """Whether each row is nearly a target's, in the order of `ids`, which are sorted. `batches`: the rows' `example_id`
    and `conversation`, in any order. `nearest`: the index of each row's nearest target, -1 for a row without one."""
    whole, asked = _sets(targets)
    prompts = {found.tobytes() for found in asked if found.size}
    found = np.zeros(len(ids), np.bool_)
    for batch in batches:
        rows = [Example.from_json(text) for text in batch["conversation"].to_pylist()]
        places = np.searchsorted(ids, packed_ids(batch["example_id"]))
        for text, prompt, place in zip(*_sets(rows), places.tolist(), strict=True):
            is_copy, aim = prompt.tobytes() in prompts, int(nearest[place])
            if not is_copy and aim >= 0:
                is_copy = max(jaccard(text, whole[aim]), jaccard(prompt, asked[aim])) >= DEFAULT_THRESHOLD
            found[place] = is_copy
    return found


def _sets(examples: Sequence[Example]) -> tuple[list[Hashes], list[Hashes]]:
    """Shingles of each whole text, and of its prompt alone."""
    return (
        shingle_sets([compared_text(example) for example in examples]),
        shingle_sets([_asked(example) for example in examples]),
    )


def _asked(example: Example) -> str:
    """The prompt without system turns, which a whole dataset may share."""
    return "\n".join(message.text for message in example.turns[:-1] if message.role != "system")
