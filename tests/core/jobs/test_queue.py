"""The queue: one job computes at a time, the others wait in an order that people can change."""

from pathlib import Path
from typing import Any

import pytest

from core.data.errors import NotFound
from core.jobs.executors import DEFAULT_EXECUTOR, EXECUTORS
from core.jobs.job import SLOT, WAITING, Job, create_job
from core.jobs.queue import cancel, is_next, move_up, ordinal, queue, start_next, start_or_wait
from core.jobs.side_by_side import side_by_side, slot_of


class NotedStarts:
    """An executor that starts nothing: a job is alive once it was started, until it is ended here."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.alive: set[str] = set()

    def start(self, folder: Path) -> None:
        self.started.append(folder.name)
        self.alive.add(folder.name)

    def is_alive(self, folder: Path) -> bool:
        return folder.name in self.alive

    def cancel(self, folder: Path) -> None:
        (folder / "cancel").touch()

    def collect(self, folder: Path) -> None:
        """Everything is in the folder already."""


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> NotedStarts:
    noted = NotedStarts()
    monkeypatch.setitem(EXECUTORS, DEFAULT_EXECUTOR, noted)
    return noted


def jobs_of(workspace: Path, *kinds: str, **fields: Any) -> list[Job]:
    return [create_job(workspace, {"kind": kind, **fields}, {}) for kind in kinds]


def test_jobs_wait_for_the_one_that_runs_and_start_in_their_order(tmp_path: Path, executor: NotedStarts) -> None:
    first, second, third = jobs_of(tmp_path, "score", "train", "evaluate")
    for job in (first, second, third):
        start_or_wait(job)
    assert [job.state for job in (first, second, third)] == ["running", "waiting", "waiting"]
    assert queue(tmp_path) == [second, third]
    assert [is_next(job) for job in (second, third)] == [True, False]
    assert third.progress.sentence() == "Waiting, 2nd in the queue"
    start_next([first, second, third])
    assert executor.started == [first.job_id]
    executor.alive.clear()
    start_next([first, second, third])
    assert executor.started == [first.job_id, second.job_id]
    assert third.progress.sentence() == "Waiting, 1st in the queue"
    assert first.state == "interrupted"  # its worker died: it does not keep others waiting


def test_the_order_can_be_changed(tmp_path: Path, executor: NotedStarts) -> None:
    first, *waiting = jobs_of(tmp_path, *["score"] * 4)
    for job in (first, *waiting):
        start_or_wait(job)
    one, two, three = waiting
    move_up(three)
    assert queue(tmp_path) == [one, three, two]
    move_up(two, to_front=True)
    assert queue(tmp_path) == [two, one, three]
    move_up(two)
    assert queue(tmp_path) == [two, one, three]
    with pytest.raises(NotFound, match="is not waiting"):
        move_up(first)


def test_a_waiting_job_is_cancelled_at_once_and_the_others_move_up(tmp_path: Path, executor: NotedStarts) -> None:
    first, second, third = jobs_of(tmp_path, *["score"] * 3)
    for job in (first, second, third):
        start_or_wait(job)
    cancel(second)
    assert (second.state, second.outcome and second.outcome["message"]) == (
        "cancelled",
        "Cancelled while it waited in the queue.",
    )
    assert third.progress.sentence() == "Waiting, 1st in the queue"
    cancel(first)
    assert first.is_cancelled
    assert first.state == "running"  # its worker ends after its batch


def test_estimates_searches_and_other_executors_do_not_wait(
    tmp_path: Path, executor: NotedStarts, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = jobs_of(tmp_path, "score", "estimate", "trial_probe", "near_duplicates")
    monkeypatch.setitem(EXECUTORS, "elsewhere", executor)
    others += jobs_of(tmp_path, "score", executor="elsewhere")
    for job in (first, *others):
        start_or_wait(job)
    assert [job.state for job in (first, *others)] == ["running"] * 5
    executor.alive.remove(first.job_id)
    (last,) = jobs_of(tmp_path, "train")
    start_or_wait(last)
    assert last.state == "running"


def cells_of(workspace: Path, trial: str, count: int, at_once: int) -> list[Job]:
    beside = (side_by_side(trial, f"model-{number}", at_once) for number in range(count))
    return [job for fields in beside for job in jobs_of(workspace, "trial_cell", **fields)]


def test_models_of_one_trial_run_side_by_side_each_in_a_slot_of_its_own(tmp_path: Path, executor: NotedStarts) -> None:
    models = cells_of(tmp_path, "small", 4, at_once=2)
    for job in models:
        start_or_wait(job)
    assert [job.state for job in models] == ["running", "running", "waiting", "waiting"]
    assert [slot_of(job) for job in models] == [0, 1, None, None]
    executor.alive.remove(models[0].job_id)
    start_next(models)
    assert [job.state for job in models] == ["interrupted", "running", "running", "waiting"]
    assert slot_of(models[2]) == 0
    start_or_wait(models[0])
    executor.alive.clear()
    start_next(models)
    assert executor.alive == {models[3].job_id, models[0].job_id}
    assert {slot_of(models[3]), slot_of(models[0])} == {0, 1}


def test_nothing_else_runs_beside_the_models_of_a_trial(tmp_path: Path, executor: NotedStarts) -> None:
    first, second, third = cells_of(tmp_path, "small", 3, at_once=3)
    (scoring,) = jobs_of(tmp_path, "score")
    (other,) = cells_of(tmp_path, "other", 1, at_once=3)
    (single,) = jobs_of(tmp_path, "trial_cell", trial="small", cell="alone")
    everything = [first, scoring, second, other, third, single]
    for job in everything:
        start_or_wait(job)
    ran = []
    while executor.alive:  # a job that waits keeps its turn, though there would be room for the one behind it
        ran.append(sorted(executor.alive, key=executor.started.index))
        executor.alive.clear()
        start_next([job for job in everything if not executor.started.count(job.job_id)])
    assert ran == [[job.job_id] for job in everything]


@pytest.mark.parametrize("damaged", ['{"slot": 7}', '{"slot": true}', '{"slot": -1}', "{"])
def test_a_damaged_slot_is_none(tmp_path: Path, executor: NotedStarts, damaged: str) -> None:
    (job,) = cells_of(tmp_path, "small", 1, at_once=2)
    start_or_wait(job)
    (job.folder / SLOT).write_text(damaged, encoding="utf-8")
    assert slot_of(job) is None


@pytest.mark.parametrize("at_once", [0, -3, 1.5, True, "2", None, 10**9])
def test_a_request_without_a_possible_number_of_neighbours_runs_alone(
    tmp_path: Path, executor: NotedStarts, at_once: object
) -> None:
    jobs = jobs_of(tmp_path, "trial_cell", "trial_cell", trial="small", at_once=at_once)
    for job in jobs:
        start_or_wait(job)
    assert [job.state for job in jobs] == ["running", "waiting"]
    assert slot_of(jobs[0]) is None


def test_a_damaged_place_is_the_last_one(tmp_path: Path, executor: NotedStarts) -> None:
    first, second, third = jobs_of(tmp_path, *["score"] * 3)
    for job in (first, second, third):
        start_or_wait(job)
    (second.folder / WAITING).write_text('{"pla', encoding="utf-8")
    assert queue(tmp_path) == [third, second]
    move_up(second)
    assert queue(tmp_path) == [second, third]


@pytest.mark.parametrize(("number", "text"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (11, "11th"), (22, "22nd")])
def test_places_are_said_in_words(number: int, text: str) -> None:
    assert ordinal(number) == text
