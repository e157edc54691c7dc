"""A base whose weights are stored quantized, from training its reference to a run's losses."""

import json
from pathlib import Path

import pytest

from core.data.errors import ModelUnusable
from core.data.examples import DatasetRow
from core.scoring.planning import ScoreRequest
from core.store import Store
from core.training.training_plan import TrainRequest, train_fields
from core.workspace.supervisor import begin_scoring, begin_training
from tests.core.models.test_quantizing import save_wider
from tests.inline_executor import run_jobs_inline
from tests.stored_folders import save_stored
from tests.tiny_models import example
from tests.trial_workspace import wait_quietly

_STORED = "are stored quantized (fp8) and de-quantized as they are loaded"


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_reference_is_trained_and_scored_on_a_base_that_is_stored_quantized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    run_jobs_inline(monkeypatch)
    base = str(save_stored(tmp_path / "base", save_wider(tmp_path / "whole"), "fp8"))
    rows = [
        DatasetRow(n, "d", example(("user", f"Count to {n}."), ("assistant", f"Here are {n}, one by one.")), b"{}")
        for n in range(12)
    ]
    with Store.open(tmp_path / "workspace", "a test") as store:
        store.add_source("rows", "rows", "jsonl", "answer", {}, rows)
        asked = TrainRequest("rows", base, "own", method, 2, 0.01, template="alpaca", device="cpu")
        assert any(_STORED in notice for notice in train_fields(store, asked)["description"]["notices"])
        training = begin_training(store, asked)
        assert training is not None
        wait_quietly(store, training)
        plan, job = begin_scoring(store, ScoreRequest("rows", base, "own", "run", "alpaca", device="cpu"))
        assert [_STORED in notice for notice in plan.notices] == [True]
        assert job is not None
        wait_quietly(store, job)
        losses = store.rows(f"SELECT base_loss, reference_loss FROM {store.run('run')['table']}")
        assert len(losses) == 12
        assert all(reference < base for base, reference in losses)
        with pytest.raises(ModelUnusable, match=r"stored quantized already \(fp8\). Leave out --quantization."):
            begin_scoring(store, ScoreRequest("rows", base, "own", "again", "alpaca", quantization="int8"))
    saved = tmp_path / "workspace" / "models" / "own" / "config.json"
    assert saved.exists() == (method == "full")
    assert method == "lora" or "quantization_config" not in json.loads(saved.read_text("utf-8"))
