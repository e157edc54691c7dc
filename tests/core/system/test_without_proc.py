"""Systems without /proc, such as macOS: nothing fails for want of it, and the limit that is then missing is said.

Run here on Linux with /proc hidden: every opening of a file below it fails, in all processes that a test starts.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.jobs.job import Job, all_jobs
from core.scoring.planning import ScoreRequest, create_estimate_job, plan_scoring
from core.store import Store
from core.system import process_facts
from tests import command_line

HIDING = """
import sys, time

def hide(event, arguments):
    if event == "open" and str(arguments[0]).startswith("/proc/"):
        raise FileNotFoundError(2, "No such file or directory", str(arguments[0]))

sys.addaudithook(hide)
del time.CLOCK_BOOTTIME
"""


@pytest.fixture
def without_proc(tmp_path: Path) -> dict[str, str]:
    """The environment in which Python hides /proc from itself as it starts."""
    folder = tmp_path / "hiding"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(HIDING, encoding="utf-8")
    return {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def no_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_facts, "PROC", tmp_path / "no proc")


def test_a_run_without_proc_gives_the_losses_of_one_with_it(
    tmp_path: Path, without_proc: dict[str, str], tiny_base: Path, tiny_reference: Path
) -> None:
    rows = command_line.write_rows(tmp_path / "rows.jsonl", 20)
    found = {}
    for name, environment in (("with", {}), ("without", without_proc)):
        workspace = tmp_path / name
        command_line.result(workspace, "import", rows, "--dataset", "numbers", **environment)
        models = ["--base", tiny_base, "--reference", tiny_reference]
        command_line.result(workspace, "score", "--dataset", "numbers", "--run", "numbers", *models, **environment)
        found[name] = command_line.losses(workspace, "numbers", tmp_path)
    assert len(found["with"]) == 20
    assert found["without"] == found["with"]
    log = all_jobs(tmp_path / "without")[-1].log_text
    assert log.count("This system cannot limit a process's memory") == 1
    assert "cannot limit" not in all_jobs(tmp_path / "with")[-1].log_text


def test_an_estimate_without_proc_counts_from_the_workers_first_imports(
    tmp_path: Path, without_proc: dict[str, str], tiny_base: Path, tiny_reference: Path
) -> None:
    rows = command_line.write_rows(tmp_path / "rows.jsonl", 20)
    command_line.result(tmp_path / "w", "import", rows, "--dataset", "numbers")
    request = ScoreRequest("numbers", str(tiny_base), str(tiny_reference), device="cpu")
    with Store.open(tmp_path / "w", "a test") as store:
        job = create_estimate_job(store, plan_scoring(store, request))
    began = time.monotonic()
    worker = [sys.executable, "-m", "core.worker", str(job.folder)]
    done = subprocess.run(
        worker, cwd=command_line.ROOT, env={**os.environ, **without_proc}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    outcome = Job(job.folder).outcome
    assert outcome is not None
    assert 0 < outcome["seconds"] < 2 * (time.monotonic() - began)


def test_the_age_of_a_process_grows_with_the_clock_where_there_is_no_proc(no_proc: None) -> None:
    before, began = process_facts.process_age(), time.monotonic()
    assert before >= 0
    assert process_facts.process_age() - before <= time.monotonic() - began + 0.001


def test_with_proc_the_age_of_a_process_is_that_of_the_whole_process() -> None:
    code = (
        "import time; began = time.time(); from core.system.process_facts import process_age; import json, sys\n"
        "sys.stdin.read(); print(json.dumps([process_age(), time.time() - began]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=command_line.ROOT, input="", capture_output=True, text=True, check=True
    )
    age, since_code = json.loads(done.stdout)
    assert age >= since_code - 0.02  # ticks of a hundredth of a second


def test_a_worker_is_found_by_its_command_line_where_there_is_no_proc(no_proc: None) -> None:
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", "/jobs/20260101-000000-score-abcd"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process_facts.works_on(process.pid, "20260101-000000-score-abcd")
        assert not process_facts.works_on(process.pid, "20260101-000000-score-other")
        process.communicate()
    assert not process_facts.works_on(process.pid, "20260101-000000-score-abcd")


def test_a_worker_that_ended_is_none_where_there_is_no_proc_either(no_proc: None) -> None:
    process = subprocess.Popen([sys.executable, "-c", "", "20260101-000000-score-abcd"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and a zombie until somebody asks for it
    assert not process_facts.works_on(process.pid, "20260101-000000-score-abcd")
    process.wait()
    assert not process_facts.works_on(process.pid, "20260101-000000-score-abcd")


@pytest.mark.usefixtures("no_proc")
def test_the_peak_of_memory_is_known_without_proc() -> None:
    assert 10 * 2**20 < process_facts.peak_resident_bytes() < process_facts.machine_memory()
