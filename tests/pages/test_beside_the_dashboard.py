"""The command line beside a dashboard that holds the workspace, with a job of its under way."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.jobs.job import all_jobs
from core.scoring.planning import ScoreRequest
from core.workspace.supervisor import begin_scoring
from tests import command_line
from tests.core.scored_rows import ScoredRow, add_scored_run
from tests.waiting import wait_for
from ui.shell.session import close_sessions, open_session

PAGE = Path(__file__).parents[2] / "pages" / "score_page.py"
ROWS = [ScoredRow(domain, 10.0, 9.0 - number / 4) for number in range(10) for domain in ("chat", "math")]


@pytest.fixture
def dashboard(page_workspace: Path, tiny_base: Path, tiny_reference: Path) -> Iterator[Path]:
    """A workspace that the dashboard's page holds, with a scored run and a job whose worker was stopped midway."""
    page = AppTest.from_file(str(PAGE), default_timeout=60).run()
    assert not page.exception
    store = open_session().store
    add_scored_run(store, ROWS, run="few", dataset="few")
    add_scored_run(store, [ScoredRow("chat", 1.0, 1.0) for _ in range(300)], run="by hand", dataset="many")
    _, job = begin_scoring(store, ScoreRequest("many", str(tiny_base), str(tiny_reference), run="many", device="cpu"))
    assert job is not None
    wait_for(lambda: job.is_alive, "the worker's start")
    worker = int(json.loads((job.folder / "starting.json").read_text(encoding="utf-8"))["process"])
    os.kill(worker, signal.SIGSTOP)
    yield page_workspace
    assert job.state == "running"
    os.kill(worker, signal.SIGKILL)


def given(workspace: Path, folder: Path) -> dict[str, Any]:
    """What the four commands give, without what differs between two moments."""
    folder.mkdir()
    table, kept = folder / "losses.parquet", folder / "kept.jsonl"
    answers = {
        "losses": command_line.result(workspace, "losses", "--run", "few", "--output", table),
        "select": command_line.result(workspace, "select", "--run", "few", "--name", "best", "--ratio", "0.5"),
        "export": command_line.result(workspace, "export", "--selection", "best", "--output", kept),
        "status": command_line.result(workspace, "status"),
    }
    answers["status"].pop("jobs")
    return {**json.loads(json.dumps(answers).replace(str(folder), "F")), "table": table.read_bytes()}


def test_the_four_commands_give_beside_the_dashboard_what_they_give_without_it(dashboard: Path, tmp_path: Path) -> None:
    assert [job.state for job in all_jobs(dashboard)] == ["running"]
    beside = given(dashboard, tmp_path / "beside")
    refused = command_line.run(dashboard, "import", tmp_path / "none.jsonl", "--dataset", "more")
    assert refused.returncode == 1
    assert "is in use by the dashboard (process " in refused.stderr
    close_sessions()
    assert beside == given(dashboard, tmp_path / "alone")
    assert beside["select"]["kept"] == 10
    assert list((dashboard / "requests").iterdir()) == []
