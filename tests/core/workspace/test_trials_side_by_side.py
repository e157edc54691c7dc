"""Models of a trial trained side by side: the same ones as one after another, stopped and gone on with together."""

import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from core.data.errors import JobCancelled, JobFailed, ModelUnusable, NameTaken, SettingInvalid, TrialInvalid
from core.data.settings import chosen
from core.evidence.trial_folder import load_trial
from core.evidence.trial_state import Begun, Running, failure_of, running_trial, running_trials
from core.jobs.executors import CLUSTER, DEFAULT_EXECUTOR, EXECUTORS
from core.jobs.job import Job, all_jobs, find_job
from core.jobs.local_executor import LocalExecutor
from core.jobs.queue import start_next
from core.jobs.side_by_side import slot_of
from core.store import Store
from core.workspace.running import wait_for_first
from core.workspace.supervisor import ingest_finished_jobs
from core.workspace.trial_supervision import advance_trials, discard_trial, start_trial, stop_trial
from core.workspace.trials import add_arm, check_at_once, plan_trial, run_trial
from tests.core.jobs.test_queue import NotedStarts
from tests.tiny_models import save_model_folder
from tests.trial_workspace import build_trial_workspace, finish_trial, trial_request, wait_quietly
from tests.waiting import wait_for

Made = Callable[[str, Callable[[Path], object]], Path]
CELLS = ["half.d1.s1", "random-by-domain.d1.s1", "random-by-domain.d2.s1"]


@pytest.fixture(scope="module")
def planned(made_once: Made, tiny_base: Path, tiny_reference: Path, forked_workers: None) -> Path:
    """A workspace with the planned trial "small" of three models; copy it."""

    def make(folder: Path) -> None:
        build_trial_workspace(folder, tiny_base, tiny_reference)
        with pytest.MonkeyPatch.context() as environment, Store.open(folder, "a test") as store:
            environment.setenv("LOBASS_PROBE_SECONDS", "0.1")
            plan_trial(store, trial_request(draws=2), wait_quietly)

    return made_once("trial-of-three", make)


@pytest.fixture(scope="module")
def one_by_one(made_once: Made, planned: Path) -> Path:
    """The same after its models were trained one after another."""

    return made_once("trial-of-three-finished", partial(finish_trial, planned))


@pytest.fixture
def store(tmp_path: Path, planned: Path) -> Iterator[Store]:
    with Store.open(shutil.copytree(planned, tmp_path / "w"), "a test") as opened:
        yield opened


def advance(store: Store) -> bool:
    """One round of the supervisor; whether a trial is still advanced."""
    ingest_finished_jobs(store)
    start_next(all_jobs(store.workspace))
    advance_trials(store)
    return bool(running_trials(store.workspace))


def two_at_work(store: Store, monkeypatch: pytest.MonkeyPatch) -> NotedStarts:
    """Two models of the trial have begun, as far as the executor, which it returns, can tell."""
    monkeypatch.setitem(EXECUTORS, DEFAULT_EXECUTOR, executor := NotedStarts())
    start_trial(store, "small", at_once=2)
    advance(store)
    return executor


def losses_of(workspace: Path) -> dict[str, Any]:
    """The held-out losses of each model, as they are stored."""
    paths = sorted((workspace / "trials" / "small" / "cells").glob("*.parquet"))
    return {path.stem: pq.read_table(path).sort_by("example_id").to_pydict() for path in paths}


def cell_jobs(workspace: Path) -> list[Job]:
    """The jobs of the models, in the plan's order."""
    return sorted((job for job in all_jobs(workspace) if "cell" in job.request), key=lambda job: job.request["cell"])


def memory_allowed(job: Job) -> float:
    """What a training may take, as it logged it [GB]."""
    found = re.search(r"about [\d.]+ of ([\d.]+) GB of memory allowed", job.log_text)
    assert found, job.log_text
    return float(found[1])


def running_of(store: Store) -> Running:
    found = running_trial(store.workspace, "small")
    assert found is not None
    return found


def test_models_trained_two_at_once_have_exactly_the_losses_of_those_trained_one_by_one(
    store: Store, one_by_one: Path
) -> None:
    said: list[str] = []
    run_trial(store, "small", wait_quietly, said.append, at_once=2)
    assert said[0] == f"0 of 3 models done; at work: {CELLS[0]}, {CELLS[1]}"
    assert any(CELLS[2] in sentence for sentence in said)
    found = losses_of(store.workspace)
    assert list(found) == CELLS
    assert found == losses_of(one_by_one)
    jobs = cell_jobs(store.workspace)
    assert {slot_of(job) for job in jobs[:2]} == {0, 1}
    assert [job.request["at_once"] for job in jobs] == [2, 2, 2]
    (alone, *_), (shared, *_) = ([memory_allowed(job) for job in cell_jobs(w)] for w in (one_by_one, store.workspace))
    assert shared == pytest.approx(alone / 2, abs=0.1)


