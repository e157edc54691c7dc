"""What differs between two texts, word by word, for reading one beside the other."""

import re
from difflib import SequenceMatcher

LONGEST_COMPARED = 1000  # words and signs; the time grows with the product of both lengths
_PIECE = re.compile(r"\s+|\w+|[^\w\s]")

Piece = tuple[str, str]
"""(`same`, `added` or `removed`, text)"""


def differences(old: str, new: str) -> list[Piece] | None:
    """`new` in pieces, told apart by whether `old` has them, with what only `old` has between; None if too long.

    The pieces that are not `removed` add up to `new`, those that are not `added` to `old`.
    """
    before, after = _PIECE.findall(old), _PIECE.findall(new)
    if max(len(before), len(after)) > LONGEST_COMPARED:
        return None
    pieces: list[Piece] = []
    for kind, i, j, k, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            pieces.append(("same", "".join(after[k:m])))
            continue
        pieces += [
            (name, text) for name, text in (("removed", "".join(before[i:j])), ("added", "".join(after[k:m]))) if text
        ]
    return pieces
