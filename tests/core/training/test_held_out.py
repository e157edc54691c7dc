"""Held-out rows: their loss after each pass is the model's own, and training stops when it rises."""

import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data.examples import DatasetRow
from core.jobs.job import Job, create_job
from core.scoring.planning import ScoreRequest
from core.store import Store
from core.training.recorded_models import HELD_OUT_LOSSES
from core.training.train import train_reference as train_reference_in_process
from core.training.training_plan import TrainRequest, train_fields, training_rows
from core.workspace.evaluation import evaluate
from core.workspace.running import train_reference, wait_for_first
from tests.inline_executor import run_jobs_inline
from tests.tiny_models import example

LETTERS = "ABCDEFGH"


def wait(store: Store, job: Job) -> dict[str, object]:
    return wait_for_first(store, [job], lambda _: None, lambda _: None)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    run_jobs_inline(monkeypatch)
    draw = random.Random(5)
    rows = [
        DatasetRow(
            number,
            "even" if number % 2 else "odd",
            example(("user", f"Item {draw.randrange(10**6):06d}"), ("assistant", draw.choice(LETTERS))),
            b"{}",
        )
        for number in range(1, 61)
    ]
    with Store.open(tmp_path / "workspace", "a test") as opened:
        opened.add_source("labels", "labels", "jsonl", "labels", {}, rows)
        yield opened


def request(base: Path, **fields: object) -> TrainRequest:
    plain = TrainRequest(
        "labels", str(base), "taught", method="full", learning_rate=3e-3, batch_tokens=128, device="cpu",
        template="plain", held_out=0.2,
    )  # fmt: skip
    return replace(plain, **fields)  # type: ignore[arg-type]


def passes_of(store: Store) -> pd.DataFrame:
    """Token-weighted loss [nats] by step and kind of rows."""
    path = store.workspace / "models" / "taught" / "passes.jsonl"
    lines = pd.DataFrame([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()])
    sums = lines.groupby(["step", "rows"])[["nll_sum", "tokens"]].sum()
    return (sums["nll_sum"] / sums["tokens"]).unstack()


def written_loss(store: Store) -> float:
    """The held-out loss [nats per token] that is written row by row at the end."""
    rows = pq.read_table(store.workspace / "models" / "taught" / HELD_OUT_LOSSES).to_pandas()
    return float(rows["nll_sum"].sum() / rows["token_count"].sum())


def loss_of(store: Store, model: str, base: Path, ids: list[str]) -> float:
    """The loss of a model on examples, by a job of its own."""
    scoring = ScoreRequest("labels", str(base), model, device="cpu", template="plain")
    _, report = evaluate(store, scoring, wait, ids)
    loss = report["loss"]
    assert isinstance(loss, float)
    return loss


def test_the_recorded_losses_are_those_of_base_and_reference_evaluated_by_themselves(
    store: Store, tiny_base: Path
) -> None:
    train_reference(store, request(tiny_base, epochs=2), wait, lambda _: None)
    found = passes_of(store)
    folder = store.workspace / "models" / "taught"
    folds = pq.read_table(folder / "folds.parquet").to_pandas()
    held_out = folds.loc[folds["held_out"], "example_id"].tolist()
    assert len(held_out) == 12
    assert found["held_out"].iloc[0] == pytest.approx(loss_of(store, str(tiny_base), tiny_base, held_out), abs=1e-5)
    assert found["held_out"].iloc[-1] == pytest.approx(loss_of(store, "taught", tiny_base, held_out), abs=1e-5)
    trained = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["data_order"]
    assert set(trained) == set(folds["example_id"]) - set(held_out)
    assert written_loss(store) == pytest.approx(found["held_out"].iloc[-1], abs=1e-6)
    assert len(found) == 3, "before training, and after each pass"
    assert found["own"].iloc[-1] < found["own"].iloc[0]


def test_a_job_whose_evaluation_was_written_before_it_died_can_be_resumed(store: Store, tiny_base: Path) -> None:
    fields = train_fields(store, request(tiny_base, held_out=0.0, max_tokens=300))
    rows = pa.Table.from_batches(list(store.batches(*training_rows(store, request(tiny_base)))))
    job = create_job(store.workspace, fields, {"examples": rows[:40], "held_out": rows[40:]})
    first = train_reference_in_process(job)
    losses = pq.read_table(job.folder / "model" / HELD_OUT_LOSSES)
    shutil.rmtree(job.folder / "model")  # as if it had died just before the model got its place
    assert train_reference_in_process(job)["steps"] == first["steps"]
    assert pq.read_table(job.folder / "model" / HELD_OUT_LOSSES).equals(losses)
    assert losses["example_id"].to_pylist() == rows[40:]["example_id"].to_pylist()


def test_training_stops_when_the_held_out_loss_rises_and_keeps_the_best_pass(store: Store, tiny_base: Path) -> None:
    train_reference(store, request(tiny_base, epochs=40, early_stop=True), wait, lambda _: None)
    found = passes_of(store)
    provenance = json.loads((store.workspace / "models" / "taught" / "provenance.json").read_text(encoding="utf-8"))
    after_training = found["held_out"].iloc[1:]
    assert provenance["best_step"] == after_training.idxmin()
    assert provenance["stopped_early_after_step"] == after_training.index[-1] > provenance["best_step"]
    assert len(found) < 40
    folds = pq.read_table(store.workspace / "models" / "taught" / "folds.parquet").to_pandas()
    held_out = folds.loc[folds["held_out"], "example_id"].tolist()
    assert loss_of(store, "taught", tiny_base, held_out) == pytest.approx(after_training.min(), abs=1e-5)
    assert written_loss(store) == pytest.approx(after_training.min(), abs=1e-5)
