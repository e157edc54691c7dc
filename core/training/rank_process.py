"""One of the processes that train a job's models together: python -m core.training.rank_process JOB_DIR NUMBER COUNT
DEVICE. Its standard input is a pipe from the worker that started it."""

import logging
import os
import signal
import socket
import sys
import threading
from datetime import timedelta
from pathlib import Path

from ..data.errors import JobCancelled, UserError
from ..jobs.job import Job
from ..jobs.job_progress import Progress
from ..models.known_hashes import use_workspace_of
from ..models.left_out_packages import leave_out_packages
from ..system.worker_log import log_for_people
from .training_processes import meeting_place, write_end

log = logging.getLogger("worker")

_NO_LIMIT = timedelta(weeks=50)
"""While the first process evaluates or saves the others wait; the worker ends them all if one ends."""


class _SilentJob(Job):
    """The job of a process that is not the first: it reports no progress."""

    def report(self, progress: Progress) -> None:
        """Nothing."""


def main(arguments: list[str]) -> int:
    """Train with the other processes; exits 0 when it has done its part, 1 when cancelled or failed."""
    folder, number, count, device = Path(arguments[0]), int(arguments[1]), int(arguments[2]), arguments[3]
    threading.Thread(target=_end_with_the_worker, daemon=True).start()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # sent to all processes, it cancels the job through the worker
    log_for_people(log)
    if number:
        log.setLevel(logging.WARNING)
    use_workspace_of(folder)
    job = _SilentJob(folder) if number else Job(folder)
    leave_out_packages(job.request)
    from .ranks import Ranks
    from .train import train_members

    try:
        _meet(job, number, count, device)
        result = train_members(job, Ranks(number, count))
        if number == 0:
            write_end(job, number, "done", result=result)
        return 0
    except UserError as error:
        write_end(job, number, "cancelled" if isinstance(error, JobCancelled) else "failed", message=str(error))
        return 1


def _end_with_the_worker() -> None:
    # Read by its descriptor: a thread that waits within sys.stdin would hold its lock at the end.
    while os.read(0, 1):
        pass
    os._exit(1)


def _meet(job: Job, number: int, count: int, device: str) -> None:
    from torch import distributed
    from torch.distributed import FileStore  # type: ignore[attr-defined]

    # They are processes of one machine: what they exchange goes over no network. The loopback device has index 1.
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        os.environ.setdefault(name, socket.if_indextoname(1))
    distributed.init_process_group(
        "nccl" if device == "cuda" else "gloo",
        store=FileStore(str(meeting_place(job)), count),  # torch does not decode the address of a file
        timeout=_NO_LIMIT,
        world_size=count,
        rank=number,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
