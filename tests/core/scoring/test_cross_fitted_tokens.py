"""The token view of a cross-fitted run shows the losses of a model that never saw the row."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.scoring.tokens.losses import TokenScorer
from core.store import Store
from tests.cross_fitted import NAME


@pytest.fixture
def store(cross_fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    shutil.copytree(cross_fitted / "workspace", tmp_path / "workspace")
    with Store.open(tmp_path / "workspace", "a test") as opened:
        yield opened


def unseen_sums(store: Store, row_number: int) -> list[float]:
    """The stored NLL sums of the models that were not trained on a row, in the order of the folds."""
    run = store.run(NAME)
    found = []
    for one in run["description"]["cross_fitted"]["models"]:
        fingerprint = run["description"]["model_fingerprints"][one["role"]]
        found += store.rows(
            """
            SELECT nll_sum FROM loss JOIN loss_set USING (loss_set_id) JOIN dataset_row USING (example_id)
            WHERE dataset_id = ? AND row_number = ? AND model_fingerprint = ? AND example_id NOT IN (
                SELECT example_id FROM trained_example WHERE trained_example.model_fingerprint = ?
            )
            """,
            [store.dataset_id(run["dataset"]), row_number, fingerprint, fingerprint],
        )
    return [nll_sum for (nll_sum,) in found]


def test_tokens_add_up_to_the_stored_sum_of_the_model_that_never_saw_the_row(store: Store) -> None:
    scorer = TokenScorer(store)
    table, judges = store.run(NAME)["table"], []
    try:
        for row_number in range(1, 21):
            losses, unseen = scorer.token_losses(NAME, row_number), unseen_sums(store, row_number)
            base, reference = store.rows(
                f"SELECT base_nll_sum, reference_nll_sum FROM {table} WHERE row_number = ?", [row_number]
            )[0]
            assert losses.doubts == ()
            assert losses.nll_sum("base") == pytest.approx(base, rel=1e-4)
            assert losses.nll_sum("reference") == pytest.approx(unseen[0], rel=1e-4)
            assert reference == pytest.approx(sum(unseen) / len(unseen))
            judges.append(len(unseen))
            assert scorer.cached(NAME, row_number) == losses
    finally:
        scorer.close()
    assert sorted(judges) == [1] * 16 + [2] * 4  # held-out rows are judged by both
