"""The command line beside a dashboard that holds the workspace, with a job of its under way."""

import fcntl
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from core.cli.commands import app
from core.jobs.job import all_jobs
from core.scoring.planning import ScoreRequest, create_score_job, plan_scoring
from tests import command_line
from tests.core.scored_rows import ScoredRow, add_scored_run
from ui.shell.session import close_sessions, open_session

PAGE = Path(__file__).parents[2] / "pages" / "score_page.py"
ROWS = [ScoredRow(domain, 10.0, 9.0 - number / 4) for number in range(10) for domain in ("chat", "math")]


@pytest.fixture
def dashboard(page_workspace: Path, tiny_base: Path, tiny_reference: Path) -> Iterator[Path]:
    """A workspace that the dashboard's page holds, with a scored run and a job that this test is the worker of."""
    page = AppTest.from_file(str(PAGE), default_timeout=300).run()
    assert not page.exception
    store = open_session().store
    add_scored_run(store, ROWS, run="few", dataset="few")
    add_scored_run(store, [ScoredRow("chat", 1.0, 1.0) for _ in range(300)], run="by hand", dataset="many")
    request = ScoreRequest("many", str(tiny_base), str(tiny_reference), run="many", device="cpu")
    job = create_score_job(store, plan_scoring(store, request))
    with open(job.folder / "worker.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield page_workspace
        assert job.state == "running"


def in_this_process(workspace: Path, *arguments: object) -> dict[str, Any]:
    """What `command_line.result` gives, from a workspace that this process does not hold."""
    done = CliRunner().invoke(app, [*map(str, arguments), "--json", "--workspace", str(workspace)])
    assert done.exit_code == 0, done.stderr
    return dict(json.loads(done.stdout))


def given(workspace: Path, folder: Path, result: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """What the four commands give, without what differs between two moments."""
    folder.mkdir()
    table, kept = folder / "losses.parquet", folder / "kept.jsonl"
    answers = {
        "losses": result(workspace, "losses", "--run", "few", "--output", table),
        "select": result(workspace, "select", "--run", "few", "--name", "best", "--ratio", "0.5"),
        "export": result(workspace, "export", "--selection", "best", "--output", kept),
        "status": result(workspace, "status"),
    }
    answers["status"].pop("jobs")
    return {**json.loads(json.dumps(answers).replace(str(folder), "F")), "table": table.read_bytes()}


def test_the_four_commands_give_beside_the_dashboard_what_they_give_without_it(dashboard: Path, tmp_path: Path) -> None:
    assert [job.state for job in all_jobs(dashboard)] == ["running"]
    beside = given(dashboard, tmp_path / "beside", command_line.result)
    refused = command_line.run(dashboard, "import", tmp_path / "none.jsonl", "--dataset", "more")
    assert refused.returncode == 1
    assert "is in use by the dashboard (process " in refused.stderr
    close_sessions()
    assert beside == given(dashboard, tmp_path / "alone", in_this_process)
    assert beside["select"]["kept"] == 10
    assert list((dashboard / "requests").iterdir()) == []
