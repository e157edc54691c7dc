"""The queue outlives whoever filled it: a server that is started again goes on with it."""

import fcntl
import signal
from pathlib import Path

from core.jobs.job import all_jobs, create_job
from core.store import Store
from core.workspace.supervisor_thread import Supervisor
from tests import command_line
from tests.waiting import wait_for


def test_a_job_that_waited_when_its_owner_was_killed_is_started_by_the_next_one(
    tmp_path: Path, tiny_base: Path, tiny_reference: Path
) -> None:
    workspace = tmp_path / "w"
    rows = command_line.write_rows(tmp_path / "rows.jsonl", 6)
    command_line.result(workspace, "import", rows, "--dataset", "numbers")
    running = create_job(workspace, {"kind": "train", "name": "n", "dataset": "numbers"}, {})
    with open(running.folder / "worker.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        models = ["--base", tiny_base, "--reference", tiny_reference]
        command = command_line.start(workspace, "score", "--dataset", "numbers", *models, "--run", "first")
        wait_for(lambda: len(all_jobs(workspace)) == 2, "the second job")
        waiting = all_jobs(workspace)[1]
        wait_for(lambda: waiting.state == "waiting", "its place in the queue")
        listed = command_line.result(workspace, "jobs", "list")["jobs"]
        assert [(job["state"], job.get("place")) for job in listed] == [("running", None), ("waiting", 1)]
        moved = command_line.result(workspace, "jobs", "move", waiting.job_id, "--first")
        assert moved["queue"] == [waiting.job_id]
        command.send_signal(signal.SIGKILL)
        command.communicate()
        assert waiting.state == "waiting"
        assert not waiting.log_text
    with Store.open(workspace, "the next server") as store:
        supervisor = Supervisor(store)
        supervisor.start()
        try:
            wait_for(lambda: waiting.is_settled, "the end of the job that waited")
        finally:
            supervisor.stop()
        assert waiting.state == "done"
        assert store.rows("SELECT count(*) FROM run WHERE name = 'first'") == [(1,)]


def test_a_waiting_job_is_cancelled_and_a_partial_run_opened_from_the_command_line(tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    command_line.result(workspace, "status")
    job = create_job(workspace, {"kind": "train", "name": "n", "dataset": "numbers"}, {})
    (job.folder / "waiting.json").write_text('{"place": 1}', encoding="utf-8")
    assert "waiting, 1st in the queue" in command_line.run(workspace, "status").stdout
    assert command_line.result(workspace, "jobs", "cancel", job.job_id)["state"] == "cancelled"
    refused = command_line.run(workspace, "jobs", "open", job.job_id)
    assert (refused.returncode, "scores no dataset" in refused.stderr) == (1, True)
