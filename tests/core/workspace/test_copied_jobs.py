"""A job's folder that is copied back file by file, in any order, is taken in once it is whole, and never in half."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data.errors import JobFailed, JobIncomplete, JsonInvalid
from core.data.examples import DatasetRow, Example, Message
from core.jobs.job import Job
from core.jobs.results import counted_results
from core.jobs.shards import read_shard, write_shard
from core.models.resolving import PROVENANCE
from core.near_duplicates.jobs import create_near_duplicate_job
from core.near_duplicates.search import RESULT
from core.scoring.planning import ScoreRequest, create_score_job, plan_scoring
from core.store import Store
from core.store.near_duplicates import GROUPS_SCHEMA, near_duplicate_sets
from core.training.publish import publish_reference
from core.training.training_plan import TrainRequest, create_train_job
from core.workspace.job_kinds import JOB_KINDS, check_arrived
from core.workspace.maintenance.checking import check_workspace
from core.workspace.maintenance.kept_shards import notices_of
from core.workspace.running import wait_for_first
from core.workspace.status import run_overview, status_fields
from core.workspace.supervisor import (
    begin_scoring,
    check_outcome,
    ingest_finished_job,
    ingest_finished_jobs,
    runs_else_ingest,
)
from core.workspace.supervisor_thread import Supervisor
from tests.core.workspace.test_supervision import (  # noqa: F401 (fixtures)
    ROWS,
    finish_scoring,
    losses,
    request_,
    store,
    train,
    training,
    write_losses,
)
from tests.waiting import wait_for


def end_as_a_worker(job: Job) -> None:
    """Let the outcome count what the job made, as its worker does."""
    outcome = job.outcome or {}
    job.finish(outcome | counted_results(job, JOB_KINDS[job.kind].results))


@pytest.fixture
def elsewhere(store: Store, request_: ScoreRequest, tmp_path: Path) -> tuple[Job, Path]:  # noqa: F811
    """A scoring job as the workspace has it before it runs, and its folder as it was left on another machine."""
    job = create_score_job(store, plan_scoring(store, request_))
    before = tmp_path / "before" / job.job_id
    shutil.copytree(job.folder, before)
    finish_scoring(job)
    end_as_a_worker(job)
    there = tmp_path / "there" / job.job_id
    there.parent.mkdir()
    job.folder.rename(there)
    shutil.copytree(before, job.folder)
    return job, there


def arrive(job: Job, there: Path, name: str) -> None:
    (job.folder / name).parent.mkdir(exist_ok=True)
    shutil.copyfile(there / name, job.folder / name)


def made(there: Path) -> list[str]:
    """What a run left in a job's folder."""
    return ["outcome.json", "noise-base.txt", *(f"shards/{path.name}" for path in sorted((there / "shards").iterdir()))]


def scored_rows(store: Store) -> int:  # noqa: F811
    return sum(run["scored"] for run in run_overview(store))


@pytest.mark.parametrize("first", range(4))
def test_a_copy_in_any_order_makes_a_run_only_when_it_is_whole(
    store: Store,  # noqa: F811
    elsewhere: tuple[Job, Path],
    first: int,
) -> None:
    job, there = elsewhere
    names = made(there)
    names = [*names[first:], *names[:first]]
    for name in names[:-1]:
        arrive(job, there, name)
        if job.outcome:
            with pytest.raises(
                JobIncomplete, match=rf"{job.job_id} is not whole here: \d files with [\d,]+ bytes of 4 fi"
            ):
                ingest_finished_job(store, job)
        else:
            ingest_finished_job(store, job)
        assert store.rows("SELECT count(*) FROM run") == [(0,)]
        assert not job.is_settled
    arrive(job, there, names[-1])
    ingest_finished_job(store, job)
    assert job.is_settled
    assert scored_rows(store) == ROWS


