"""Word-level diff of two texts, for reading them side by side."""

import re
from difflib import SequenceMatcher

LONGEST_COMPARED = 1000  # words and punctuation marks; time grows with the product of both lengths
_PIECE = re.compile(r"\s+|\w+|[^\w\s]")

Piece = tuple[str, str]
"""(`same`, `added` or `removed`, text)"""


def differences(old: str, new: str) -> list[Piece] | None:
    """Diff from `old` to `new` in pieces; None if the texts are too long.

    The pieces other than `removed` join to `new`, those other than `added` to `old`.
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
