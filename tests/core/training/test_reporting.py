"""A training reports its first step at once, and the time left by its measured steps."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from core.jobs.job import create_job
from core.training.loss_curve import LossWindow
from core.training.reporting import TrainingReporter


def test_the_time_left_is_that_of_measured_steps_without_the_first_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = create_job(tmp_path, {"kind": "train", "name": "n", "dataset": "d"}, {})
    clock, state = SimpleNamespace(now=0.0), SimpleNamespace(global_step=0, max_steps=300)
    monkeypatch.setattr("core.training.reporting.time.monotonic", lambda: clock.now)
    arguments, control = SimpleNamespace(output_dir=str(tmp_path)), SimpleNamespace(should_training_stop=False)
    reporter = TrainingReporter(job, LossWindow(job.folder / "curve.jsonl", job.folder / "steps.jsonl"), 300)
    reporter.on_train_begin(arguments, state, control)
    assert job.progress.sentence() == "Training the reference: 0 of 300 steps"
    clock.now = 100.0  # an evaluation before the first step counts for nothing
    left = []
    for seconds in (10.0, 2.0, 4.0):
        reporter.on_step_begin(arguments, state, control)
        clock.now += seconds
        state.global_step += 1
        reporter.on_step_end(arguments, state, control)
        left.append(job.progress.seconds_left)
    assert left == [299 * 10.0, 298 * 2.0, 297 * 3.0]
    assert job.progress.done == 3
    assert (job.folder / "curve.jsonl").exists()  # drawn from the first step on
