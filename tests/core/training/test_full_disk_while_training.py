"""A disk that takes no more while a model is trained: a sentence, nothing left, and the same again succeeds."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import worker
from core.data.examples import DatasetRow
from core.jobs.job import Job
from core.store import Store
from core.training.training_plan import TrainRequest, create_train_job
from tests.faults import failing_disk, files_no_larger_than
from tests.tiny_models import example

TRIED = int(os.environ.get("LOBASS_TEST_WRITE_POINTS", "8"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    rows = [
        DatasetRow(number, "all", example(("user", f"Say {number}"), ("assistant", f"{number} and more")), b"{}")
        for number in range(1, 41)
    ]
    with Store.open(tmp_path / "workspace", "a test") as opened:
        opened.add_source("numbers", "numbers", "jsonl", "numbers", {}, rows)
        yield opened


def a_job(store: Store, base: Path) -> Job:
    return create_train_job(
        store,
        TrainRequest(
            "numbers", str(base), "taught", method="full", epochs=2, batch_tokens=64, device="cpu", template="plain",
            held_out=0.1, early_stop=True,
        ),
    )  # fmt: skip


def left_of(job: Job) -> list[str]:
    """What lies in a job's folder that a failed training has no use for."""
    names = ("checkpoints", "work", "members", "model.tmp", "best-pass.pt", "model")
    return [name for name in names if (job.folder / name).exists()]


def assert_refused(job: Job) -> None:
    outcome = job.outcome
    assert outcome is not None
    assert outcome["state"] == "failed"
    assert outcome["message"].startswith("The training could not write its checkpoint or its model: the disk may be")
    assert left_of(job) == []


def assert_succeeds(job: Job) -> None:
    assert worker.main([str(job.folder)]) == 0
    assert left_of(job) == ["model"]


@pytest.mark.parametrize("share", [0.5, 1.2], ids=["by safetensors", "by torch"])
def test_a_checkpoint_that_does_not_fit_ends_in_a_sentence(store: Store, tiny_base: Path, share: float) -> None:
    job = a_job(store, tiny_base)
    largest = int(share * (tiny_base / "model.safetensors").stat().st_size)
    with files_no_larger_than(largest):
        assert worker.main([str(job.folder)]) == 1
    assert_refused(job)
    assert_succeeds(job)


def test_a_disk_that_is_full_at_any_write_point_ends_in_the_sentence(store: Store, tiny_base: Path) -> None:
    job = a_job(store, tiny_base)
    with failing_disk(job.folder) as disk:
        assert_succeeds(job)
    refused = 0
    for at in range(2, disk.points, 1 + disk.points // TRIED):
        job = a_job(store, tiny_base)
        with failing_disk(job.folder, at, errno.ENOSPC):
            ended = worker.main([str(job.folder)])
        if ended:  # else it was a point that nothing depends on
            refused += 1
            assert_refused(job)
    assert refused >= TRIED // 2
