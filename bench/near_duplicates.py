"""What a search for near-duplicates takes a row: shingles, MinHash signatures, and the groups.

    python -m bench.near_duplicates --rows FILE... [--limit 5000] [--json FILE]

Processor seconds of this process, once, over the rows of the files in one list; reading them is not counted.
"""

import argparse
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bench.figures import keep_figures
from core.data.examples import DatasetRow
from core.importing import SourceOptions
from core.importing.row_reading import read_examples
from core.near_duplicates.jobs import DEFAULT_THRESHOLD
from core.near_duplicates.similarity import (
    ShingleSets,
    compared_text,
    near_duplicate_groups,
    shingle_sets,
    signatures,
)

_Made = TypeVar("_Made")


def measure(files: list[Path], limit: int) -> dict[str, Any]:
    """Rows, mean shingles a row, and processor microseconds a row of each part."""
    texts = [
        compared_text(record.example)
        for path in files
        for record in islice(read_examples(path, SourceOptions()), limit)
        if isinstance(record, DatasetRow)
    ]
    figures: dict[str, Any] = {"rows": len(texts)}

    def timed(name: str, make: Callable[[], _Made]) -> _Made:
        began = time.process_time()
        made = make()
        figures[name] = 1e6 * (time.process_time() - began) / len(texts)
        return made

    signatures([np.zeros(1, np.uint64)])  # imports what makes them
    sets = timed("shingles", lambda: shingle_sets(texts))
    sketches = timed("signatures", lambda: signatures(sets))
    whole = ShingleSets(np.concatenate(sets), np.cumsum([len(found) for found in sets], dtype=np.int64))
    groups = timed("groups", lambda: near_duplicate_groups(sketches, whole, DEFAULT_THRESHOLD))
    return {**figures, "shingles_a_row": float(whole.sizes.mean()), "grouped": int(np.count_nonzero(groups))}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", type=Path, required=True, help="files of rows")
    parser.add_argument("--limit", type=int, default=5000, help="rows of each file")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    found = measure(arguments.rows, arguments.limit)
    print(f"{found['rows']:,} rows, {found['shingles_a_row']:.0f} shingles each, {found['grouped']:,} in groups")
    for name in ("shingles", "signatures", "groups"):
        print(f"{name:12} {found[name]:8.1f} microseconds a row")
    keep_figures(arguments.json, found)


if __name__ == "__main__":
    main()
