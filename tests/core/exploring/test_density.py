"""Smoothed densities, held against SciPy and against the rows they stand for."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from core.exploring.density import smoothed
from core.exploring.distributions import Histogram


def counted(counts: dict[str, list[int]], edges: list[float], log: bool = False, above: int = 0) -> Histogram:
    bins = pd.DataFrame(
        [
            (name, edges[place], edges[place + 1], rows)
            for name, column in counts.items()
            for place, rows in enumerate(column)
        ],
        columns=["domain", "bin_low", "bin_high", "rows"],
    )
    outside = pd.DataFrame({"domain": list(counts), "below": 0, "above": above, "no_score": 3})
    return Histogram("base_loss", edges[0], edges[-1], bins, outside, log)


def normal_counts(mean: float, deviation: float, edges: np.ndarray) -> list[int]:
    return [round(1e6 * share) for share in np.diff(norm.cdf(edges, mean, deviation))]


def test_a_normal_distribution_is_found_again() -> None:
    edges = np.linspace(-4, 4, 241)
    found = smoothed(counted({"chat": normal_counts(0, 1, edges)}, edges.tolist()))
    expected = norm.pdf(found.curve["value"], 0, np.hypot(1, found.bandwidths["chat"]))
    assert found.curve["density"].to_numpy() == pytest.approx(expected, abs=2e-3)
    assert found.bandwidths["chat"] == pytest.approx(0.9 * 1e6**-0.2, rel=0.05)


def test_the_area_is_the_share_of_rows_that_are_drawn() -> None:
    edges = np.linspace(0, 1, 121).tolist()
    heap = [500] + [0] * 119  # at the end of the axis, where a Gaussian alone would lose half of it
    found = smoothed(counted({"chat": heap, "math": [1] * 120}, edges, above=500))
    areas = found.curve.groupby("domain")["density"].sum() / 120
    assert areas.to_dict() == pytest.approx({"chat": 0.5, "math": 120 / 620}, rel=1e-3)


def test_a_log_axis_is_smoothed_in_decades() -> None:
    exponents = np.linspace(-1, 3, 241)
    edges = (10**exponents).tolist()
    found = smoothed(counted({"chat": normal_counts(1, 0.5, exponents)}, edges, log=True))
    assert found.curve["density"].to_numpy().sum() * (4 / 240) == pytest.approx(1, abs=1e-3)
    assert found.curve.loc[found.curve["density"].idxmax(), "value"] == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize("rows", [[0, 0, 0, 0], [0, 1, 0, 0], [0, 7, 0, 0]])
def test_few_or_equal_rows_give_a_finite_curve(rows: list[int]) -> None:
    found = smoothed(counted({"chat": rows}, [0.0, 1.0, 2.0, 3.0, 4.0]))
    assert np.isfinite(found.curve["density"]).all()
    assert (found.curve["density"].sum() > 0) == (sum(rows) > 0)


def test_no_domain_gives_no_curve() -> None:
    found = smoothed(counted({}, [0.0, 1.0]))
    assert found.curve.empty
    assert list(found.curve.columns) == ["domain", "value", "density", "rows", "share_low", "share_high"]
