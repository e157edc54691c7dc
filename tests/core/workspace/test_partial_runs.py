"""A scoring run that was cancelled opens over the rows that are scored, and is completed later."""

from dataclasses import replace

import pytest

from core.data import settings
from core.data.errors import JobFailed, NoUsableRows
from core.exploring.browsing import example
from core.exploring.unscored import partial_runs, unscored_sentences
from core.jobs.example_chunks import ExampleFile
from core.jobs.job import Job, create_job
from core.scoring.ingest import PARTIAL
from core.scoring.planning import ScoreRequest, create_score_job, plan_scoring
from core.store import Store
from core.workspace.partial_runs import open_partial_run, score_rest
from core.workspace.running import wait_for_first
from core.workspace.supervisor import ingest_finished_jobs
from tests.core.workspace.test_supervision import (  # noqa: F401 (fixtures)
    ROWS,
    finish_scoring,
    request_,
    store,
    write_losses,
)

SCORED = ROWS - 1


@pytest.fixture
def cancelled(store: Store, request_: ScoreRequest) -> Job:  # noqa: F811
    """A scoring job of spread models that was cancelled when all rows but one had losses of both."""
    with settings.chosen({"placement": "spread"}):
        job = create_score_job(store, plan_scoring(store, request_))
    for role in ("base", "reference"):
        write_losses(job, role, rows=SCORED)
    job.finish({"state": "cancelled", "message": "Cancelled."})
    return job


def test_a_cancelled_run_opens_over_what_is_scored(store: Store, cancelled: Job) -> None:  # noqa: F811
    opened = open_partial_run(store, cancelled)
    assert opened.sentence == f"Run {opened.run}: {SCORED} of {ROWS} rows scored."
    run = store.run(opened.run)
    assert run["description"][PARTIAL] is True
    assert partial_runs(store) == {opened.run: f"{SCORED} of {ROWS} rows scored"}
    (row,) = store.rows(f"SELECT row_number FROM {run['table']} WHERE not_scored")
    assert example(store, run["table"], row[0])["reason"] == "not scored yet"
    assert f"1 of {ROWS} rows have no score: not scored yet." in unscored_sentences(store, run["table"])


def test_scoring_the_rest_computes_only_that_and_completes_the_run(store: Store, cancelled: Job) -> None:  # noqa: F811
    run = open_partial_run(store, cancelled).run
    ingest_finished_jobs(store)
    assert cancelled.is_settled
    rest = score_rest(store, cancelled)
    assert rest is not None
    assert rest.request["run"] == run
    assert rest.placement == "spread"
    assert score_rest(store, cancelled) == rest  # joined, not computed twice
    wait_for_first(store, [rest], lambda job: None, print)
    assert [len(ExampleFile(rest.folder / f"{role}.parquet")) for role in ("base", "reference")] == [1, 1]
    found = store.run(run)
    assert PARTIAL not in found["description"]
    assert partial_runs(store) == {}
    assert store.rows(f"SELECT count(*), count_if(not_scored) FROM {found['table']}") == [(ROWS, 0)]
    assert score_rest(store, cancelled) is None


def test_a_partial_run_whose_last_losses_come_by_another_job_is_partial_no_longer(
    store: Store,  # noqa: F811
    cancelled: Job,
    request_: ScoreRequest,  # noqa: F811
) -> None:
    run = open_partial_run(store, cancelled).run
    other = create_score_job(store, plan_scoring(store, replace(request_, run="other")))
    finish_scoring(other)
    ingest_finished_jobs(store)
    assert PARTIAL not in store.run(run)["description"]


def test_nothing_opens_before_a_row_has_both_losses(store: Store, request_: ScoreRequest) -> None:  # noqa: F811
    job = create_score_job(store, plan_scoring(store, request_))
    write_losses(job, "base")
    with pytest.raises(NoUsableRows, match="No row of the run 'first' has losses of both models yet"):
        open_partial_run(store, job)
    assert store.rows("SELECT count(*) FROM run") == [(0,)]
    with pytest.raises(JobFailed, match="scores no dataset"):
        open_partial_run(store, create_job(store.workspace, {"kind": "train"}, {}))
