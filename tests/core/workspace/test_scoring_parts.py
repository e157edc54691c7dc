"""The parts of a scoring job, with the workers' part played by this process: no cluster is needed."""

import json
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from core.engine.engine_choice import EngineChoice
from core.jobs.job import ENGINE_CHOICE, Job
from core.jobs.shards import read_shard
from core.scoring.planning import ScoreRequest, create_score_job, plan_scoring
from core.scoring.scoring_job import score
from core.store import Store
from core.workspace.cluster.crew import Task
from core.workspace.cluster.job_files import FolderChanges, put_piece
from core.workspace.cluster.node_worker import News
from core.workspace.cluster.scoring_parts import ScoringParts
from tests.core.scored_rows import ScoredRow, add_scored_run

ROWS = 150


@pytest.fixture
def job(tmp_path: Path, tiny_base: Path, tiny_reference: Path) -> Job:
    """A scoring job that has only chosen how the engine computes."""
    with Store.open(tmp_path / "workspace", "a test") as store:
        add_scored_run(store, [ScoredRow("chat", 1.0, 0.5, response=f"Answer {number}.") for number in range(ROWS)])
        request = ScoreRequest("data", str(tiny_base), str(tiny_reference), run="far", template="plain", device="cpu")
        made = create_score_job(store, plan_scoring(store, request))
        (made.folder / ENGINE_CHOICE).write_text(json.dumps(asdict(EngineChoice())))
        return made


def done(task: Task, job: Job, folder: Path) -> list[News]:
    """The news of a worker that does a task to its end in that folder."""
    task.began = time.monotonic()
    place = folder / job.job_id
    for piece in task.files():
        put_piece(place, piece)
    changes = FolderChanges(place, from_now=True)
    result = score(Job(place))
    return [*(News((piece,)) for piece in changes.take()), News(result=result)]


def losses(job: Job, role: str) -> list[str]:
    return sorted(one for path in job.shards_of(role) for one in read_shard(path)["example_id"].to_pylist())


def test_the_rest_of_a_slow_part_goes_to_another_worker_and_nothing_is_kept_twice(job: Job, tmp_path: Path) -> None:
    parts = ScoringParts(job, workers=1)
    slow = parts.next()
    assert slow is not None
    slow.began = time.monotonic() + 3600  # not at it for long, however slow this machine is
    number = 0
    while (task := parts.next()) is not None:
        number += 1
        for news in done(task, job, tmp_path / f"quick-{number}"):
            parts.take(task, "quick", news)
    slow.began -= 7200
    twin = parts.next()
    assert twin is not None
    assert twin.title == slow.title
    assert parts.next() is None  # two workers are enough
    late = done(slow, job, tmp_path / "slow")
    for news in late[:-1]:
        parts.take(slow, "slow", news)  # sent, but its end is not
    assert not parts.is_superfluous(slow)
    for news in done(twin, job, tmp_path / "twin"):
        parts.take(twin, "quick", news)
    assert parts.is_superfluous(slow)
    assert parts.is_done()
    for role in ("base", "reference"):
        assert len(losses(job, role)) == len(set(losses(job, role))) == ROWS


def test_what_a_dead_worker_had_sent_is_not_given_out_again(job: Job, tmp_path: Path) -> None:
    parts = ScoringParts(job, workers=1)
    task = parts.next()
    assert task is not None
    sent = [news for news in done(task, job, tmp_path / "dead") if news.result is None]
    for news in sent:
        parts.take(task, "dead", news)
    parts.give_up(task)
    following = parts.next()
    assert following is not None
    assert following.title != task.title


def test_all_workers_compute_as_the_first_one_chose(job: Job, tmp_path: Path) -> None:
    (job.folder / ENGINE_CHOICE).unlink()
    parts = ScoringParts(job, workers=2)
    task = parts.next()
    assert task is not None
    assert parts.next() is None
    for news in done(task, job, tmp_path / "first"):
        parts.take(task, "first", news)
    following = parts.next()
    assert following is not None
    sent = {piece.name: piece.data for piece in following.files()}
    assert sent[ENGINE_CHOICE] == (job.folder / ENGINE_CHOICE).read_bytes()


def test_it_is_remembered_how_often_a_worker_died_at_a_part(job: Job) -> None:
    parts = ScoringParts(job, workers=1)
    for deaths in range(3):
        task = parts.next()
        assert task is not None
        assert (task.title, task.deaths) == ("rows 0 to 75 for the base model", deaths)
        task.deaths += 1
        parts.give_up(task)


def test_parts_become_smaller_so_that_workers_end_together(job: Job) -> None:
    parts = ScoringParts(job, workers=1)
    titles = []
    while (task := parts.next()) is not None:
        titles.append(task.title)
    assert titles == [
        "rows 0 to 75 for the base model",
        "rows 75 to 139 for the base model",
        "rows 139 to 150 for the base model",
        "rows 0 to 75 for the reference model",
        "rows 75 to 139 for the reference model",
        "rows 139 to 150 for the reference model",
    ]
