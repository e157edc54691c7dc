"""Folds: which rows a reference is trained on, so that every row can be judged by a model that never saw it.

Near-duplicates share a fold, and a domain is spread evenly over the folds. Pure: the same rows give the same folds.
"""

import hashlib

import pandas as pd
import pyarrow as pa

from .errors import FoldsUnusable

FOLDS_SCHEMA = pa.schema(
    [("example_id", pa.string()), ("fold", pa.int32()), ("held_out", pa.bool_()), ("group", pa.int64())]
)
"""One row an example; near-duplicates have the same `group`. A model of fold f is trained on the rows of the other
folds, never on rows that are held out."""
LARGEST_SHARE = 0.5


def assign_folds(examples: pd.DataFrame, folds: int, held_out_share: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Columns of `FOLDS_SCHEMA` for unique examples with columns example_id, domain and group.

    `group` is equal for near-duplicates. A group's order within its domain is a hash of its least example_id and the
    seed; the first `held_out_share` of the groups of a domain are held out, at least one. The others go, in that
    order, to the fold with the fewest rows of the domain. A group of several domains belongs to the one of its least
    example_id. With one fold, all rows are of fold 0. Raises `FoldsUnusable` if a domain has too few groups.
    """
    check_folding(folds, held_out_share)
    ordered = examples.sort_values("example_id")
    groups = ordered.groupby("group", sort=False).agg(
        first=("example_id", "first"), domain=("domain", "first"), rows=("example_id", "size")
    )
    groups["place"] = [_place(first, seed) for first in groups["first"]]
    groups["fold"], groups["held_out"] = 0, False
    for domain, members in groups.sort_values("place").groupby("domain"):
        held = max(1, round(held_out_share * len(members))) if held_out_share else 0
        if len(members) - held < max(folds, 1):
            raise FoldsUnusable(_too_few(str(domain), len(members), folds, held))
        dealt = _deal(members["rows"].tolist(), folds)
        groups.loc[members.index, "fold"] = dealt
        groups.loc[members.index[:held], "held_out"] = True
    found = ordered[["example_id", "group"]].join(groups[["fold", "held_out"]], on="group")
    result: pd.DataFrame = found[FOLDS_SCHEMA.names].reset_index(drop=True)
    return result


def check_folding(folds: int, held_out_share: float) -> None:
    """Raise `FoldsUnusable` for a number of folds or a share of rows held out that cannot be."""
    if folds < 1 or not 0 <= held_out_share <= LARGEST_SHARE:
        raise FoldsUnusable(
            f"{folds} folds with a held-out share of {held_out_share:g} are not possible. Give at least 1 fold and a "
            f"share from 0 to {LARGEST_SHARE:g}."
        )


def fold_count(folds: pd.DataFrame, source: str) -> int:
    """Number of folds. Raises `FoldsUnusable`, naming the `source`, if a fold has no row that is not held out."""
    count = int(folds["fold"].max()) + 1
    if set(folds.loc[~folds["held_out"], "fold"]) != set(range(count)):
        raise FoldsUnusable(f"{source} has folds without a row. Number the folds 0, 1, 2 and so on.")
    return count


def trained_rows(folds: pd.DataFrame, fold: int | None) -> pd.Series:
    """Mask of the rows that the model of a fold is trained on; None: of a reference without folds."""
    allowed = ~folds["held_out"]
    return allowed if fold is None else allowed & (folds["fold"] != fold)


def _place(first: str, seed: int) -> str:
    return hashlib.blake2b(f"{seed}:{first}".encode(), digest_size=16).hexdigest()


def _deal(sizes: list[int], folds: int) -> list[int]:
    """The fold of each group, in order: the one with the fewest rows so far."""
    filled, dealt = [0] * folds, []
    for size in sizes:
        fold = filled.index(min(filled))
        filled[fold] += size
        dealt.append(fold)
    return dealt


def _too_few(domain: str, groups: int, folds: int, held: int) -> str:
    rest = f" after {held:,} are held out" if held else ""
    return (
        f"The domain {domain!r} has {groups:,} groups of near-duplicates, too few for {folds} folds{rest}. Use fewer "
        "folds, a smaller held-out share, or merge the domain into another."
    )
