"""Whether a trial is being planned or run: small files in its folder, written by the workspace's owner.

trials/NAME/request.json  what is to be planned, until the plan is fixed
trials/NAME/running       exists while the owner advances the trial: the jobs that it waits for
trials/NAME/failed        why the trial stopped, until it is started again
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..data.errors import JsonInvalid, TrialInvalid
from ..data.json_types import checked_fields
from ..jobs.side_by_side import MOST_AT_ONCE
from ..system.atomic_files import write_durably
from ..system.permission import require_change
from ..system.untrusted_json import read_json_object
from .trial_folder import PLAN_FILE, trial_folder

_REQUEST, _RUNNING, _FAILED = "request.json", "running", "failed"


@dataclass(frozen=True, slots=True)
class Begun:
    """A job that a trial waits for: its id, the model that it makes (empty while the trial is planned), and how often
    its worker was started."""

    job: str
    cell: str = ""
    starts: int = 1


@dataclass(frozen=True, slots=True)
class Running:
    """A trial that is advanced: since when (ISO 8601), how many of its models may be trained at once, and the jobs that
    it waits for. `failure`: why it stops when these have ended."""

    name: str
    since: str
    at_once: int = 1
    jobs: tuple[Begun, ...] = ()
    failure: str = ""


def running_trials(workspace: Path) -> list[Running]:
    """The trials that are advanced, in the order in which they were started."""
    found = (_read(path) for path in (workspace / "trials").glob(f"*/{_RUNNING}"))
    return sorted(found, key=lambda running: (running.since, running.name))


def running_trial(workspace: Path, name: str) -> Running | None:
    """How far a trial is advanced, None if it is not."""
    path = trial_folder(workspace, name) / _RUNNING
    return _read(path) if path.exists() else None


def mark_running(workspace: Path, name: str, at_once: int = 1) -> None:
    """Have a trial advanced from now on, as many models at once; repeating changes nothing."""
    require_change()
    (trial_folder(workspace, name) / _FAILED).unlink(missing_ok=True)
    if running_trial(workspace, name) is None:
        save_running(workspace, Running(name, datetime.now(UTC).isoformat(), at_once))


def save_running(workspace: Path, running: Running) -> None:
    """Record which jobs a trial waits for."""
    _write(trial_folder(workspace, running.name) / _RUNNING, asdict(running))


def mark_stopped(workspace: Path, name: str, failure: str = "") -> None:
    """Advance a trial no more; `failure` says why, if it could not go on."""
    require_change()
    folder = trial_folder(workspace, name)
    if failure:
        _write(folder / _FAILED, {"message": failure})
    (folder / _RUNNING).unlink(missing_ok=True)


def failure_of(workspace: Path, name: str) -> str:
    """Why a trial could not go on; empty if nothing is known against it."""
    return str(_fields(trial_folder(workspace, name) / _FAILED).get("message", ""))


def requested_trials(workspace: Path) -> list[str]:
    """Names of the trials that are not planned yet."""
    folders = (path.parent for path in (workspace / "trials").glob(f"*/{_REQUEST}"))
    return sorted(folder.name for folder in folders if not (folder / PLAN_FILE).exists())


def save_request(workspace: Path, name: str, request: dict[str, Any]) -> None:
    """Keep what is to be planned."""
    folder = trial_folder(workspace, name)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / _REQUEST, request)


def read_request(workspace: Path, name: str) -> dict[str, Any]:
    """What is to be planned. Raises `TrialInvalid` if it cannot be read."""
    found = _fields(trial_folder(workspace, name) / _REQUEST)
    if not found:
        raise TrialInvalid(f"The request for the trial {name!r} cannot be read. Discard it and plan the trial again.")
    return found


def forget_request(workspace: Path, name: str) -> None:
    """Remove what was to be planned, once it is."""
    (trial_folder(workspace, name) / _REQUEST).unlink(missing_ok=True)


def _read(path: Path) -> Running:
    """A marker that is empty or damaged means a trial that waits for no job, and has its models one after another."""
    name, fields = path.parent.name, _fields(path)
    job, starts = fields.pop("job", ""), fields.pop("starts", 1)  # earlier versions wrote one
    if job:
        fields["jobs"] = [{"job": job, "starts": starts}]
    try:
        found = Running(**checked_fields({"since": "", **fields, "name": name}, Running, str(path)))
    except JsonInvalid:
        return Running(name, "")
    return found if 1 <= found.at_once <= MOST_AT_ONCE else Running(name, "")


def _fields(path: Path) -> dict[str, Any]:
    try:
        return read_json_object(path)
    except (OSError, JsonInvalid):
        return {}


def _write(path: Path, fields: dict[str, Any]) -> None:
    write_durably(path, [json.dumps(fields, ensure_ascii=False, indent=1).encode()])
