"""A worker: python -m core.worker JOB_DIR. Computes what the job asks for and never opens the store."""

import fcntl
import logging
import signal
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from .data.errors import JobCancelled, JobFailed, UserError
from .jobs.executors import CLUSTER
from .jobs.job import Job
from .jobs.results import counted_results
from .jobs.side_by_side import at_once_of, slot_of
from .models.devices import keep_to_share
from .models.known_hashes import use_workspace_of
from .models.left_out_packages import leave_out_packages
from .system.disk_errors import translate_disk_errors
from .system.worker_log import in_short, log_for_people
from .workspace.job_kinds import JOB_KINDS, JobKind, unknown_kind_sentence

log = logging.getLogger("worker")


def main(arguments: list[str]) -> int:
    """Run the job of the folder given; exit 0 done, 1 failed or cancelled, 2 usage."""
    if len(arguments) != 1 or not Path(arguments[0], "job.json").exists():
        sys.stderr.write("Usage: python -m core.worker JOB_DIR (a folder that holds job.json)\n")
        return 2
    folder = Path(arguments[0]).resolve()
    log_for_people(log)
    use_workspace_of(folder)

    def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
        (folder / "cancel").touch()

    signal.signal(signal.SIGTERM, ask_to_stop)
    with suppress(UserError, OSError):  # a request that cannot be read is refused when the job is run
        leave_out_packages(Job(folder).request)
        _keep_to_slot(Job(folder))
    return run(folder)


def run(folder: Path) -> int:
    """Lock the job of that folder, run it and write its outcome; 0 done, 1 failed, cancelled or run by another."""
    job = Job(folder)
    with open(job.folder / "worker.lock", "a", encoding="utf-8") as lock:
        if not _lock(lock):
            log.info("another worker is at this job")
            return 1
        return _run_to_outcome(job, lock)


def _keep_to_slot(job: Job) -> None:
    """Before torch is imported: use only what this one of several jobs side by side may use."""
    if (slot := slot_of(job)) is not None:
        keep_to_share(job.request.get("device", "auto"), slot, at_once_of(job))


def _lock(lock: TextIO) -> bool:
    """Take the job. Whoever looks whether it is taken holds it for a moment too, so one refusal is not enough."""
    for _ in range(20):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.05)
    return False


def _run_to_outcome(job: Job, lock: TextIO) -> int:
    try:
        with translate_disk_errors("What the worker finished"):
            if job.kind not in JOB_KINDS:
                raise JobFailed(unknown_kind_sentence(job))
            kind = JOB_KINDS[job.kind]
            result = _computed(job, kind, lock)
            job.finish({"state": "done", **result, **counted_results(job, kind.results)})
        log.info("done")
        return 0
    except JobCancelled as error:
        log.info("cancelled: %s", error)
        _end(job, "cancelled", str(error))
    except UserError as error:
        log.info("failed: %s", error)
        _end(job, "failed", str(error))
    # The worker's last line of defence: whatever broke, the person gets a sentence and the log gets the traceback.
    except Exception as error:  # noqa: BLE001
        log.info("failed unexpectedly:\n%s", traceback.format_exc())
        message = f"The worker stopped on an unexpected error ({in_short(error)}). See {job.folder.name}/worker.log."
        _end(job, "failed", message)
    return 1


def _computed(job: Job, kind: JobKind, lock: TextIO) -> dict[str, Any]:
    if job.executor_name == CLUSTER:
        from .workspace.cluster.cluster_work import work_on_cluster

        return work_on_cluster(job, kind.work, kind.work_function)
    work = kind.work_function()
    return work(job, lock.fileno()) if kind.shares_lock else work(job)


def _end(job: Job, state: str, message: str) -> None:
    """Write the outcome of a job that is not done. It counts what the job made, unless that cannot be read either."""
    counted = {}
    with suppress(UserError, OSError):
        kind = JOB_KINDS.get(job.kind)
        counted = counted_results(job, kind.results if kind else ())
    job.finish({"state": state, "message": message, **counted})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
