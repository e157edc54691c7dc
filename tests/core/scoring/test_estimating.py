"""What an estimate does where the job would go on: when memory runs out, and with encoders beside a GPU."""

from pathlib import Path
from typing import Any

import pytest
import torch
from numpy.typing import NDArray

from core.data.examples import DatasetRow, Example, Message
from core.engine.loss_engine import LossEngine
from core.jobs.job import Job
from core.scoring.estimating import estimate, working_seconds
from core.scoring.planning import ScoreRequest, create_estimate_job, plan_scoring
from core.store import Store


@pytest.fixture
def job(tmp_path: Path, tiny_base: Path, tiny_reference: Path) -> Job:
    def row(number: int) -> DatasetRow:
        turns = Message("user", f"Count from {number}."), Message("assistant", " ".join(map(str, range(number, 40))))
        return DatasetRow(number, "all", Example(turns), b"{}")

    request = ScoreRequest("numbers", str(tiny_base), str(tiny_reference), device="cpu")
    with Store.open(tmp_path / "workspace", "a test") as store:
        store.add_source("numbers", "n.jsonl", "jsonl", "a hash", {}, [row(number) for number in range(1, 21)])
        return create_estimate_job(store, plan_scoring(store, request))


def test_a_gpu_that_holds_smaller_batches_only_is_timed_on_these(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    real, sizes = LossEngine.nll_sums, []

    def nll_sums(engine: LossEngine, rows: Any) -> NDArray[Any]:
        sizes.append(sum(len(row.input_ids) for row in rows))
        if sizes[-1] > 600:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return real(engine, rows)

    monkeypatch.setattr(LossEngine, "nll_sums", nll_sums)
    assert estimate(job)["seconds"] > 0
    assert max(sizes) > 600 >= sizes[-1]


def test_what_is_encoded_beside_a_gpu_counts_only_where_the_gpu_waits_for_it() -> None:
    assert working_seconds(scoring=10, encoding=4, ahead=0) == 14
    assert working_seconds(scoring=10, encoding=4, ahead=1) == 10
    assert working_seconds(scoring=10, encoding=40, ahead=2) == 20
