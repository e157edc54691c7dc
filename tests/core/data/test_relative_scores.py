"""Scores that depend on the other rows, compared with a plain computation over random rows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.data.filters import EVERYTHING, Range
from core.selection import Amount, Selection, kept_rows
from core.store import Store
from tests.core.scored_rows import ScoredRow, add_scored_run


def scored(store: Store, rows: list[ScoredRow]) -> pd.DataFrame:
    table = add_scored_run(store, rows)
    return store.frame(f"SELECT * FROM {table} JOIN example USING (example_id) ORDER BY row_number")


def test_of_several_responses_to_one_prompt_only_that_of_the_lowest_mean_base_loss_is_above_zero(
    tmp_path: Path,
) -> None:
    # GRAPE: the mean decides. The second response of the first prompt has the larger sum and the lower mean.
    rows = [
        ScoredRow("chat", 10.0, 1.0, tokens=5, prompt="one", response="a"),
        ScoredRow("chat", 12.0, 1.0, tokens=10, prompt="one", response="b"),
        ScoredRow("chat", 12.0, 1.0, tokens=10, prompt="one", response="b"),  # an exact copy is no other response
        ScoredRow("math", 30.0, 1.0, tokens=10, prompt="one", response="c"),
        ScoredRow("chat", 5.0, 1.0, tokens=10, prompt="two", response="a"),
        ScoredRow("chat", None, None, tokens=10, prompt="two", response="b"),
    ]
    with Store.open(tmp_path / "workspace", "a test") as store:
        found = scored(store, rows)["grape_margin"].tolist()
        assert found[:4] == pytest.approx([-0.8, 0.8, 0.8, -1.8])
        assert np.isnan(found[4])
        assert np.isnan(found[5])
        best = replace(EVERYTHING, ranges=(Range("grape_margin", 0.0, None),))
        chosen = Selection("first", "grape_margin", scope="pooled", amount=Amount("ratio", 1.0), filter=best)
        assert [row[0] for row in store.rows(*kept_rows(store, chosen))] == [2]


def test_equal_best_responses_have_a_margin_of_zero(tmp_path: Path) -> None:
    rows = [ScoredRow("chat", 10.0, 1.0, prompt="one", response=text) for text in "ab"]
    with Store.open(tmp_path / "workspace", "a test") as store:
        assert scored(store, rows)["grape_margin"].tolist() == [0.0, 0.0]


def test_quantiles_are_shares_of_the_domains_other_rows_and_of_those_of_its_length(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    rows = [
        ScoredRow(
            str(random.choice(["chat", "math"])),
            None if n % 9 == 0 else float(random.gamma(2, 10)),
            float(round(random.gamma(2, 5), 1)),
            tokens=int(random.integers(1, 40)),
        )
        for n in range(300)
    ]
    with Store.open(tmp_path / "workspace", "a test") as store:
        frame = scored(store, rows)
    for _, domain in frame.groupby("domain"):
        lengths = domain["token_count"].to_numpy()
        band = np.array([(lengths < own).sum() * 10 // len(lengths) for own in lengths])
        for column, groups in (("learnability_quantile", band * 0), ("learnability_in_length_band", band)):
            for group in np.unique(groups):
                part = domain[groups == group]
                values = part["learnability"].dropna().to_numpy()
                others = max(1, len(values) - 1)
                expected = [np.nan if np.isnan(own) else (values < own).sum() / others for own in part["learnability"]]
                np.testing.assert_allclose(part[column].to_numpy(dtype=float, na_value=np.nan), expected)
