"""kill -9 at any time: the same command again gives what an undisturbed run gives, computing only what is missing."""

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from core.jobs.job import Job, all_jobs
from core.training.checkpoints import CHECKPOINT_COMPLETE
from tests import command_line
from tests.waiting import wait_for

Loss = dict[str, Any]
ROWS = 250
# Small batches, each a shard of its own, and enough of them: a busy machine, too, finds a middle to be killed in.
SLOW = {"LOBASS_CPU_BATCH_TOKENS": "64", "LOBASS_SHARD_SECONDS": "0", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace that holds the rows and nothing else; copy it."""
    folder = tmp_path_factory.mktemp("imported")
    rows = command_line.write_rows(folder / "rows.jsonl", ROWS)
    command_line.result(folder / "w", "import", rows, "--dataset", "numbers", "--domain-field", "domain")
    return folder / "w"


@pytest.fixture
def workspace(tmp_path: Path, imported: Path) -> Path:
    return shutil.copytree(imported, tmp_path / "w")


@pytest.fixture(scope="module")
def score_command(tiny_base: Path, tiny_reference: Path) -> list[object]:
    return ["score", "--dataset", "numbers", "--base", tiny_base, "--reference", tiny_reference, "--run", "numbers"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, imported: Path, score_command: list[object]) -> list[Loss]:
    """The losses of a run that nobody interrupted."""
    workspace = shutil.copytree(imported, tmp_path_factory.mktemp("undisturbed") / "w")
    command_line.result(workspace, *score_command)
    return command_line.losses(workspace, "numbers", workspace.parent)


def _job_with_shards(workspace: Path, count: int) -> Job:
    """The newest job, as soon as it has written so many shards."""

    def written() -> Job | None:
        jobs = all_jobs(workspace)
        return jobs[-1] if jobs and len(jobs[-1].shards) >= count else None

    job = wait_for(written, f"the writing of {count} shards")
    assert job is not None
    return job


def _kill_worker(job: Job) -> None:
    status = (job.folder / "starting.json").read_text(encoding="utf-8")
    process = int(status.split(":")[1].strip(" }"))
    os.kill(process, signal.SIGKILL)


def _assert_equal_losses(found: list[Loss], expected: list[Loss]) -> None:
    assert [row["example_id"] for row in found] == [row["example_id"] for row in expected]
    for column in ("base_loss", "reference_loss"):
        assert [row[column] for row in found] == pytest.approx([row[column] for row in expected], abs=1e-5)


def test_a_killed_worker_loses_no_finished_batch(
    tmp_path: Path, workspace: Path, score_command: list[object], undisturbed: list[Loss]
) -> None:
    command = command_line.start(workspace, *score_command, **SLOW)
    job = _job_with_shards(workspace, 5)
    _kill_worker(job)
    _, stderr = command.communicate()
    assert command.returncode == 1
    assert "run the same command again" in stderr
    again = command_line.result(workspace, *score_command)
    assert 0 < again["cached"]["base"] < ROWS
    assert again["computed"]["base"] == ROWS - again["cached"]["base"]
    log = all_jobs(workspace)[-1].log_text
    assert f"base: {again['computed']['base']:,} of {again['computed']['base']:,} examples to compute" in log
    _assert_equal_losses(command_line.losses(workspace, "numbers", tmp_path), undisturbed)


def test_the_worker_outlives_a_killed_command_and_the_next_one_joins_it(
    tmp_path: Path, workspace: Path, score_command: list[object], undisturbed: list[Loss]
) -> None:
    command = command_line.start(workspace, *score_command, **SLOW)
    _job_with_shards(workspace, 5)
    command.send_signal(signal.SIGKILL)
    command.communicate()
    command_line.result(workspace, *score_command)
    jobs = all_jobs(workspace)
    assert len(jobs) == 1
    assert jobs[0].is_settled
    _assert_equal_losses(command_line.losses(workspace, "numbers", tmp_path), undisturbed)


def test_ctrl_c_stops_the_worker_and_keeps_what_is_finished(workspace: Path, score_command: list[object]) -> None:
    command = command_line.start(workspace, *score_command, **SLOW)
    job = _job_with_shards(workspace, 5)
    command.send_signal(signal.SIGINT)
    _, stderr = command.communicate()
    assert command.returncode == 1
    assert "Cancelled at" in stderr
    assert job.state == "cancelled"
    assert command_line.result(workspace, *score_command)["cached"]["base"] > 0


def test_a_worker_started_again_goes_on_in_its_folder(workspace: Path, score_command: list[object]) -> None:
    """A job copied to another machine has no store beside it: its own shards say what is done."""
    import subprocess
    import sys

    command = command_line.start(workspace, *score_command, **SLOW)
    job = _job_with_shards(workspace, 5)
    _kill_worker(job)
    command.send_signal(signal.SIGKILL)
    command.communicate()
    finished = sum(1 for _ in job.shards_of("base"))
    done = subprocess.run(
        [sys.executable, "-m", "core.worker", str(job.folder)],
        cwd=command_line.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"of {ROWS} examples to compute" in done.stderr
    assert f"base: {ROWS} of {ROWS}" not in done.stderr
    assert len(job.shards_of("base")) > finished
    assert command_line.result(workspace, *score_command)["computed"] == {"base": 0, "reference": 0}


def test_a_killed_training_goes_on_from_its_checkpoint_to_the_same_weights(
    tmp_path: Path, workspace: Path, tiny_base: Path
) -> None:
    from safetensors.torch import load_file

    train = ["train", "--dataset", "numbers", "--base", tiny_base, "--method", "full", "--batch-tokens", 64, "--name"]
    command = command_line.start(workspace, *train, "taught")
    job = wait_for(lambda: next(iter(all_jobs(workspace)), None), "the job's folder")
    assert job is not None
    wait_for(lambda: any(job.folder.glob(f"checkpoints/*/{CHECKPOINT_COMPLETE}")), "the first whole checkpoint")
    _kill_worker(job)
    command.communicate()
    command_line.result(workspace, *train, "taught")
    assert "going on from step" in job.log_text
    command_line.result(workspace, *train, "undisturbed")
    weights = [load_file(workspace / "models" / name / "model.safetensors") for name in ("taught", "undisturbed")]
    for name, tensor in weights[0].items():
        assert tensor.allclose(weights[1][name], atol=1e-5), name
