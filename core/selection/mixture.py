"""Domain weights in per cent: scaling the unlocked ones so that all add up to 100, and presets."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from ..data.errors import SelectionInvalid

WHOLE = 100.0
"""The sum of all weights [per cent]."""

_DECIMALS = 4  # decimals of a weight, enough for one row in a million


@dataclass(frozen=True, slots=True)
class Start:
    """A preset of weights: `size_to_weight` maps a domain's rows or tokens to its weight before scaling."""

    label: str
    help: str
    size_to_weight: Callable[[int], float]


STARTS = {
    "data": Start("As in the data", "Each domain keeps its share of the data.", float),
    "equal": Start("Equal", "Every domain has the same weight.", lambda size: 1.0 if size else 0.0),
    "root": Start(
        "Square root of size",
        "Between the other two: a domain four times as large gets twice the weight.",
        math.sqrt,
    ),
}


def total(weights: Mapping[str, float]) -> float:
    """The sum of the weights [per cent], rounded to their precision."""
    return round(math.fsum(weights.values()), _DECIMALS)


def shares(weights: Mapping[str, float]) -> dict[str, float]:
    """Relative weights as per cent of their sum; all 0 if every weight is 0."""
    whole = math.fsum(weights.values())
    return {domain: weight / whole * WHOLE if whole else 0.0 for domain, weight in weights.items()}


def normalised(weights: Mapping[str, float], locked: Collection[str] = ()) -> dict[str, float]:
    """The weights [per cent] with the unlocked ones scaled by one factor so that all add up to 100.

    Raises `SelectionInvalid` if this is impossible: the locked ones exceed 100, all are locked, or every unlocked one
    is 0.
    """
    kept = {domain: weight for domain, weight in weights.items() if domain in locked}
    free = {domain: weight for domain, weight in weights.items() if domain not in locked}
    left = round(WHOLE - total(kept), _DECIMALS)
    if left < 0:
        raise SelectionInvalid(
            f"The locked weights add up to {total(kept):g} %, which is more than 100 %. Lower or unlock one of them."
        )
    if left and not free:
        raise SelectionInvalid(f"All weights are locked and add up to {total(kept):g} %. Unlock at least one.")
    if left and not math.fsum(free.values()):
        raise SelectionInvalid(
            f"All unlocked weights are 0, so they cannot be scaled to the remaining {left:g} %. Give one a weight."
        )
    scaled = {domain: round(share * left / WHOLE, _DECIMALS) for domain, share in shares(free).items()}
    if scaled:
        # The rounded weights may not add up exactly; the largest one takes the difference.
        largest = max(scaled, key=scaled.__getitem__)
        others = math.fsum(weight for domain, weight in scaled.items() if domain != largest)
        scaled[largest] = round(left - others, _DECIMALS)
    return {domain: kept.get(domain, scaled.get(domain, 0.0)) for domain in weights}


def starting_weights(
    start: str, sizes: Mapping[str, int], weights: Mapping[str, float], locked: Collection[str] = ()
) -> dict[str, float]:
    """Weights of one of `STARTS` for domains of these sizes (rows or tokens), adding up to 100 together with the locked
    `weights`, which do not change. Raises `SelectionInvalid` as `normalised` does."""
    fresh = {domain: STARTS[start].size_to_weight(size) for domain, size in sizes.items()}
    return normalised({**fresh, **{domain: weights[domain] for domain in locked if domain in fresh}}, locked)
