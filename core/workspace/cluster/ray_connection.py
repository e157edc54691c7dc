"""The connection of this process to a Ray cluster, and how much of it one worker of a job takes."""

import logging
import math
import os
import signal
import socket
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ...data import settings
from ...data.errors import JobFailed
from ...jobs.job import Job
from .model_staging import specs_of

log = logging.getLogger("worker")
_ANSWER_SECONDS = 10.0
_GPU_CPUS = 2.0
"""Cores of a worker that has a GPU: one feeds it, one tokenises."""
_SMALL_MODEL = 2**30
"""Weights up to this size [bytes on disk] leave half of a GPU to another worker."""


@dataclass(frozen=True, slots=True)
class Room:
    """What one worker takes of a node: CPUs, and GPUs or a part of one."""

    cpus: float
    gpus: float

    def __str__(self) -> str:
        return f"{self.cpus:g} CPUs" + (f" and {self.gpus:g} GPUs" if self.gpus else "")


def connect(job: Job) -> Any:
    """Connect to the cluster that a job names; gives the module `ray`. Raises `JobFailed`."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = str(option(job, "ray_address"))
    if address.startswith("ray://"):
        raise JobFailed(
            f"The address {address} is one of Ray's client, which cannot run this. Join the cluster from this machine "
            "(ray start --address HOST:6379 --num-cpus 0), and leave the address at auto."
        )
    _check_answers(address)
    ray = import_module("ray")
    on_stop = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=address, namespace="lobass", log_to_driver=False, configure_logging=False, ignore_reinit_error=True
        )
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise _unreachable(address, error) from error
    if on_stop is not None:
        signal.signal(signal.SIGTERM, on_stop)  # Ray puts its own in its place
    return ray


def _check_answers(address: str) -> None:
    """Raise `JobFailed` if nobody listens at the address: Ray would try for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon:  # such as auto
        return
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> JobFailed:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return JobFailed(
        f"No Ray cluster at {address!r} ({reason}). Start one (ray start --head), or name its address with "
        "--ray-address."
    )


def option(job: Job, name: str) -> int | float | str:
    """A setting of the cluster, as it was when the job was made."""
    kept: dict[str, int | float | str] = job.request.get("executor_settings", {})
    return kept[name] if name in kept else settings.value(name)


def room_of(ray: Any, job: Job) -> Room:
    """What a worker on this job takes, by the settings, the models' size and the nodes that are there."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    device = job.request.get("device", "cpu")
    has_gpus = any(node.get("GPU") for node in nodes)
    cpus, gpus = float(option(job, "ray_cpus")), float(option(job, "ray_gpus"))
    if device == "cpu" or not (has_gpus or device == "cuda"):
        smallest = min((node["CPU"] for node in nodes if node.get("CPU")), default=1.0)
        return Room(cpus or smallest, 0.0)
    return Room(cpus or _GPU_CPUS, gpus or (0.5 if _weights(job) <= _SMALL_MODEL else 1.0))


def workers_possible(ray: Any, room: Room) -> int:
    """How many workers the nodes that are there hold, whatever else runs on them."""
    return sum(_fitting(node["Resources"], room) for node in ray.nodes() if node["Alive"])


def _fitting(node: dict[str, float], room: Room) -> int:
    fits = math.floor(node.get("CPU", 0.0) / room.cpus)
    return min(fits, math.floor(node.get("GPU", 0.0) / room.gpus)) if room.gpus else fits


def _weights(job: Job) -> int:
    """Size of the largest model's weights [bytes]."""
    folders = {spec["path"] for spec in specs_of(job.request)}
    return max((sum(path.stat().st_size for path in Path(one).glob("*.safetensors")) for one in folders), default=0)
