"""Starts the processes that train a job's models together, one per GPU, and watches them; `rank_process` is one."""

import json
import logging
import subprocess
import sys
import time
from os import environ
from pathlib import Path
from typing import Any

from ..data.errors import JobCancelled, JobFailed
from ..jobs.job import Job, read_examples_file
from ..models.devices import check_processes, process_environment, resolve_device
from ..system.atomic_files import write_whole
from ..system.program import HOME, module_command
from ..system.untrusted_json import read_json_object
from .folding import folds_of

log = logging.getLogger("worker")

_LOOK_SECONDS = 0.2
_FOLDER = "processes"


def meeting_place(job: Job) -> Path:
    """The file by which the processes of a job find each other."""
    return job.folder / _FOLDER / "meeting"


def write_end(job: Job, number: int, state: str, **fields: Any) -> None:
    """Say how a process ended: "done" with a `result`, "failed" or "cancelled" with a `message`."""
    write_whole(_end_of(job, number), [json.dumps({"state": state, **fields}).encode()])


def train_by_processes(job: Job, count: int, lock: int | None) -> dict[str, Any]:
    """Start `count` processes and wait for the first one's result. No process is left when this ends.

    lock: descriptor of the job's lock, which the processes hold too until they have ended. Raises the first failure
    of a process. If one is killed, this process ends as if it had been: without an outcome, so that the job can go on
    from its last checkpoint.
    """
    device = resolve_device(job.request["device"])
    check_processes(count, device)
    if job.request.get("folding"):  # made once, before they need them
        example_ids, _, domains = read_examples_file(job, "examples")
        folds_of(job, example_ids, domains)
    job.clear()
    (job.folder / _FOLDER).mkdir()
    log.info("%s processes on %s", count, device)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(count):
            processes.append(_start(job, number, count, device, lock))
        while not any(process.poll() for process in processes) and not _ends(job):
            time.sleep(_LOOK_SECONDS)
        codes = [process.poll() for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    return _result(job, codes)


def _start(job: Job, number: int, count: int, device: str, lock: int | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        module_command("training.rank_process", str(job.folder), str(number), str(count), device),
        stdin=subprocess.PIPE,  # its end tells the process that this one has ended
        stdout=subprocess.DEVNULL,
        pass_fds=() if lock is None else (lock,),
        cwd=HOME,
        env={**environ, **process_environment(device, number, count)},
    )


def _result(job: Job, codes: list[int | None]) -> dict[str, Any]:
    """The result of the first process; `codes`: exit codes of the processes that had ended."""
    ends = _ends(job)
    for end in ends:
        if end["state"] == "done":
            result: dict[str, Any] = end["result"]
            return result
    for end in ends:
        raise (JobCancelled if end["state"] == "cancelled" else JobFailed)(end["message"])
    for number, code in enumerate(codes, 1):
        if code is not None and code < 0:
            sys.exit(
                f"Process {number} of {len(codes)} of the training was stopped by signal {-code}. The others were "
                "ended; the job can go on from its last checkpoint."
            )
    raise JobFailed(f"A process of the training stopped on an unexpected error. See {job.folder.name}/worker.log.")


def _ends(job: Job) -> list[dict[str, Any]]:
    return [read_json_object(path) for path in sorted((job.folder / _FOLDER).glob("*.json"))]


def _end_of(job: Job, number: int) -> Path:
    return job.folder / _FOLDER / f"{number:02d}.json"
