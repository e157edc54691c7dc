"""Synthetic workspaces: the same arguments make the same rows, and everything that pages show is among them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.make_rows import RUNS, make_workspace
from core.data.scores import FLAGS
from core.store import Store

ROWS = 4_000
PLANTED = {"truncated", "unresolved", "low_base_loss", "no_scored_token", "non_finite"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    make_workspace(folder, ROWS, domains=3, seed=1, runs=2)
    return folder


def scored_rows(workspace: Path, run: str) -> pd.DataFrame:
    with Store.open(workspace, "a test") as store:
        return store.frame(f"SELECT * FROM {store.run(run)['table']} ORDER BY row_number")


def test_the_same_seed_makes_the_same_rows_and_losses(tmp_path: Path, workspace: Path) -> None:
    make_workspace(tmp_path, ROWS, domains=3, seed=1, runs=1)
    columns = ["row_number", "example_id", "domain", "token_count", "base_loss", "reference_loss"]
    pd.testing.assert_frame_equal(
        scored_rows(tmp_path, RUNS[0])[columns], scored_rows(workspace, RUNS[0])[columns], check_exact=True
    )


def test_every_row_is_there_and_the_flags_are_among_them(workspace: Path) -> None:
    rows = scored_rows(workspace, RUNS[0])
    assert len(rows) == ROWS
    assert rows["domain"].nunique() == 3
    assert {flag for flag in FLAGS if flag in rows and rows[flag].any()} >= PLANTED
    assert 0.01 < rows["duplicate_of"].notna().mean() < 0.03


def test_the_second_run_has_the_same_base_and_a_correlated_reference(workspace: Path) -> None:
    first, second = (scored_rows(workspace, run) for run in RUNS)
    both = first["base_loss"].notna() & second["base_loss"].notna()
    assert np.array_equal(first["base_loss"][both], second["base_loss"][both])
    assert 0.6 < first["learnability"].corr(second["learnability"]) < 0.95


def test_lengths_are_skewed_as_those_of_real_data_are(workspace: Path) -> None:
    tokens = scored_rows(workspace, RUNS[0])["token_count"]
    assert tokens.mean() > 1.1 * tokens.median()