class KilledOnce(LocalExecutor):
    """Kills the first worker of the second job that it starts, before it has done anything."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def start(self, folder: Path) -> Any:
        self.started.append(folder.name)
        process = super().start(folder)
        if len(self.started) == 2:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        return process


def test_a_killed_worker_and_killed_owners_change_nothing(
    store: Store, one_by_one: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is kept in memory: each round is done by a store that was opened for it."""
    workspace = store.workspace
    monkeypatch.setitem(EXECUTORS, DEFAULT_EXECUTOR, executor := KilledOnce())
    start_trial(store, "small", at_once=2)
    store.close()
    most: dict[str, int] = {}

    def one_round() -> bool:
        with Store.open(workspace, "a test") as opened:
            going_on = advance(opened)
        if found := running_trial(workspace, "small"):
            most.update({begun.job: max(begun.starts, most.get(begun.job, 0)) for begun in found.jobs})
        return not going_on

    wait_for(one_round, "the end of the trial", 600)
    assert failure_of(workspace, "small") == ""
    assert [most[job] for job in dict.fromkeys(executor.started)] == [1, 2, 1]
    assert losses_of(workspace) == losses_of(one_by_one)


def with_one_dead(store: Store, executor: NotedStarts) -> tuple[str, str]:
    """Of two models at work, the first one dies too often; returns the ids of their jobs."""
    first, second = (begun.job for begun in running_of(store).jobs)
    for _ in range(5):
        executor.alive.discard(first)
        advance(store)
    assert executor.started.count(first) == 5
    return first, second


def test_a_worker_that_dies_again_and_again_stops_the_trial_once_the_other_model_has_ended(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = two_at_work(store, monkeypatch)
    _, second = with_one_dead(store, executor)
    assert "died 5 times" in running_of(store).failure
    assert [begun.job for begun in running_of(store).jobs] == [second]
    with pytest.raises(NameTaken, match="is running"):
        discard_trial(store, "small")
    assert executor.alive == {second}
    find_job(store.workspace, second).finish({"state": "failed", "message": "The disk is full."})
    executor.alive.remove(second)
    advance(store)
    assert running_trials(store.workspace) == []
    assert "died 5 times" in failure_of(store.workspace, "small")


def test_the_other_model_of_a_trial_that_failed_can_be_stopped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = two_at_work(store, monkeypatch)
    _, second = with_one_dead(store, executor)
    stop_trial(store, "small")
    assert find_job(store.workspace, second).is_cancelled
    assert running_trials(store.workspace) == []
    assert "died 5 times" in failure_of(store.workspace, "small")


def test_a_model_that_waits_is_not_started_after_another_one_failed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = two_at_work(store, monkeypatch)
    first, second = cell_jobs(store.workspace)
    executor.alive.clear()
    first.finish({"state": "failed", "message": "The disk is full."})
    (second.folder / "waiting.json").write_text('{"place": 1}', encoding="utf-8")
    ingest_finished_jobs(store)
    advance_trials(store)
    assert second.state == "cancelled"
    assert running_trials(store.workspace) == []
    assert failure_of(store.workspace, "small") == "The disk is full."


def test_stopping_stops_all_models_and_starting_again_begins_them_anew(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = two_at_work(store, monkeypatch)
    assert [(begun.cell, begun.starts) for begun in running_of(store).jobs] == [(CELLS[0], 1), (CELLS[1], 1)]
    stop_trial(store, "small")
    assert running_trial(store.workspace, "small") is None
    stopped = cell_jobs(store.workspace)
    assert [job.is_cancelled for job in stopped] == [True, True]
    start_trial(store, "small", at_once=2)
    advance(store)  # its workers are still at their last batch
    assert running_of(store).jobs == ()
    for job in stopped:
        job.finish({"state": "cancelled", "message": "Cancelled."})
        executor.alive.remove(job.job_id)
    advance(store)
    assert [begun.cell for begun in running_of(store).jobs] == CELLS[:2]
    assert executor.alive == {begun.job for begun in running_of(store).jobs}


def test_on_a_cluster_as_many_models_are_begun_and_nothing_of_this_machine_is_shared_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXECUTORS, CLUSTER, executor := NotedStarts())
    with chosen({"executor": CLUSTER}):
        start_trial(store, "small", at_once=2)
        advance(store)
    jobs = cell_jobs(store.workspace)
    assert executor.started == [job.job_id for job in jobs]
    assert [(job.request["cell"], job.request.get("at_once"), slot_of(job)) for job in jobs] == [
        (CELLS[0], None, None),
        (CELLS[1], None, None),
    ]


def test_a_model_that_is_cancelled_stops_the_trial_and_the_model_beside_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = two_at_work(store, monkeypatch)
    first, second = cell_jobs(store.workspace)
    first.finish({"state": "cancelled", "message": "Cancelled."})
    executor.alive.remove(first.job_id)
    advance(store)
    assert second.is_cancelled
    assert running_trials(store.workspace) == []
    assert failure_of(store.workspace, "small") == ""


def test_ctrl_c_stops_all_models(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXECUTORS, DEFAULT_EXECUTOR, executor := NotedStarts())
    said: list[str] = []

    def press_then_end(job: Job) -> None:
        if not job.is_cancelled:
            raise KeyboardInterrupt
        job.finish({"state": "cancelled", "message": "Cancelled."})
        executor.alive.remove(job.job_id)

    def wait(store: Store, *jobs: Job) -> dict[str, Any]:
        return wait_for_first(store, jobs, press_then_end, said.append)

    with pytest.raises(JobCancelled):
        run_trial(store, "small", wait, said.append, at_once=2)
    assert [job.state for job in cell_jobs(store.workspace)] == ["cancelled", "cancelled"]
    assert said == [
        f"0 of 3 models done; at work: {CELLS[0]}, {CELLS[1]}",
        "Stopping after the current batch; press Ctrl-C again to leave the worker running.",
    ]


def test_when_a_model_fails_the_others_go_on_and_it_is_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXECUTORS, DEFAULT_EXECUTOR, executor := NotedStarts())
    said: list[str] = []

    def fail(store: Store, *jobs: Job) -> dict[str, Any]:
        jobs[0].finish({"state": "failed", "message": "The disk is full."})
        executor.alive.remove(jobs[0].job_id)
        return wait_quietly(store, *jobs)

    with pytest.raises(JobFailed, match="The disk is full"):
        run_trial(store, "small", fail, said.append, at_once=2)
    assert said[-1] == f"Still at work: {CELLS[1]}. Run the trial again to wait for them and go on."
    assert executor.alive == {cell_jobs(store.workspace)[1].job_id}


