"""What workers finish reaches the store once, whatever ends in between; no worker runs here but where it says so."""

import fcntl
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data.errors import JobCancelled, JobFailed, StoreUnusable
from core.data.examples import DatasetRow, Example, Message
from core.jobs.job import Job, all_jobs, unfinished
from core.jobs.shards import SHARD_SCHEMA, write_shard
from core.models.resolving import PROVENANCE
from core.scoring.ingest import save_planned_run
from core.scoring.planning import ScoreRequest, create_score_job, plan_scoring
from core.selection import Amount, Selection, saved_selection
from core.store import Store
from core.training.training_plan import TrainRequest, create_train_job
from core.workspace.supervisor import (
    abandon,
    begin_scoring,
    begin_training,
    check_outcome,
    ingest_finished_job,
    ingest_finished_jobs,
    resume,
)
from core.workspace.supervisor_thread import Supervisor
from tests.waiting import wait_for

ROWS = 4
SELECT = {"kind": "select", "name": "best", "recipe": Selection(run="first", amount=Amount("rows", 2)).to_fields()}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "workspace", "a test") as opened:
        examples = [Example((Message("user", "Count."), Message("assistant", f"{n}, {n + 1}"))) for n in range(ROWS)]
        rows = [DatasetRow(number, "all", example, b"{}") for number, example in enumerate(examples, 1)]
        opened.add_source("numbers", "n.jsonl", "jsonl", "a hash", {}, rows)
        yield opened


@pytest.fixture
def request_(tiny_base: Path, tiny_reference: Path) -> ScoreRequest:
    return ScoreRequest("numbers", str(tiny_base), str(tiny_reference), run="first", device="cpu")


@pytest.fixture
def training(tiny_base: Path) -> TrainRequest:
    return TrainRequest("numbers", str(tiny_base), "taught", method="full", device="cpu")


def write_losses(job: Job, role: str, nll_sum: float = 2.0, rows: int = ROWS) -> Path:
    """What a worker would have written for the first of a role's examples."""
    ids = pq.read_table(job.folder / f"{role}.parquet")["example_id"].to_pylist()[:rows]
    losses = [
        {"example_id": example_id, "nll_sum": nll_sum, "token_count": 2, "truncated": False, "reason": None}
        for example_id in ids
    ]
    shard = pa.Table.from_pylist(losses, SHARD_SCHEMA)
    return write_shard(job.folder / "shards", f"{job.shard_prefix(role)}000001", shard)


def finish_scoring(job: Job) -> None:
    write_losses(job, "base", 2.0)
    write_losses(job, "reference", 1.0)
    (job.folder / "noise-base.txt").write_text("0.001", encoding="ascii")
    job.finish({"state": "done", "tokens": 8, "elapsed_seconds": 1.0})


def train(job: Job) -> None:
    """What a worker would have left of a training."""
    model = job.folder / "model"
    model.mkdir()
    (model / PROVENANCE).write_text('{"seed": 0}', encoding="utf-8")
    (model / "config.json").write_bytes(b"{}")
    job.finish({"state": "done", "elapsed_seconds": 1.0})


