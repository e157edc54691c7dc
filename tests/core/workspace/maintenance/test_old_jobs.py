"""Settled jobs cost the watcher nothing, and old ones go unless they hold something that is nowhere else."""

import json
import os
from pathlib import Path

import pytest

from core.jobs.job import Job, all_jobs, find_job
from core.scoring.planning import ScoreRequest, create_score_job, plan_scoring
from core.store import Store
from core.workspace.maintenance.kept_shards import notices_of
from core.workspace.maintenance.old_jobs import KEPT, remove_old_jobs
from core.workspace.supervisor import ingest_finished_jobs, intake_of
from tests.core.workspace.test_supervision import finish_scoring, losses, request_, store  # noqa: F401 (fixtures)


def settled_jobs(workspace: Path, count: int) -> list[Job]:
    """Settled jobs of the year 2000, before all that a test makes."""
    made = []
    for number in range(count):
        folder = workspace / "jobs" / f"20000101-000000-estimate-{number:04x}"
        folder.mkdir(parents=True)
        (folder / "job.json").write_text(json.dumps({"kind": "estimate", "dataset": "numbers"}))
        (folder / "outcome.json").write_text('{"state": "done"}')
        (folder / "settled").touch()
        made.append(Job(folder))
    return made


def test_the_newest_settled_jobs_stay_and_older_ones_go(store: Store) -> None:  # noqa: F811
    jobs = settled_jobs(store.workspace, KEPT + 3)
    unsettled = jobs[0]
    (unsettled.folder / "settled").unlink()
    notices_of(store)
    assert all_jobs(store.workspace) == [unsettled, *jobs[3:]]
    assert not jobs[1].folder.exists()


def test_a_job_with_a_second_copy_of_losses_or_a_model_stays(store: Store, request_: ScoreRequest) -> None:  # noqa: F811
    scored = create_score_job(store, plan_scoring(store, request_))
    finish_scoring(scored)
    ingest_finished_jobs(store)
    trained, damaged, *others = settled_jobs(store.workspace, KEPT + 3)
    (trained.folder / "model").mkdir()
    (damaged.folder / "job.json").write_bytes(b"")
    os.rename(scored.folder, store.workspace / "jobs" / "19990101-000000-score-0000")
    fields = json.loads((store.workspace / "jobs" / "19990101-000000-score-0000" / "job.json").read_text())
    fields["job"] = "19990101-000000-score-0000"
    (store.workspace / "jobs" / "19990101-000000-score-0000" / "job.json").write_text(json.dumps(fields))
    assert remove_old_jobs(store.workspace) == [others[0].job_id]
    kept = find_job(store.workspace, "19990101-000000-score-0000")
    assert len(list((kept.folder / "shards").iterdir())) == 2
    assert losses(store) > 0


def test_settled_jobs_are_looked_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    settled_jobs(store.workspace, 20)
    intake = intake_of(store)
    assert intake.open_jobs() == []
    looked: list[Path] = []
    exists = Path.exists

    def looking(path: Path) -> bool:
        looked.append(path)
        return exists(path)

    monkeypatch.setattr(Path, "exists", looking)
    for _ in range(3):
        intake.take_in()
    assert looked == []
