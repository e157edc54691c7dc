"""The demo from its button on the Data page to the link that explores it, on the first of its rows.

tests/test_demo.py runs it whole, by the command.
"""

import fcntl
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.jobs.job import Job, create_job
from core.jobs.job_progress import Progress
from core.workspace import demo
from tests.inline_executor import run_default_jobs_inline
from tests.pages.test_data_page import button, healthy, text_of
from tests.waiting import wait_for
from ui.shell.session import open_session

PAGE = Path(__file__).parents[2] / "pages" / "data_page.py"
ROWS = 48


def opened() -> AppTest:
    return healthy(AppTest.from_file(str(PAGE), default_timeout=300).run())


def test_the_button_runs_the_demo_to_the_link_that_explores_it(
    page_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = demo.DATASET.read_bytes().splitlines(keepends=True)[:ROWS]
    (tmp_path / "dataset.jsonl").write_bytes(b"".join(rows))
    monkeypatch.setattr(demo, "DATASET", tmp_path / "dataset.jsonl")
    monkeypatch.setenv("LOBASS_DEMO_EPOCHS", "1")
    run_default_jobs_inline(monkeypatch)
    phases: set[str] = set()
    report = Job.report

    def noted(job: Job, progress: Progress) -> None:
        phases.add(progress.phase)
        report(job, progress)

    monkeypatch.setattr(Job, "report", noted)
    healthy(button(opened(), "Run the demo").click().run())
    wait_for(lambda: len(open_session().store.rows("SELECT 1 FROM selection")) == 1, "the demo's selection", 300)
    assert {"Training model 1 of 2", "Training model 2 of 2"} <= phases
    store = open_session().store
    scored = f"SELECT count(*), count(base_loss), count(reference_loss) FROM {store.run(demo.NAME)['table']}"
    assert store.rows(scored) == [(ROWS, ROWS, ROWS)]
    assert store.rows("SELECT name FROM selection") == [(demo.SELECTION,)]
    assert "Explore the demo" in text_of(opened())


def test_the_page_says_which_model_of_the_demo_is_trained(page_workspace: Path) -> None:
    opened()
    request = {"kind": "train", "name": demo.REFERENCE, "dataset": demo.NAME, "base": {"label": "b"}}
    job = create_job(page_workspace, request, {})
    job.report(Progress("Training model 1 of 2", 3, 12, "steps"))
    with open(job.folder / "worker.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "Training model 1 of 2: 3 of 12 steps" in text_of(opened())