@contextmanager
def at_work(job: Job) -> Iterator[None]:
    """Hold a job's lock, as its worker does."""
    with open(job.folder / "worker.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def losses(store: Store) -> int:
    return int(store.rows("SELECT count(*) FROM loss")[0][0])


def test_a_finished_score_job_becomes_losses_and_a_run(store: Store, request_: ScoreRequest) -> None:
    job = create_score_job(store, plan_scoring(store, request_))
    finish_scoring(job)
    ingest_finished_jobs(store)
    run = store.run("first")
    assert run["noise_floors"]["base"] == 0.001
    found = store.rows(f"SELECT count(*), min(learnability), max(learnability) FROM {run['table']}")
    assert found == [(ROWS, 0.5, 0.5)]
    assert job.is_settled
    assert len(job.shards) == 2


def test_shards_are_taken_in_while_the_job_is_under_way(store: Store, request_: ScoreRequest) -> None:
    job = create_score_job(store, plan_scoring(store, request_))
    write_losses(job, "base")
    ingest_finished_jobs(store)
    ingest_finished_jobs(store)
    assert losses(store) == ROWS
    assert not job.is_settled
    assert plan_scoring(store, request_).computed == {"base": 0, "reference": ROWS}


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_training_that_did_not_finish_leaves_nothing_and_the_next_begins_anew(
    store: Store, training: TrainRequest, state: str
) -> None:
    job = create_train_job(store, training)
    checkpoint = job.folder / "checkpoints" / "checkpoint-20"
    checkpoint.mkdir(parents=True)
    (checkpoint / "complete").touch()
    job.finish({"state": state, "message": "It stopped."})
    ingest_finished_jobs(store)
    assert job.is_settled
    assert not (job.folder / "checkpoints").exists()
    assert unfinished(all_jobs(store.workspace), {"kind": "train"}) is None


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_job_that_did_not_finish_keeps_its_losses_and_makes_no_run(
    store: Store, request_: ScoreRequest, state: str
) -> None:
    job = create_score_job(store, plan_scoring(store, request_), (SELECT,))
    write_losses(job, "base")
    job.finish({"state": state, "message": "It stopped."})
    ingest_finished_jobs(store)
    assert job.is_settled
    assert losses(store) == ROWS
    assert store.rows("SELECT count(*) FROM run") == [(0,)]


def test_taking_in_a_finished_job_again_after_a_crash_changes_nothing(store: Store, request_: ScoreRequest) -> None:
    job = create_score_job(store, plan_scoring(store, request_))
    finish_scoring(job)
    ingest_finished_jobs(store)
    (job.folder / "settled").unlink()  # as if the crash had come before it was written
    ingest_finished_jobs(store)
    assert losses(store) == 2 * ROWS
    assert len(store.rows("SELECT name FROM run")) == 1


def test_a_damaged_shard_is_reported_and_keeps_no_other_job_waiting(store: Store, request_: ScoreRequest) -> None:
    damaged = create_score_job(store, plan_scoring(store, request_))
    write_losses(damaged, "base").write_bytes(b"not what was written")
    plain = create_score_job(store, plan_scoring(store, replace(request_, template="plain", run="second")))
    finish_scoring(plain)
    with pytest.raises(StoreUnusable, match="damaged"):
        ingest_finished_jobs(store)
    assert plain.is_settled
    assert not damaged.is_settled


def test_a_job_whose_dataset_was_removed_ends_with_that_sentence(store: Store, request_: ScoreRequest) -> None:
    job = create_score_job(store, plan_scoring(store, request_))
    finish_scoring(job)
    store.remove_dataset("numbers")
    ingest_finished_jobs(store)
    assert job.is_settled
    assert losses(store) == 2 * ROWS
    with pytest.raises(JobFailed, match="No dataset is named 'numbers'"):
        check_outcome(job)


def test_a_run_whose_name_was_given_away_meanwhile_is_said_to_be_so(store: Store, request_: ScoreRequest) -> None:
    job = create_score_job(store, plan_scoring(store, request_))
    save_planned_run(store, plan_scoring(store, replace(request_, template="plain")))
    finish_scoring(job)
    ingest_finished_jobs(store)
    assert job.state == "failed"
    assert "A run named 'first' exists with other models" in job.outcome["message"]


def test_a_finished_training_becomes_a_reference(store: Store, training: TrainRequest) -> None:
    job = create_train_job(store, training)
    train(job)
    ingest_finished_jobs(store)
    provenance = json.loads((store.workspace / "models" / "taught" / PROVENANCE).read_text(encoding="utf-8"))
    hashes = {"config.json": hashlib.sha256(b"{}").hexdigest()}
    assert provenance == {"seed": 0, "identity": job.request["identity"], "files": hashes}
    assert begin_training(store, training) is None


def test_a_reference_whose_name_was_given_away_meanwhile_stays_in_its_job(store: Store, training: TrainRequest) -> None:
    first, second = create_train_job(store, training), create_train_job(store, replace(training, seed=1))
    train(first)
    train(second)
    ingest_finished_jobs(store)
    states = {job.job_id: job.state for job in (first, second)}
    assert sorted(states.values()) == ["done", "failed"]
    loser = first if states[first.job_id] == "failed" else second
    assert (loser.folder / "model" / PROVENANCE).exists()
    assert "name that folder" in loser.outcome["message"]


def test_training_that_is_done_but_not_taken_in_is_not_done_again(store: Store, training: TrainRequest) -> None:
    job = create_train_job(store, training)
    train(job)
    assert begin_training(store, training) == job
    assert job.state == "done"
    assert not (job.folder / "starting.json").exists()


def test_a_training_that_is_running_is_joined(store: Store, training: TrainRequest) -> None:
    job = create_train_job(store, training)
    with at_work(job):
        assert begin_training(store, training) == job
    assert len(all_jobs(store.workspace)) == 1
    assert not (job.folder / "worker.log").exists()


def test_scoring_that_is_running_is_joined(store: Store, request_: ScoreRequest) -> None:
    job = create_score_job(store, plan_scoring(store, request_))
    with at_work(job):
        assert begin_scoring(store, request_)[1] == job


def test_scoring_with_nothing_missing_saves_the_run_and_goes_on_to_what_follows(
    store: Store, request_: ScoreRequest
) -> None:
    job = create_score_job(store, plan_scoring(store, replace(request_, run="another")))
    finish_scoring(job)
    ingest_finished_jobs(store)
    assert begin_scoring(store, request_, (SELECT,))[1] is None
    assert saved_selection(store, "best").run == "first"


def test_scoring_takes_in_what_a_dead_worker_left(store: Store, request_: ScoreRequest) -> None:
    dead = create_score_job(store, plan_scoring(store, request_))
    write_losses(dead, "base")
    write_losses(dead, "reference")
    plan, job = begin_scoring(store, request_)
    assert plan.is_complete
    assert job is None
    assert dead.is_settled
    assert store.run("first")["dataset"] == "numbers"


def test_what_follows_a_job_is_done_when_it_is_done(store: Store, request_: ScoreRequest) -> None:
    job = create_score_job(store, plan_scoring(store, request_), (SELECT,))
    finish_scoring(job)
    ingest_finished_jobs(store)
    assert saved_selection(store, "best").amount == Amount("rows", 2)


def test_what_cannot_follow_a_job_is_written_beside_its_outcome(store: Store, training: TrainRequest) -> None:
    step = {"kind": "score", "dataset": "moons", "base": training.base, "reference": "taught"}
    job = create_train_job(store, replace(training, then=(step,)))
    train(job)
    ingest_finished_jobs(store)
    assert job.state == "done"
    assert "No dataset is named 'moons'" in job.outcome["follow_up_failed"]


def test_an_interrupted_job_can_be_given_up_and_keeps_its_losses(store: Store, request_: ScoreRequest) -> None:
    job = create_score_job(store, plan_scoring(store, request_))
    write_losses(job, "base")
    abandon(store, job)
    assert job.is_settled
    assert losses(store) == ROWS
    with pytest.raises(JobCancelled, match="Discarded"):
        check_outcome(job)


def test_a_job_that_is_not_interrupted_is_neither_given_up_nor_resumed(store: Store, request_: ScoreRequest) -> None:
    job = create_score_job(store, plan_scoring(store, request_))
    job.finish({"state": "failed", "message": "Too hot."})
    abandon(store, job)
    resume(job)
    assert job.outcome == {"state": "failed", "message": "Too hot."}
    assert not job.is_settled


def test_a_dead_worker_says_that_its_work_is_kept(store: Store, request_: ScoreRequest) -> None:
    with pytest.raises(JobFailed, match="run the same command again"):
        check_outcome(create_score_job(store, plan_scoring(store, request_)))


def test_the_supervisor_takes_in_jobs_and_reports_a_problem_once(store: Store, request_: ScoreRequest) -> None:
    damaged = create_score_job(store, plan_scoring(store, request_))
    write_losses(damaged, "base").write_bytes(b"not what was written")
    reported: list[str] = []
    supervisor = Supervisor(store, reported.append)
    supervisor.start()
    try:
        wait_for(lambda: reported, "the report of the damaged shard")
        plain = create_score_job(store, plan_scoring(store, replace(request_, template="plain", run="second")))
        finish_scoring(plain)
        wait_for(lambda: plain.is_settled, "the taking in of the other job")
    finally:
        supervisor.stop()
    assert len(reported) == 1
    assert not supervisor.is_alive()


def test_the_supervisor_makes_room_once_for_each_job_that_begins_to_run(store: Store, request_: ScoreRequest) -> None:
    made_room: list[None] = []

    def run(job: Job, count: int) -> None:
        with at_work(job):
            wait_for(lambda: len(made_room) == count, "room for the job")
            finish_scoring(job)
        wait_for(lambda: job.is_settled, "the end of the job")
        assert len(made_room) == count

    supervisor = Supervisor(store, make_room=lambda: made_room.append(None))
    supervisor.start()
    try:
        run(create_score_job(store, plan_scoring(store, request_)), 1)
        run(create_score_job(store, plan_scoring(store, replace(request_, template="plain", run="second"))), 2)
    finally:
        supervisor.stop()


def test_advancing_a_job_on_its_own_leaves_others_alone(store: Store, request_: ScoreRequest) -> None:
    job = create_score_job(store, plan_scoring(store, request_))
    other = create_score_job(store, plan_scoring(store, replace(request_, template="plain", run="second")))
    finish_scoring(job)
    finish_scoring(other)
    ingest_finished_job(store, job)
    assert job.is_settled
    assert not other.is_settled
