"""The process that reads pieces of a JSONL file; `block_reading` starts it: python -m core.importing.block_process.

Standard input has pickled pairs of how to read and a piece, standard output the pickled blocks of each. It ends with
its parent, because the pipe closes.
"""

import pickle
import sys

from ..data.row_blocks import RowBlock
from .block_reading import Piece
from .row_reading import Reading


def main() -> int:
    """Read pieces until the input ends."""
    while (asked := _next()) is not None:
        reading, piece = asked
        blocks: list[RowBlock] = piece.blocks(reading)
        pickle.dump(blocks, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    return 0


def _next() -> tuple[Reading, Piece] | None:
    try:
        found: tuple[Reading, Piece] = pickle.load(sys.stdin.buffer)
    except EOFError:
        return None
    return found


if __name__ == "__main__":
    sys.exit(main())