def test_models_trained_elsewhere_are_evaluated_side_by_side(tmp_path: Path, one_by_one: Path) -> None:
    workspace = shutil.copytree(one_by_one, tmp_path / "w")
    models = [save_model_folder(tmp_path / f"model {seed}", "llama", seed=seed) for seed in (3, 4)]
    with Store.open(workspace, "a test") as store:
        add_arm(store, "small", "theirs", [str(model) for model in models])
        trial = run_trial(store, "small", wait_quietly, lambda _: None, at_once=2)
    assert trial.missing() == []
    assert sorted(slot_of(job) or 0 for job in all_jobs(workspace) if job.kind == "evaluate") == [0, 1]


def test_more_models_than_gpus_are_refused_in_one_sentence(planned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.models.devices._gpu_count", lambda: 2)
    small = load_trial(planned, "small")
    trial = replace(small, fixed={**small.fixed, "device": "auto"})
    assert check_at_once(trial, 2) == 2
    with pytest.raises(ModelUnusable) as refused:
        check_at_once(trial, 3)
    assert str(refused.value) == (
        "3 models at once need 3 GPUs, one each, and this machine has 2. Train fewer at once."
    )
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    assert check_at_once(small, 100) == 3  # on a CPU; there are no more models
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    with pytest.raises(TrialInvalid, match="too many for this machine's cores"):
        check_at_once(small, 3)
    with chosen({"placement": "spread"}), pytest.raises(SettingInvalid, match="needs each model on one device"):
        check_at_once(small, 2)
    with chosen({"executor": CLUSTER}):  # the cluster finds room for each
        assert check_at_once(trial, 3) == 3
    for impossible in (0, -1, 257):
        with pytest.raises(TrialInvalid, match="Give 1 to 256"):
            check_at_once(trial, impossible)


def test_an_earlier_version_s_record_of_one_job_is_read(store: Store) -> None:
    path = store.workspace / "trials" / "small" / "running"
    path.write_text(json.dumps({"name": "small", "since": "2026-11-01", "job": "a-job", "starts": 3}), encoding="utf-8")
    assert running_of(store) == Running("small", "2026-11-01", 1, (Begun("a-job", "", 3),))
    path.write_text(json.dumps({"name": "small", "since": "2026-11-01", "job": "", "starts": 0}), encoding="utf-8")
    assert running_of(store) == Running("small", "2026-11-01")
    path.write_text(json.dumps({"since": "2026-11-01", "at_once": 0}), encoding="utf-8")
    assert running_of(store) == Running("small", "")
