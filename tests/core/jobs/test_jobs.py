"""A job is a folder: what its files say is what it is, whoever looks."""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from core.data.errors import NotFound
from core.data.examples import Example, Message
from core.jobs.job import Job, all_jobs, create_job, find_job, read_examples_file, unfinished
from core.jobs.job_progress import Progress, duration
from core.jobs.shards import SHARD_SCHEMA, write_shard

EXAMPLE = Example((Message("user", "雷克雅未克?"), Message("assistant", "Yes.")))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return make_job(tmp_path)


def make_job(workspace: Path, **fields: object) -> Job:
    """A job of one example that nobody works on."""
    row = {"domain": ["chat"], "conversation": [EXAMPLE.to_json()], "example_id": [str(EXAMPLE.example_id)]}
    return create_job(workspace, {"kind": "score", "dataset": "moons", **fields}, {"base": pa.table(row)})


def starting(job: Job, process: int) -> None:
    (job.folder / "starting.json").write_text(json.dumps({"process": process}), encoding="utf-8")


def shard(job: Job, role: str, number: int) -> Path:
    row = {"example_id": str(EXAMPLE.example_id), "nll_sum": 1.0, "token_count": 2, "truncated": False, "reason": None}
    table = pa.Table.from_pylist([row], SHARD_SCHEMA)
    return write_shard(job.folder / "shards", f"{job.shard_prefix(role)}{number:06d}", table)


def test_a_job_holds_its_request_and_its_examples(tmp_path: Path, job: Job) -> None:
    found = find_job(tmp_path, job.job_id)
    assert found.request == {"kind": "score", "dataset": "moons", "job": job.job_id}
    assert read_examples_file(found, "base") == ([str(EXAMPLE.example_id)], [EXAMPLE], ["chat"])


def test_a_folder_without_its_request_is_not_a_job(tmp_path: Path, job: Job) -> None:
    (tmp_path / "jobs" / "20990101-000000-score-half").mkdir()
    assert all_jobs(tmp_path) == [job]
    with pytest.raises(NotFound, match="20990101"):
        find_job(tmp_path, "20990101-000000-score-half")


def test_a_job_that_nobody_works_on_is_interrupted(job: Job) -> None:
    assert job.state == "interrupted"


def test_a_job_runs_while_its_lock_is_held(job: Job) -> None:
    with open(job.folder / "worker.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert job.is_alive
        assert job.state == "running"
    assert job.state == "interrupted"


def test_a_worker_that_was_started_counts_as_running_before_it_has_the_lock(job: Job) -> None:
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", str(job.folder)]  # as a worker's, it names the job
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        starting(job, process.pid)
        assert job.state == "running"
        process.communicate()
    assert job.state == "interrupted"


def test_another_process_that_got_a_dead_workers_number_is_not_taken_for_it(job: Job) -> None:
    starting(job, os.getpid())
    assert job.state == "interrupted"


def test_a_worker_that_died_before_it_had_the_lock_is_interrupted(job: Job) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and a zombie until somebody asks for it
    starting(job, process.pid)
    assert job.state == "interrupted"
    process.wait()
    assert job.state == "interrupted"


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
def test_an_outcome_decides_the_state_whoever_holds_the_lock(job: Job, state: str) -> None:
    starting(job, os.getpid())
    job.finish({"state": state, "message": "Übung"})
    assert job.state == state
    assert job.outcome == {"state": state, "message": "Übung"}


def test_the_latest_progress_is_read_and_none_is_waiting(job: Job) -> None:
    assert job.progress.sentence() == "Starting..."
    job.report(Progress("reading", 1, 10))
    job.report(Progress("scoring", 5, 10, "rows", 1234.5, 200.0, 3.0, ["slow"]))
    assert job.progress == Progress("scoring", 5, 10, "rows", 1234.5, 200.0, 3.0, ["slow"])
    assert job.progress.sentence() == "scoring: 5 of 10 rows, 1,234 tokens per second, 3 min 20 s left"


@pytest.mark.parametrize(("done", "total", "share"), [(0, 0, 0.0), (5, 10, 0.5), (12, 10, 1.0)])
def test_the_share_done_stays_between_none_and_all(done: int, total: int, share: float) -> None:
    assert Progress(done=done, total=total).share == share


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (7500, "2 h 5 min")],
)
def test_a_duration_is_written_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_shards_belong_to_the_model_that_gave_them(job: Job) -> None:
    reference, second, first = shard(job, "reference", 1), shard(job, "base", 2), shard(job, "base", 1)
    assert job.shards_of("base") == [first, second]
    assert job.shards_of("reference") == [reference]


def test_settling_keeps_the_shards_and_can_be_repeated(job: Job) -> None:
    path = shard(job, "base", 1)
    job.settle()
    job.settle()
    assert job.is_settled
    assert job.shards == [path]


def test_cancelling_leaves_a_mark_for_the_worker(job: Job) -> None:
    assert not job.is_cancelled
    job.cancel()
    assert job.is_cancelled


def test_the_log_is_readable_whatever_bytes_are_in_it(job: Job) -> None:
    assert job.log_text == ""
    (job.folder / "worker.log").write_bytes(b"half a character: \xe9\x9b\n")
    assert job.log_text == "half a character: \ufffd\n"


def test_unfinished_work_is_the_newest_unsettled_job_that_asks_for_the_same(tmp_path: Path) -> None:
    settled, old, other = make_job(tmp_path, run="a"), make_job(tmp_path, run="b"), make_job(tmp_path, dataset="suns")
    settled.settle()
    jobs = [settled, old, other]
    assert unfinished(jobs, {"kind": "score", "dataset": "moons"}) == old
    assert unfinished(jobs, {"kind": "score", "dataset": "suns"}) == other
    assert unfinished(jobs, {"kind": "score", "run": "a"}) is None
