"""The table of job kinds: every kind's work can be imported, and a kind that is not in it fails with one sentence."""

import json
from pathlib import Path

import pytest

from core.jobs.job import Job, create_job
from core.jobs.local_executor import LocalExecutor
from core.store import Store
from core.workspace.job_kinds import JOB_KINDS, JobKind
from core.workspace.supervisor import ingest_finished_jobs

SENTENCE = "does not know jobs of the kind 'divination', only score, train"


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job of a kind that another version of the program might have."""
    return create_job(tmp_path / "workspace", {"kind": "divination"}, {})


@pytest.mark.parametrize("kind", JOB_KINDS.values(), ids=JOB_KINDS)
def test_the_work_of_every_kind_can_be_imported(kind: JobKind) -> None:
    assert callable(kind.work_function())


def test_a_worker_fails_a_job_of_an_unknown_kind(job: Job) -> None:
    assert LocalExecutor().start(job.folder).wait() == 1
    assert SENTENCE in job.outcome["message"]


def test_the_stores_owner_fails_it_too_and_goes_on(job: Job) -> None:
    with Store.open(job.folder.parents[1], "a test") as store:
        ingest_finished_jobs(store)
        ingest_finished_jobs(store)
    assert job.is_settled
    assert json.loads((job.folder / "outcome.json").read_text(encoding="utf-8"))["state"] == "failed"
    assert SENTENCE in job.outcome["message"]
