"""A map of vectors: places in two dimensions that keep near what is near, by PaCMAP (arXiv 2012.04456).

Equal vectors have one place. Of more distinct vectors than `FITTED`, a sample is laid out, and each other vector is
placed among the sample's nearest: the mean of their places, weighted by 1 / distance.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future, wait
from importlib.metadata import PackageNotFoundError, version
from threading import Thread

import numpy as np
from numpy.typing import NDArray

from ...data.errors import SettingInvalid
from ...store.embedding_files import Vectors, float_units

LIBRARY = "pacmap"
LAYOUT_RULE = 1
"""How vectors become places. Raise it when the same vectors would get other ones.
1: PaCMAP's defaults on distinct vectors, from their principal components; others by their five nearest."""
FITTED = 20_000
_FEWEST = 10
"""Fewer distinct vectors have too few neighbours for PaCMAP; their principal components are the map."""
_NEAREST = 5
_BLOCK = 8192
_LOOK_SECONDS = 0.5

Places = NDArray[np.float32]
Report = Callable[[str, float], None]
"""Is given what is done, and the share of it that is done, 0 to 1; also while that stays the same. It may raise."""


def library_version() -> str:
    """Name and version of the library that lays maps out. Raises `SettingInvalid` if it is not installed."""
    try:
        return f"{LIBRARY} {version(LIBRARY)}"
    except PackageNotFoundError as error:
        raise SettingInvalid(
            f"A map needs the package {LIBRARY}, which is not installed. Run: pip install 'lobass[map]'"
        ) from error


def lay_out(vectors: Vectors, seed: int, report: Report = lambda what, share: None) -> Places:
    """The place [rows x 2] of each of `vectors` [rows x dimensions], of length 1; the same for the same seed, vectors
    and version of the library. Raises `SettingInvalid`."""
    kinds = np.ascontiguousarray(vectors).view(np.dtype((np.void, vectors.shape[1] * vectors.itemsize))).reshape(-1)
    _, first, kind = np.unique(kinds, return_index=True, return_inverse=True)
    units = float_units(vectors[first])
    fitted = np.arange(len(units))
    if len(units) > FITTED:
        fitted = np.sort(np.random.default_rng(seed).choice(len(units), FITTED, replace=False))
    found = np.empty((len(units), 2), np.float32)
    report("Laying out the map", 0.0)
    if len(fitted) >= _FEWEST:
        found[fitted] = _watched(lambda: _fit(units[fitted], seed), lambda: report("Laying out the map", 0.0))
    else:
        found[fitted] = _components(units[fitted])
    others = np.delete(np.arange(len(units)), fitted)
    for start in range(0, len(others), _BLOCK):
        report("Placing the other rows", start / len(others))
        block = others[start : start + _BLOCK]
        found[block] = place_among(units[block], units[fitted], found[fitted])
    return found[kind]


def place_among(units: NDArray[np.float32], fitted: NDArray[np.float32], places: Places) -> Places:
    """Places of `units` among `fitted` vectors (all of length 1) that have `places`."""
    import faiss  # here, because the dashboard should not wait for it

    squares, nearest = faiss.knn(units, fitted, _NEAREST)
    closeness = 1 / np.sqrt(np.maximum(squares, 1e-12))
    weights = closeness / closeness.sum(1, keepdims=True)
    return np.asarray((places[nearest] * weights[:, :, None]).sum(1), np.float32)


def _watched(work: Callable[[], Places], look: Callable[[], None]) -> Places:
    """The result of `work`. Meanwhile `look` is called again and again; what it raises ends the waiting, and the work
    ends with the process, since a library's fit cannot be stopped."""
    done: Future[Places] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 (raised again by whoever waits)
            done.set_exception(error)

    Thread(target=run, name="map-fit", daemon=True).start()
    while not wait([done], _LOOK_SECONDS).done:
        look()
    return done.result()


def _fit(units: NDArray[np.float32], seed: int) -> Places:
    library_version()
    import numba  # loading it takes seconds
    from pacmap import PaCMAP

    numba.set_num_threads(1)  # its loops are short: on busy cores, several threads wait ten times as long as they work
    logging.getLogger("pacmap").setLevel(logging.ERROR)  # it warns that there is a seed
    return np.asarray(PaCMAP(random_state=seed).fit_transform(units, init="pca"), np.float32)


def _components(units: NDArray[np.float32]) -> Places:
    """The first two principal components [rows x 2]; zeros for those that there are not."""
    centred = units - units.mean(0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    found = np.zeros((len(units), 2), np.float32)
    found[:, : min(2, len(sizes))] = (left * sizes)[:, :2]
    return found
