"""Several processes train the model that one would: real processes on a CPU (gloo), compared with one."""

import json
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from core.data.errors import JobCancelled, JobFailed, ModelUnusable
from core.data.examples import DatasetRow
from core.jobs.job import Job, start_worker
from core.store import Store
from core.training.checkpoints import last_checkpoint
from core.training.train import train_reference
from core.training.training_plan import TrainRequest, create_train_job
from core.workspace.supervisor import check_outcome
from tests.forked import forked_training
from tests.tiny_models import example, save_model_folder
from tests.waiting import wait_for

SETTINGS: dict[str, Any] = {
    "learning_rate": 3e-3, "batch_tokens": 60, "epochs": 1.0, "device": "cpu", "template": "plain",
}  # fmt: skip
ROWS = 48
RECORDS = ("curve.jsonl", "steps.jsonl", "passes.jsonl")


@pytest.fixture(scope="module", autouse=True)
def forked_processes(forked_workers: None) -> Iterator[None]:
    with forked_training():
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model_folder(tmp_path_factory.mktemp("models") / "base", "llama")


@pytest.fixture(scope="module")
def rows_of_counts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    draw = random.Random(3)
    rows = [
        DatasetRow(
            number,
            "even" if number % 2 else "odd",
            example(
                ("user", "Count"), ("assistant", " ".join(str(draw.randrange(99)) for _ in range(1 + number % 9 * 2)))
            ),
            b"{}",
        )
        for number in range(1, ROWS + 1)
    ]
    with Store.open(tmp_path_factory.mktemp("several") / "für 2 #%20", "a test") as opened:
        opened.add_source("counts", "counts", "jsonl", "counts", {}, rows)
        yield opened


def a_job(store: Store, base: Path, **fields: Any) -> Job:
    return create_train_job(store, TrainRequest("counts", str(base), "taught", **{**SETTINGS, **fields}))


def processes_of(job: Job) -> list[tuple[int, list[str]]]:
    """The process id and arguments of every process that trains for a job, its worker included."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = entry.read_bytes().decode().rstrip("\0").split("\0")
        except OSError:  # it has ended
            continue
        if str(job.folder) in arguments:
            found.append((int(entry.parent.name), arguments))
    return found


def assert_same_model(one: Path, several: Path) -> None:
    for path in (path.relative_to(one) for path in one.rglob("*.safetensors")):
        first, second = load_file(one / path), load_file(several / path)
        assert first.keys() == second.keys()
        for name, weight in first.items():
            assert float((weight - second[name]).abs().max()) < 1e-4, name


def lines_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def assert_close(found: Any, expected: Any) -> None:
    """Equal, but for floats, which may differ by 1e-4 of their size."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name in expected:
            assert_close(found[name], expected[name])
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-4)
    else:
        assert found == expected


LORA = {"held_out": 0.2, "keep_checkpoints": True}


@pytest.mark.parametrize("fields", [LORA, {"method": "full", "folds": 2}], ids=["LoRA", "full, two folds"])
def test_two_processes_train_what_one_does(rows_of_counts: Store, base: Path, fields: dict[str, Any]) -> None:
    one, two = a_job(rows_of_counts, base, **fields), a_job(rows_of_counts, base, processes=2, **fields)
    expected, found = train_reference(one), train_reference(two)
    varying = {"elapsed_seconds"}
    assert {name: found[name] for name in found.keys() - varying} == {
        name: expected[name] for name in expected.keys() - varying
    }
    assert found["steps"] > found["seen_examples"] / 2, "some batch has one row, so one process has none"
    models = [path.parent.relative_to(one.folder) for path in one.folder.glob("model/**/*model.safetensors")]
    assert len(models) == fields.get("folds", 1)
    for model in models:
        assert_same_model(one.folder / model, two.folder / model)
        provenance = [json.loads((job.folder / model / "provenance.json").read_bytes()) for job in (one, two)]
        assert provenance[0]["data_order"] == provenance[1]["data_order"]
        assert ("processes" in provenance[0], provenance[1]["processes"]) == (False, 2)
        for name in RECORDS:
            if (one.folder / model / name).exists():
                lines, others = lines_of(one.folder / model / name), lines_of(two.folder / model / name)
                assert len(lines) == len(others)
                for line, other in zip(lines, others, strict=True):
                    assert_close(other, line)
    assert not processes_of(two)


def test_whichever_process_is_killed_none_is_left_and_the_training_goes_on(rows_of_counts: Store, base: Path) -> None:
    fields = {"method": "full", "epochs": 2.0}
    undisturbed, job = a_job(rows_of_counts, base, **fields), a_job(rows_of_counts, base, processes=2, **fields)
    train_reference(undisturbed)
    seen: list[str | None] = []
    for victim in ("core.training.rank_process", "core.worker"):
        start_worker(job)
        checkpoint = wait_for(lambda: (new := last_checkpoint(job.folder)) not in seen and new, "a checkpoint")
        seen.append(checkpoint)
        of_victim = [process for process, arguments in processes_of(job) if victim in arguments]
        os.kill(of_victim[-1], signal.SIGKILL)
        wait_for(lambda: not processes_of(job), "the end of all its processes")
        wait_for(lambda: not job.is_alive, "the lock")
        assert job.state == "interrupted"
        with pytest.raises(JobFailed, match=r"died before it finished .* run the same command again to go on\.$"):
            check_outcome(job)
    assert "of 2 of the training was stopped by signal 9" in job.log_text
    train_reference(job)
    assert_same_model(undisturbed.folder / "model", job.folder / "model")
    assert (undisturbed.folder / "model" / "steps.jsonl").read_text("utf-8").count("\n") == (
        job.folder / "model" / "steps.jsonl"
    ).read_text("utf-8").count("\n")


def test_cancelled_all_processes_stop(rows_of_counts: Store, base: Path) -> None:
    job = a_job(rows_of_counts, base, processes=2)
    (job.folder / "cancel").touch()
    with pytest.raises(JobCancelled, match=r"^Training was cancelled: no reference was made"):
        train_reference(job)
    assert not processes_of(job)
    assert not (job.folder / "model").exists()


def test_the_first_failure_of_a_process_is_the_jobs(
    rows_of_counts: Store, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.training.training_plan.HIGHEST_RATE", 1e30)
    job = a_job(rows_of_counts, base, processes=2, learning_rate=1e30)
    with pytest.raises(JobFailed, match=r"^The training loss is not a finite number any more"):
        train_reference(job)
    assert not processes_of(job)


def test_more_processes_than_gpus_are_refused(
    rows_of_counts: Store, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = r"^3 processes need 3 GPUs, one each, and this machine has 2\. Lower --pro"
    monkeypatch.setattr("core.models.devices._gpu_count", lambda: 3)
    job = a_job(rows_of_counts, base, processes=3, device="auto")
    monkeypatch.setattr("core.models.devices._gpu_count", lambda: 2)
    with pytest.raises(ModelUnusable, match=refusal):
        a_job(rows_of_counts, base, processes=3, device="auto")
    with pytest.raises(ModelUnusable, match=refusal):  # made on a machine with more
        train_reference(job)


def test_several_processes_are_refused_on_a_cluster_and_fewer_than_one_everywhere(
    rows_of_counts: Store, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelUnusable, match=r"^The number of processes 0 is invalid\. Give a whole number from 1"):
        a_job(rows_of_counts, base, processes=0)
    monkeypatch.setenv("LOBASS_EXECUTOR", "ray")
    with pytest.raises(ModelUnusable, match=r"^On a Ray cluster, a model is trained by one process\. Leave out "):
        a_job(rows_of_counts, base, processes=2)
