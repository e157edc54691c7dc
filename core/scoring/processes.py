"""Runs several processes on one scoring job, one per GPU; they share its chunks by leases, and this one watches them.

    python -m core.scoring.processes JOB_DIR NUMBER COUNT DEVICE     one of them; writes its progress to processes/

When a process dies its leases are released, and the others compute what it had not finished.
"""

import json
import logging
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from ..data.errors import JobCancelled, JobFailed, JsonInvalid, UserError
from ..data.json_types import checked
from ..jobs.job import Job
from ..models.devices import process_environment
from ..models.known_hashes import use_workspace_of
from ..models.left_out_packages import leave_out_packages
from ..system.atomic_files import write_whole
from ..system.program import HOME, module_command
from ..system.untrusted_json import read_json_object
from ..system.worker_log import log_for_people
from .passes import Pass, are_apart, plan_passes, why_apart
from .progress import ProcessTally, progress_of

log = logging.getLogger("worker")

_LOOK_SECONDS = 0.2


def score_by_processes(job: Job, passes: list[Pass], device: str, count: int, lock: int | None) -> int:
    """Start `count` processes and wait until everything is computed; returns tokens.

    lock: descriptor of the job's lock. The processes hold it too: if this one is killed, the job counts as running
    until they notice and stop. Raises the first failure of a process if rows remain.
    """
    job.clear()
    log.info("%s processes on %s", count, device)
    processes = [_start(job, number, count, device, lock) for number in range(count)]
    began_with = [one.count()[0] for one in passes]
    told: set[int] = set()
    were_apart = are_apart(job)
    while any(process.poll() is None for process in processes):
        _tell_of_the_dead(processes, told)
        tallies = _tallies(job, count)
        if are_apart(job) != were_apart:  # checked after the tallies, which may belong to new passes
            log.info("%s", why_apart(job))
            were_apart, passes = True, plan_passes(job)
            began_with = [one.count()[0] for one in passes]
        _report(job, passes, began_with, tallies)
        time.sleep(_LOOK_SECONDS)
    _tell_of_the_dead(processes, told)
    passes = plan_passes(job) if are_apart(job) != were_apart else passes
    for one in passes:
        one.refresh()
    missing = [one for one in passes if one.waiting_rows().any()]
    if missing and job.is_cancelled:
        done, total = missing[0].count()
        raise JobCancelled(f"Cancelled at {done:,} of {total:,} rows of {missing[0].models}.")
    if missing:
        raise JobFailed(_first_failure(job, count))
    return sum(tally.tokens for tally in _tallies(job, count))


def _start(job: Job, number: int, count: int, device: str, lock: int | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        module_command("scoring.processes", str(job.folder), str(number), str(count), device),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=() if lock is None else (lock,),
        cwd=HOME,
        env={**os.environ, **process_environment(device, number, count)},
    )


def _tell_of_the_dead(processes: list[subprocess.Popen[bytes]], told: set[int]) -> None:
    for number, process in enumerate(processes):
        status = process.poll()
        if status is not None and status < 0 and number not in told:
            told.add(number)
            log.info("process %s was stopped by signal %s; the other processes take over its chunks", number, -status)


def _report(job: Job, passes: list[Pass], began_with: list[int], tallies: list[ProcessTally]) -> None:
    if not tallies:
        return
    index = min(tally.pass_index for tally in tallies)
    there = [tally for tally in tallies if tally.pass_index == index]
    total = passes[index].count()[1]
    job.report(progress_of(min(total, began_with[index] + sum(tally.rows for tally in there)), total, there))


def _tallies(job: Job, count: int) -> list[ProcessTally]:
    """The last progress written by each process."""
    tallies = []
    for path in (_path(job, number) for number in range(count)):
        with suppress(FileNotFoundError, JsonInvalid):  # progress: people see it, and no result depends on it
            tallies.append(checked(read_json_object(path), ProcessTally, str(path)))
    return tallies


def _path(job: Job, number: int) -> Path:
    return job.folder / "processes" / f"{number:02d}.json"


def _first_failure(job: Job, count: int) -> str:
    for number in range(count):
        failure = job.folder / "processes" / f"{number:02d}.failure"
        if failure.exists():
            return failure.read_text(encoding="utf-8")
    return (
        f"All {count} processes of the job ended before it was finished (see {job.folder.name}/worker.log). "
        "Finished losses are kept: run the same command again to resume."
    )


def main(arguments: list[str]) -> int:
    """Run one of a job's processes; exits 0 when all is done, 1 when cancelled, failed or orphaned."""
    parent = os.getppid()
    log_for_people(log)
    use_workspace_of(Path(arguments[0]))
    job, number, count, device = Job(Path(arguments[0])), int(arguments[1]), int(arguments[2]), arguments[3]
    leave_out_packages(job.request)
    from .process import BaseNotKept, ScoringProcess

    def write(tally: ProcessTally) -> None:
        path = _path(job, number)
        path.parent.mkdir(exist_ok=True)
        write_whole(path, [json.dumps(asdict(tally)).encode()])

    def check() -> None:
        if os.getppid() != parent:
            raise JobCancelled("The worker that started this process has ended.")

    def work() -> None:
        ScoringProcess(job, plan_passes(job), device, write, number, count, check).run()

    try:
        with suppress(BaseNotKept):
            work()
            return 0
        work()
        return 0
    except JobCancelled:
        return 1
    except UserError as error:
        log.info("process %s: %s", number, error)
        failure = _path(job, number).with_suffix(".failure")
        failure.parent.mkdir(exist_ok=True)
        failure.write_text(str(error), encoding="utf-8")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
