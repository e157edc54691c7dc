"""Random projection of vectors to fewer dimensions: distances and angles stay about as they were.

    P [width x dimensions], each entry +1 or -1 by chance, over sqrt(dimensions)    Achlioptas 2003

The entries are bits of SHAKE-256 of the seed, so that they are the same with any version of any library.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32] | None
"""[width x dimensions]; None leaves vectors as they are."""


def projection(width: int, dimensions: int, seed: int) -> Matrix:
    """The matrix [width x dimensions] of a seed; None if the vectors have no more dimensions than asked for."""
    if width <= dimensions:
        return None
    name = f"lobass projection {width} x {dimensions}, seed {seed}".encode()
    bits = np.unpackbits(np.frombuffer(hashlib.shake_256(name).digest(-(-width * dimensions // 8)), np.uint8))
    signs = bits[: width * dimensions].reshape(width, dimensions).astype(np.float32)
    return np.asarray((2 * signs - 1) / np.sqrt(dimensions), np.float32)


def unit_vectors(vectors: NDArray[np.float32], matrix: Matrix) -> NDArray[np.float16]:
    """The vectors, projected, of length 1, in half precision; zeros for one that is not finite or has no length."""
    projected = vectors if matrix is None else vectors @ matrix
    with np.errstate(invalid="ignore", over="ignore"):
        lengths = np.linalg.norm(projected.astype(np.float64), axis=1, keepdims=True)
        found = np.where(np.isfinite(lengths) & (lengths > 0), projected / lengths, 0.0)
    return found.astype(np.float16)
