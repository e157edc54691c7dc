"""What is computed of embeddings, timed on drawn vectors of 256 dimensions: likeness, semantic duplicates, a map, a
spread, coverage.

    python -m bench.embeddings [--rows 20000] [--targets 100] [--candidates 2000] [--repeats 3] [--leave-out map]
        [--json FILE]

`--leave-out` (can be repeated): the first word of a computation. Processor seconds of this process, the median of the
repeats.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.figures import keep_figures
from core.near_duplicates.semantic import semantic_groups
from core.scoring.embeddings.layout import lay_out
from core.scoring.embeddings.likeness import likeness
from core.scoring.embeddings.projection import unit_vectors
from core.selection.coverage import MOST_SAMPLED, sampled_cosines
from core.selection.greedy import greedy_order
from core.store.embedding_files import Embeddings

DIMENSIONS = 256
_CENTRES = 50


def measure(rows: int, targets: int, candidates: int, repeats: int, left_out: Sequence[str] = ()) -> dict[str, Any]:
    """Processor seconds of each computation, by name, without those that begin with a word that is left out."""
    every, aims = _drawn(rows, 1), _drawn(targets, 2)
    sample = every.vectors[:MOST_SAMPLED]
    steps: dict[str, Callable[[], object]] = {
        f"likeness of {rows:,} rows to {targets:,}": lambda: likeness(every, aims),
        f"semantic groups of {rows:,} rows": lambda: semantic_groups(every.vectors, 0.98),
        f"map of {rows:,} rows": lambda: lay_out(every.vectors, 0),
        f"k_center of {candidates:,}": lambda: greedy_order("k_center", every.vectors[:candidates], 0.5),
        f"facility_location of {candidates:,}": lambda: greedy_order(
            "facility_location", every.vectors[:candidates], 0.5
        ),
        f"coverage, the sample of {len(sample):,} rows": lambda: sampled_cosines(sample),
    }
    return {name: _seconds(step, repeats) for name, step in steps.items() if name.split()[0] not in left_out}


def _drawn(rows: int, seed: int) -> Embeddings:
    """Vectors around some centres, as those of a few kinds of rows are."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(_CENTRES, DIMENSIONS))
    vectors = centres[random.integers(_CENTRES, size=rows)] + 0.5 * random.normal(size=(rows, DIMENSIONS))
    ids = np.array([f"{number:016d}" for number in range(rows)], "S16")
    return Embeddings(ids, unit_vectors(vectors.astype(np.float32), None))


def _seconds(step: Callable[[], object], repeats: int) -> float:
    found = []
    for _ in range(repeats):
        began = time.process_time()
        step()
        found.append(time.process_time() - began)
    return statistics.median(found)


def main(arguments: list[str]) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--targets", type=int, default=100)
    parser.add_argument("--candidates", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--leave-out", action="append", default=[])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    found = measure(given.rows, given.targets, given.candidates, given.repeats, given.leave_out)
    for name, seconds in found.items():
        print(f"{name}: {seconds:.2f} s")
    keep_figures(given.json, found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
