"""The mixture: weights of domains in per cent, scaled to 100 around the locked ones, and usual ones to start from."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from ..data.errors import SelectionInvalid

WHOLE = 100.0
"""What a mixture's weights add up to [per cent]."""

_DECIMALS = 4  # of a weight: one row in a million is still asked for


@dataclass(frozen=True, slots=True)
class Start:
    """Weights to start from: `size_to_weight` of a domain's rows or tokens, before scaling."""

    label: str
    help: str
    size_to_weight: Callable[[int], float]


STARTS = {
    "data": Start("As in the data", "Each domain keeps its share of the data.", float),
    "equal": Start("Equal", "Every domain weighs the same, however large it is.", lambda size: 1.0 if size else 0.0),
    "root": Start(
        "Square root of size",
        "Between the two: a domain four times as large weighs twice as much, so small ones are not drowned.",
        math.sqrt,
    ),
}


def total(weights: Mapping[str, float]) -> float:
    """What the weights add up to [per cent], rounded to the precision they have."""
    return round(math.fsum(weights.values()), _DECIMALS)


def shares(weights: Mapping[str, float]) -> dict[str, float]:
    """What relative weights come to [per cent of the whole]; all 0 where every weight is."""
    whole = math.fsum(weights.values())
    return {domain: weight / whole * WHOLE if whole else 0.0 for domain, weight in weights.items()}


def normalised(weights: Mapping[str, float], locked: Collection[str] = ()) -> dict[str, float]:
    """The weights [per cent] with the unlocked ones scaled alike, so that all add up to 100; locked ones stay.

    Raises `SelectionInvalid` where that cannot be: the locked ones exceed 100, all are locked, or every unlocked one
    is 0.
    """
    kept = {domain: weight for domain, weight in weights.items() if domain in locked}
    free = {domain: weight for domain, weight in weights.items() if domain not in locked}
    left = round(WHOLE - total(kept), _DECIMALS)
    if left < 0:
        raise SelectionInvalid(
            f"The locked weights alone add up to {total(kept):g} %, more than 100. Lower or unlock one of them."
        )
    if left and not free:
        raise SelectionInvalid(
            f"Every weight is locked, and they add up to {total(kept):g} %. Unlock one that may be scaled."
        )
    if left and not math.fsum(free.values()):
        raise SelectionInvalid(
            f"Every unlocked weight is 0, so none can be scaled up to the {left:g} % that are left. Give one a weight."
        )
    scaled = {domain: round(share * left / WHOLE, _DECIMALS) for domain, share in shares(free).items()}
    if scaled:
        # Rounded parts may miss the whole by a hair; the largest takes it, where it is least felt.
        largest = max(scaled, key=scaled.__getitem__)
        others = math.fsum(weight for domain, weight in scaled.items() if domain != largest)
        scaled[largest] = round(left - others, _DECIMALS)
    return {domain: kept.get(domain, scaled.get(domain, 0.0)) for domain in weights}


def starting_weights(
    start: str, sizes: Mapping[str, int], weights: Mapping[str, float], locked: Collection[str] = ()
) -> dict[str, float]:
    """Weights of one of `STARTS` for domains of these sizes (rows or tokens), adding up to 100 with the locked of
    `weights` kept. Raises `SelectionInvalid` as `normalised` does."""
    fresh = {domain: STARTS[start].size_to_weight(size) for domain, size in sizes.items()}
    return normalised({**fresh, **{domain: weights[domain] for domain in locked if domain in fresh}}, locked)
