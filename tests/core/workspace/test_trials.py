"""Trials with tiny models: planned, run to the end, killed and gone on with; models trained elsewhere beside them."""

import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from core.data.errors import NameTaken, NotFound, TokenizerMismatch, TrialInvalid
from core.evidence.trial_folder import load_trial
from core.evidence.trial_state import failure_of, requested_trials, running_trial, running_trials
from core.jobs.job import Job, all_jobs
from core.jobs.queue import start_next
from core.store import Store
from core.workspace.supervisor import ingest_finished_jobs
from core.workspace.trial_supervision import advance_trials, discard_trial, request_trial, start_trial, stop_trial
from core.workspace.trials import add_arm, plan_trial, run_trial
from tests import command_line
from tests.tiny_models import save_model_folder
from tests.trial_workspace import build_trial_workspace, cell_results, finish_trial, trial_request, wait_quietly
from tests.waiting import wait_for

Made = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(autouse=True)
def short_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOBASS_PROBE_SECONDS", "0.1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def planned(made_once: Made, tiny_base: Path, tiny_reference: Path) -> Path:
    """A workspace with the planned trial "small"; copy it."""

    def make(folder: Path) -> None:
        build_trial_workspace(folder, tiny_base, tiny_reference)
        with pytest.MonkeyPatch.context() as environment, Store.open(folder, "a test") as store:
            environment.setenv("LOBASS_PROBE_SECONDS", "0.1")
            plan_trial(store, trial_request(), wait_quietly)

    return made_once("planned-trial", make)


@pytest.fixture(scope="session")
def undisturbed(made_once: Made, planned: Path) -> Path:
    """The same after a run that nobody interrupted."""

    return made_once("finished-trial", partial(finish_trial, planned))


@pytest.fixture
def workspace(tmp_path: Path, planned: Path) -> Path:
    return shutil.copytree(planned, tmp_path / "w")


@pytest.fixture
def store(workspace: Path) -> Iterator[Store]:
    with Store.open(workspace, "a test") as opened:
        yield opened


def advance(store: Store) -> bool:
    """One round of the supervisor; whether a trial is still advanced."""
    ingest_finished_jobs(store)
    start_next(all_jobs(store.workspace))
    advance_trials(store)
    return bool(running_trials(store.workspace))


def finished(store: Store) -> None:
    """Advance until no trial is left to advance."""
    wait_for(lambda: not advance(store), "the end of the trial", 600)


def working(workspace: Path) -> Job | None:
    """The job of a trial that has a worker."""
    return next((job for job in all_jobs(workspace) if job.kind == "trial_cell" and job.state == "running"), None)


def working_or_ended(workspace: Path, command: subprocess.Popen[str]) -> Job | subprocess.Popen[str] | None:
    return working(workspace) or (command if command.poll() is not None else None)


def has_begun(job: Job) -> bool:
    return (job.folder / "progress.json").exists() or job.outcome is not None


def kill_worker(job: Job) -> None:
    status = (job.folder / "starting.json").read_text(encoding="utf-8")
    os.kill(int(status.split(":")[1].strip(" }")), signal.SIGKILL)


def test_a_plan_is_fixed_with_its_cost_and_run_to_its_end(undisturbed: Path) -> None:
    trial = load_trial(undisturbed, "small")
    assert [arm.name for arm in trial.plan.arms] == ["half", "random-by-domain"]
    assert trial.fixed["cost"]["runs"] == 2
    assert len(trial.held_out) == 10
    results = trial.results()
    assert results.missing_cells == ()
    assert results.arms[0].objection == "too few runs for a verdict: 1 of at least 3"
    assert all(abs((run.input_tokens or 0) - 400) <= 20 for run in results.runs)


def test_an_arm_smaller_than_the_budget_repeats_its_rows_and_the_results_say_so(undisturbed: Path) -> None:
    results = load_trial(undisturbed, "small").results()
    (half,) = [run for run in results.runs if run.arm == "half"]
    assert half.passes is not None
    said = [sentence for sentence in results.sentences if sentence.startswith("Trained on their rows more than once")]
    assert half.passes < 1.05 or f"half ({half.passes:.1f} passes)" in said[0]


def test_rows_are_repeated_until_the_budget_is_used(store: Store) -> None:
    plan_trial(store, trial_request(name="repeated", selections=("few",)), wait_quietly)
    trial = run_trial(store, "repeated", wait_quietly, lambda _: None)
    few = next(run for run in trial.results().runs if run.arm == "few")
    assert (few.passes or 0) > 2
    assert any(f"few ({few.passes:.1f} passes)" in sentence for sentence in trial.results().sentences)


def test_a_started_trial_is_advanced_to_its_end_without_anybody_waiting(store: Store, undisturbed: Path) -> None:
    start_trial(store, "small")
    finished(store)
    assert failure_of(store.workspace, "small") == ""
    assert cell_results(store.workspace) == cell_results(undisturbed)


def test_a_requested_trial_is_probed_and_planned_and_waits_for_its_start(store: Store, undisturbed: Path) -> None:
    request_trial(store, trial_request(name="asked"))
    assert requested_trials(store.workspace) == ["asked"]
    finished(store)
    assert requested_trials(store.workspace) == []
    trial = load_trial(store.workspace, "asked")
    assert len(trial.missing()) == 2
    assert trial.fixed["cost"]["sentence"].startswith("2 runs take about")
    with pytest.raises(NameTaken, match="already"):
        request_trial(store, trial_request(name="asked"))