def test_what_arrives_while_a_job_is_looked_at_is_taken_in(
    store: Store,  # noqa: F811
    elsewhere: tuple[Job, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job, there = elsewhere
    arrive(job, there, "outcome.json")

    def arrives_first(store: Store, job: Job) -> None:
        for name in made(there):
            arrive(job, there, name)
        check_arrived(store, job)

    monkeypatch.setattr("core.workspace.supervisor.check_arrived", arrives_first)
    ingest_finished_job(store, job)
    assert job.is_settled
    assert scored_rows(store) == ROWS


def test_what_is_missing_is_waited_for_and_said(store: Store, elsewhere: tuple[Job, Path]) -> None:  # noqa: F811
    job, there = elsewhere
    supervisor = Supervisor(store, lambda _: None)
    supervisor.start()
    try:
        for name in made(there):
            arrive(job, there, name)
            if name == "outcome.json":
                wait_for(lambda: any("is not whole here" in one for one in supervisor.notices), "the sentence")
                (fields,) = status_fields(store)["jobs"]
                assert fields["state"] == "incomplete"
                assert "is not whole here: 1 files" in fields["problem"]
                found = [one.sentence for one in check_workspace(store, lambda _: None) if one.check == "jobs"]
                assert found == [fields["problem"]]
        wait_for(lambda: job.is_settled, "the taking in of the job")
        wait_for(lambda: not supervisor.notices, "the end of the sentence")
    finally:
        supervisor.stop()
    assert scored_rows(store) == ROWS


def test_a_file_of_the_same_size_with_other_content_is_not_taken_for_it(
    store: Store,  # noqa: F811
    elsewhere: tuple[Job, Path],
) -> None:
    job, there = elsewhere
    for name in made(there):
        arrive(job, there, name)
    path = job.shards_of("base")[0]
    told = read_shard(path)
    size = path.stat().st_size
    other = told.set_column(1, "nll_sum", pa.array([7.0] * ROWS))
    assert write_shard(path.parent, path.stem, other).stat().st_size == size
    with pytest.raises(JobIncomplete, match="its files are not those that it made"):
        ingest_finished_job(store, job)
    assert store.rows("SELECT count(*) FROM run") == [(0,)]


@pytest.mark.parametrize("counted", [[], {}, {"files": "many", "bytes": None}, 7])
def test_an_outcome_that_counts_nonsense_is_not_taken_in(
    store: Store,  # noqa: F811
    elsewhere: tuple[Job, Path],
    counted: object,
) -> None:
    job, there = elsewhere
    for name in made(there):
        arrive(job, there, name)
    job.finish({**(job.outcome or {}), "results": counted})
    with pytest.raises(JobIncomplete, match="is not whole here"):
        ingest_finished_job(store, job)


def test_a_command_that_waits_for_half_a_job_ends_with_the_sentence(
    store: Store,  # noqa: F811
    elsewhere: tuple[Job, Path],
) -> None:
    job, there = elsewhere
    arrive(job, there, "outcome.json")
    with pytest.raises(JobIncomplete, match=r"copy .* again from where it ran"):
        wait_for_first(store, [job], lambda _: None, lambda _: None)


def test_scoring_again_computes_what_has_not_arrived_and_what_arrives_later_is_kept(
    store: Store,  # noqa: F811
    request_: ScoreRequest,  # noqa: F811
    elsewhere: tuple[Job, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job, there = elsewhere
    base, reference = (name for name in made(there) if name.startswith("shards/"))
    for name in ("outcome.json", "noise-base.txt", base):
        arrive(job, there, name)
    monkeypatch.setattr("core.workspace.supervisor.start_or_wait", lambda job: None)
    plan, again = begin_scoring(store, request_)
    assert plan.computed == {"base": 0, "reference": ROWS}
    assert again is not None
    assert not job.is_settled
    assert not runs_else_ingest(store, job)
    arrive(job, there, reference)
    ingest_finished_job(store, job)
    assert scored_rows(store) == ROWS


# Runs whose losses come later


def saved_in_half(store: Store, request_: ScoreRequest) -> Job:  # noqa: F811
    """A run that an earlier version saved before its shards were there."""
    job = create_score_job(store, plan_scoring(store, request_))
    job.finish({"state": "done", "tokens": 8, "elapsed_seconds": 1.0})
    ingest_finished_jobs(store)
    assert job.is_settled
    assert scored_rows(store) == 0
    return job


def test_a_run_that_was_saved_without_losses_gets_them_at_the_next_start(
    store: Store,  # noqa: F811
    request_: ScoreRequest,  # noqa: F811
) -> None:
    job = saved_in_half(store, request_)
    write_losses(job, "base")
    write_losses(job, "reference")
    store.close()
    with Store.open(store.workspace, "a test") as again:
        notices_of(again)
        assert scored_rows(again) == ROWS


def test_a_run_gets_losses_that_another_job_brings(store: Store, request_: ScoreRequest) -> None:  # noqa: F811
    saved_in_half(store, request_)
    other = create_score_job(store, plan_scoring(store, replace(request_, run="second")))
    finish_scoring(other)
    ingest_finished_jobs(store)
    assert {run["name"]: run["scored"] for run in run_overview(store)} == {"first": ROWS, "second": ROWS}


# Datasets that were replaced


def replace_dataset(store: Store) -> None:  # noqa: F811
    """Another dataset with the name and the number of rows, and even the id, of the one before."""
    store.remove_dataset("numbers")
    rows = [
        DatasetRow(n, "all", Example((Message("user", "Spell."), Message("assistant", f"number {n}"))), b"{}")
        for n in range(1, ROWS + 1)
    ]
    store.add_source("numbers", "n.jsonl", "jsonl", "another hash", {}, rows)


def test_a_job_of_a_dataset_that_was_replaced_fails_with_that_sentence_and_keeps_its_losses(
    store: Store,  # noqa: F811
    request_: ScoreRequest,  # noqa: F811
) -> None:
    job = create_score_job(store, plan_scoring(store, request_))
    finish_scoring(job)
    before = store.dataset_id("numbers")
    replace_dataset(store)
    assert store.dataset_id("numbers") == before
    ingest_finished_jobs(store)
    with pytest.raises(JobFailed, match="'numbers' was removed and imported again"):
        check_outcome(job)
    assert job.is_settled
    assert losses(store) == 2 * ROWS
    assert run_overview(store) == []


def test_a_search_of_a_dataset_that_was_replaced_is_not_saved_as_the_new_ones(store: Store) -> None:  # noqa: F811
    job = create_near_duplicate_job(store, "numbers", 0.8)
    pq.write_table(pa.table({"example_id": [], "group_number": []}, GROUPS_SCHEMA), job.folder / RESULT)
    job.finish({"state": "done", "elapsed_seconds": 1.0})
    replace_dataset(store)
    ingest_finished_jobs(store)
    assert "was removed and imported again" in (job.outcome or {})["message"]
    assert near_duplicate_sets(store, "numbers") == []


# Other kinds of jobs


def test_a_search_whose_result_has_not_arrived_is_waited_for(store: Store, tmp_path: Path) -> None:  # noqa: F811
    job = create_near_duplicate_job(store, "numbers", 0.8)
    pq.write_table(pa.table({"example_id": [], "group_number": []}, GROUPS_SCHEMA), job.folder / RESULT)
    for counted in ({}, counted_results(job, JOB_KINDS[job.kind].results)):
        job.finish({"state": "done", "elapsed_seconds": 1.0, **counted})
        (job.folder / RESULT).rename(tmp_path / RESULT)
        with pytest.raises(JobIncomplete):
            ingest_finished_job(store, job)
        (tmp_path / RESULT).rename(job.folder / RESULT)
    ingest_finished_job(store, job)
    assert len(near_duplicate_sets(store, "numbers")) == 1


@pytest.mark.parametrize("missing", ["model", f"model/{PROVENANCE}", "model/config.json"])
def test_a_model_is_published_only_whole(
    store: Store,  # noqa: F811
    training: TrainRequest,  # noqa: F811
    tmp_path: Path,
    missing: str,
) -> None:
    job = create_train_job(store, training)
    train(job)
    end_as_a_worker(job)
    (job.folder / missing).rename(tmp_path / "coming")
    with pytest.raises(JobIncomplete, match="is not whole here"):
        ingest_finished_job(store, job)
    assert not (store.workspace / "models" / "taught").exists()
    (tmp_path / "coming").rename(job.folder / missing)
    ingest_finished_job(store, job)
    assert job.is_settled
    assert (store.workspace / "models" / "taught" / PROVENANCE).exists()


def test_an_earlier_outcome_without_its_model_is_waited_for(store: Store, training: TrainRequest) -> None:  # noqa: F811
    job = create_train_job(store, training)
    job.finish({"state": "done", "elapsed_seconds": 1.0})
    with pytest.raises(JobIncomplete, match="is not in"):
        ingest_finished_job(store, job)
    assert not job.is_settled


@pytest.mark.parametrize("point", ["rename_durably", "listed_files"])
def test_publishing_goes_on_after_a_crash(
    store: Store,  # noqa: F811
    training: TrainRequest,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    point: str,
) -> None:
    job = create_train_job(store, training)
    train(job)
    end_as_a_worker(job)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"core.training.publish.{point}", crash)
    with pytest.raises(KeyboardInterrupt):
        ingest_finished_job(store, job)
    monkeypatch.undo()
    (job.folder / "model" / ".provenance.json.1.tmp").write_bytes(b"{")  # as a kill in its writing leaves it
    ingest_finished_job(store, job)
    assert job.is_settled


def test_publishing_again_before_it_is_settled_changes_nothing(store: Store, training: TrainRequest) -> None:  # noqa: F811
    job = create_train_job(store, training)
    train(job)
    end_as_a_worker(job)
    publish_reference(store, job)
    ingest_finished_job(store, job)
    assert job.is_settled
    assert job.state == "done"


def change_request(job: Job, change: Callable[[dict[str, object]], object]) -> None:
    fields = job.request
    change(fields)
    (job.folder / "job.json").write_text(json.dumps(fields), encoding="utf-8")


def test_a_request_names_no_folder_outside_models(store: Store, training: TrainRequest) -> None:  # noqa: F811
    job = create_train_job(store, training)
    train(job)
    change_request(job, lambda fields: fields.update(name="../taught"))
    with pytest.raises(JsonInvalid, match="cannot be a name"):
        ingest_finished_job(store, job)
