"""Rank correlation, held to scipy's: ties, values in any order, and domains in any order."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr

from core.exploring.rank_correlation import average_ranks, rank_correlations, spearman
from core.store import Store

SHAPES: dict[str, Callable[[np.random.Generator], Any]] = {
    "no two equal": lambda draw: draw.normal(size=500),
    "a few equal": lambda draw: np.round(draw.normal(size=500), 2),
    "many equal": lambda draw: draw.integers(0, 5, 500).astype(float),
    "descending, with ties": lambda draw: np.sort(np.round(draw.normal(size=500), 1))[::-1],
    "small whole numbers": lambda draw: draw.integers(0, 300, 500),
    "large whole numbers": lambda draw: draw.integers(0, 10**12, 500),
    "negative whole numbers": lambda draw: draw.integers(-20, 20, 500),
}


def drawn(shape: str, seed: int) -> NDArray[np.float64]:
    return np.asarray(SHAPES[shape](np.random.default_rng(seed)))


@pytest.mark.parametrize("shape", SHAPES)
def test_equal_values_share_their_mean_rank(shape: str) -> None:
    values = drawn(shape, 1)
    assert average_ranks(values).tolist() == rankdata(values).tolist()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("other", SHAPES)
def test_spearman_is_scipys(shape: str, other: str) -> None:
    values, beside = drawn(shape, 2), drawn(other, 3)
    assert spearman(values, beside) == pytest.approx(spearmanr(values, beside).statistic, abs=1e-12)


@pytest.mark.parametrize("values", [[], [1.0], [2.0, 2.0, 2.0]])
def test_what_does_not_vary_has_no_spearman(values: list[float]) -> None:
    assert np.isnan(spearman(np.array(values), np.arange(len(values), dtype=float)))


def test_rows_of_a_domain_may_lie_anywhere(scored_store: Store) -> None:
    rows = """
        SELECT if(n % 3 = 0, 'math', 'chat') AS domain, (n * 7) % 31 AS length, sin(n) AS score, -n AS other
        FROM range(400) r(n)
    """
    found = rank_correlations(
        scored_store, (rows, []), "length", ["score", "other"], "(VALUES ('chat'), ('law'), ('math')) v(domain)"
    )
    assert found["domain"].tolist() == ["", "chat", "math"]
    assert found["rows"].tolist() == [400, 266, 134]
    drawn_rows = scored_store.frame(rows)
    for _, line in found.iterrows():
        part = drawn_rows if line["overall"] else drawn_rows[drawn_rows["domain"] == line["domain"]]
        for other in ("score", "other"):
            assert line[f"spearman_{other}"] == pytest.approx(spearmanr(part["length"], part[other]).statistic)
