"""A second executor is one object in the table: it runs a job elsewhere, and its shards come back by `collect`."""

import shutil
import threading
from pathlib import Path

import pytest

from core import worker
from core.data.errors import SettingInvalid
from core.data.settings import chosen
from core.jobs.executors import EXECUTORS
from core.jobs.job import all_jobs, create_job, start_worker
from core.scoring.planning import ScoreRequest
from core.store import Store
from core.workspace.supervisor import abandon, begin_scoring, ingest_finished_jobs
from tests.core.scored_rows import ScoredRow, add_scored_run
from tests.waiting import wait_for


class ElsewhereExecutor:
    """Copies the job to another folder, runs its worker there in a thread, and brings back what it wrote."""

    def __init__(self, elsewhere: Path) -> None:
        self.elsewhere = elsewhere
        self.threads: dict[str, threading.Thread] = {}

    def start(self, folder: Path) -> None:
        copy = self.elsewhere / folder.name
        shutil.copytree(folder, copy)
        self.threads[folder.name] = threading.Thread(target=worker.run, args=[copy])
        self.threads[folder.name].start()

    def is_alive(self, folder: Path) -> bool:
        thread = self.threads.get(folder.name)
        return thread is not None and thread.is_alive()

    def cancel(self, folder: Path) -> None:
        (self.elsewhere / folder.name / "cancel").touch()

    def collect(self, folder: Path) -> None:
        copy = self.elsewhere / folder.name
        for path in [*sorted(copy.glob("shards/*.arrow")), *copy.glob("noise-*.txt")]:
            target = folder / path.relative_to(copy)
            target.parent.mkdir(exist_ok=True)
            if not target.exists():
                shutil.copyfile(path, target)
        if (copy / "outcome.json").exists():
            shutil.copyfile(copy / "outcome.json", folder / "outcome.json")


def test_a_job_on_another_executor_is_scored_to_its_end(
    tmp_path: Path, tiny_base: Path, tiny_reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = ElsewhereExecutor(tmp_path / "elsewhere")
    monkeypatch.setitem(EXECUTORS, "elsewhere", elsewhere)
    monkeypatch.setenv("LOBASS_EXECUTOR", "elsewhere")
    request = ScoreRequest("data", str(tiny_base), str(tiny_reference), run="far", template="plain", device="cpu")
    with Store.open(tmp_path / "workspace", "a test") as store:
        add_scored_run(store, [ScoredRow("chat", 1.0, 0.5, response="Mars"), ScoredRow("chat", 1.0, 0.5)])
        _, job = begin_scoring(store, request)
        assert job is not None
        assert job.request["executor"] == "elsewhere"
        wait_for(lambda: not job.is_alive, "the worker's end")
        assert job.outcome is None  # nothing was brought yet
        ingest_finished_jobs(store)
        assert job.state == "done"
        assert store.rows("SELECT count(base_loss), count(reference_loss) FROM scored_2") == [(2, 2)]
        assert [one.is_settled for one in all_jobs(store.workspace)] == [True]


def test_what_follows_a_job_runs_where_the_job_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOBASS_RAY_WORKERS", "3")
    with chosen({"executor": "ray", "ray_address": "head:6379"}):
        first = create_job(tmp_path / "workspace", {"kind": "score"}, {})
    with chosen(first.executor_choice):
        following = create_job(tmp_path / "workspace", {"kind": "score"}, {})
    assert following.executor_name == "ray"
    assert following.request["executor_settings"] == {
        "ray_address": "head:6379",
        "ray_workers": 3,
        "ray_cpus": 0.0,
        "ray_gpus": 0.0,
    }


def test_an_unknown_executor_is_refused_before_a_job_is_made(
    tmp_path: Path, tiny_base: Path, tiny_reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOBASS_EXECUTOR", "moon")
    with Store.open(tmp_path / "workspace", "a test") as store:
        add_scored_run(store, [ScoredRow("chat", 1.0, 0.5)])
        with pytest.raises(SettingInvalid, match=r"Unknown executor 'moon'. Must be one of: local"):
            begin_scoring(store, ScoreRequest("data", str(tiny_base), str(tiny_reference), run="far", device="cpu"))
        assert all_jobs(store.workspace) == []


def test_a_job_of_an_executor_that_is_not_there_is_left_alone(tmp_path: Path) -> None:
    job = create_job(tmp_path / "workspace", {"kind": "score", "executor": "moon"}, {})
    with Store.open(tmp_path / "workspace", "a test") as store:
        ingest_finished_jobs(store)
        assert job.state == "interrupted"
        with pytest.raises(SettingInvalid, match="Unknown executor 'moon'"):
            abandon(store, job)
    assert not job.is_settled
    with pytest.raises(SettingInvalid, match="Unknown executor 'moon'"):
        start_worker(job)
