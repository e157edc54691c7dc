"""A smoothed density of binned counts, to show the shape of a distribution without a histogram's steps."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .distributions import Histogram, scored_rows, with_shares

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Density:
    """Smoothed density of the column that was `counted`.

    `curve`: domain, value (the bins' centres), density [share of the domain's scored rows per unit of the column, or
    per decade if the bins are `log`], rows (of the bin, unsmoothed), share_low and share_high (`with_shares`).
    `bandwidths`: standard deviation of the Gaussian by domain, in the same unit.
    """

    counted: Histogram
    curve: pd.DataFrame
    bandwidths: dict[str, float]


def smoothed(counted: Histogram) -> Density:
    """Smooth each bin's rows with a Gaussian of Silverman's bandwidth (0.9 min(sd, IQR/1.34) n^-1/5), at least one bin
    wide. Mass beyond an end is reflected, so the area under a curve is the share of rows drawn."""
    bins, scored = with_shares(counted), scored_rows(counted)
    curves, bandwidths = [], {}
    for name, part in bins.groupby("domain", sort=True):
        low, high = (_on_axis(part[edge], counted.log) for edge in ("bin_low", "bin_high"))
        centres, rows = (low + high) / 2, part["rows"].to_numpy(dtype=float)
        width = _bandwidth(centres, rows, float(np.median(high - low)))
        mirrored = (centres, 2 * low[0] - centres, 2 * high[-1] - centres)
        spread = np.sum([_gaussian(centres, around, width) for around in mirrored], axis=0)
        density = spread @ rows / max(scored[str(name)], 1)
        value = 10**centres if counted.log else centres
        curves.append(part.assign(value=value, density=density))
        bandwidths[str(name)] = width
    columns = ["domain", "value", "density", "rows", "share_low", "share_high"]
    curve = pd.concat(curves, ignore_index=True)[columns] if curves else pd.DataFrame(columns=columns)
    return Density(counted, curve, bandwidths)


def _on_axis(values: pd.Series, log: bool) -> Values:
    plain = values.to_numpy(dtype=float)
    return np.log10(plain) if log else plain


def _gaussian(at: Values, around: Values, width: float) -> Values:
    distance = (at[:, None] - around[None, :]) / width
    return np.asarray(np.exp(-0.5 * distance**2) / (width * math.sqrt(2 * math.pi)))


def _bandwidth(centres: Values, rows: Values, bin_width: float) -> float:
    count = rows.sum()
    if count < 2:
        return bin_width
    mean = (rows * centres).sum() / count
    deviation = math.sqrt((rows * (centres - mean) ** 2).sum() / count)
    below = rows.cumsum() / count
    quartiles = centres[np.searchsorted(below, [0.25, 0.75])]
    spread = min(deviation, float(quartiles[1] - quartiles[0]) / 1.34 or deviation)
    return float(max(0.9 * spread * count**-0.2, bin_width))