@pytest.mark.usefixtures("slow_starts")
def test_an_owner_killed_at_any_moment_goes_on_when_it_is_opened_again(workspace: Path, undisturbed: Path) -> None:
    """Nothing is kept in memory: each round is done by a store that was opened for it."""
    with Store.open(workspace, "a test") as store:
        start_trial(store, "small")
    killed = []

    def one_round() -> bool:
        with Store.open(workspace, "a test") as store:
            going_on = advance(store)
        job = working(workspace)
        if job and job.folder.name not in killed and (job.folder / "progress.json").exists():
            kill_worker(job)
            killed.append(job.folder.name)
        return not going_on

    wait_for(one_round, "the end of the trial", 600)
    assert killed
    assert cell_results(workspace) == cell_results(undisturbed)


def test_killed_commands_and_workers_leave_what_is_finished(workspace: Path, undisturbed: Path) -> None:
    moments = random.Random(1)
    for victim in ("worker", "command", "both"):
        command = command_line.start(workspace, "trial", "run", "small", OMP_NUM_THREADS="1")
        job = wait_for(partial(working_or_ended, workspace, command), "a model's training", 300)
        if isinstance(job, Job):
            if moments.random() < 0.7:
                wait_for(partial(has_begun, job), "the worker's first progress", 300)
            if victim != "command" and job.state == "running":
                kill_worker(job)
        if victim != "worker":
            command.send_signal(signal.SIGKILL)
        command.communicate()
    assert command_line.run(workspace, "trial", "run", "small", OMP_NUM_THREADS="1").returncode == 0
    assert cell_results(workspace) == cell_results(undisturbed)


@pytest.mark.usefixtures("slow_starts")
def test_a_stopped_trial_keeps_its_models_and_goes_on_when_it_is_started(store: Store, undisturbed: Path) -> None:
    start_trial(store, "small")
    wait_for(lambda: advance(store) and working(store.workspace), "the first model's training")
    stop_trial(store, "small")
    assert running_trial(store.workspace, "small") is None
    start_trial(store, "small")
    finished(store)
    assert cell_results(store.workspace) == cell_results(undisturbed)


def test_a_base_that_changed_since_the_plan_stops_the_trial_in_one_sentence(
    tmp_path: Path, tiny_base: Path, tiny_reference: Path
) -> None:
    base = shutil.copytree(tiny_base, tmp_path / "base")
    build_trial_workspace(tmp_path / "w", base, tiny_reference)
    with Store.open(tmp_path / "w", "a test") as store:
        plan_trial(store, trial_request(), wait_quietly)
        start_trial(store, "small")
        save_model_folder(base, "llama", seed=7)
        advance(store)
        assert "has changed since the trial 'small' was planned" in failure_of(store.workspace, "small")
        assert running_trials(store.workspace) == []
        with pytest.raises(TrialInvalid, match="has changed"):
            run_trial(store, "small", wait_quietly, lambda _: None)
        with pytest.raises(TrialInvalid, match="has changed"):
            start_trial(store, "small")


def test_models_trained_elsewhere_are_evaluated_as_an_exploratory_arm(tmp_path: Path, undisturbed: Path) -> None:
    workspace = shutil.copytree(undisturbed, tmp_path / "w")
    other = save_model_folder(tmp_path / "other", "llama", vocabulary_size=390)
    models = [save_model_folder(tmp_path / f"model {seed}", "llama", seed=seed) for seed in (3, 4)]
    with Store.open(workspace, "a test") as store:
        with pytest.raises(TokenizerMismatch):
            add_arm(store, "small", "theirs", [str(other)])
        add_arm(store, "small", "theirs", [str(model) for model in models])
        start_trial(store, "small")
        finished(store)
        assert failure_of(store.workspace, "small") == ""
        results = load_trial(workspace, "small").results()
    assert results.missing_cells == ()
    theirs = next(arm for arm in results.arms if arm.arm == "theirs")
    assert (theirs.exploratory, theirs.runs) == (True, 2)
    losses = {run.cell: run.loss for run in results.runs if run.arm == "theirs"}
    assert losses["theirs.d1"] != pytest.approx(losses["theirs.d2"], abs=1e-3)


def test_only_a_trial_without_results_can_be_discarded(store: Store, tmp_path: Path, undisturbed: Path) -> None:
    discard_trial(store, "small")
    with pytest.raises(NotFound):
        load_trial(store.workspace, "small")
    with (
        Store.open(shutil.copytree(undisturbed, tmp_path / "done"), "a test") as done,
        pytest.raises(NameTaken, match="has results"),
    ):
        discard_trial(done, "small")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"name": "../up"}, "not a valid trial name"),
        ({"arms": ()}, "no random arm"),
        ({"selections": ()}, "no selection"),
        ({"arms": ("best",)}, "Unknown arm best"),
        ({"held_out": None}, "held out no rows"),
        ({"held_out": 0.9}, "not possible"),
    ],
)
def test_a_request_that_cannot_be_planned_is_refused_at_once(
    store: Store, other: dict[str, object], message: str
) -> None:
    with pytest.raises(TrialInvalid, match=message):
        request_trial(store, trial_request(**{"name": "refused", **other}))
    assert running_trials(store.workspace) == []
