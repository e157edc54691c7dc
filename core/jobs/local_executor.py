"""Runs jobs as processes of this machine: a worker is alive while it holds the lock in the job's folder."""

import json
import subprocess
from pathlib import Path

from ..data.errors import JsonInvalid
from ..system.atomic_files import write_durably
from ..system.ownership import is_locked
from ..system.process_facts import works_on
from ..system.program import HOME, module_command
from ..system.untrusted_json import read_json_object

_STARTING = "starting.json"
_PROCESS_LIMIT = 2**31


class LocalExecutor:
    """A worker is a process in a session of its own, so it outlives this one."""

    def start(self, folder: Path) -> subprocess.Popen[bytes]:
        """Start the worker's process; its output goes to `worker.log`.

        Popen, not multiprocessing: its spawn would run the dashboard's script again in the child.
        """
        with open(folder / "worker.log", "ab") as log:
            process = subprocess.Popen(
                module_command("worker", str(folder)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=HOME,
            )
        write_durably(folder / _STARTING, [json.dumps({"process": process.pid}).encode()])
        return process

    def is_alive(self, folder: Path) -> bool:
        """Whether the lock is held, or the process that was started has not reached it yet."""
        return is_locked(folder / "worker.lock") or self._just_started(folder)

    def cancel(self, folder: Path) -> None:
        """Leave the file that the worker looks for after each batch."""
        (folder / "cancel").touch()

    def collect(self, folder: Path) -> None:
        """Nothing to bring: the worker writes into the folder itself."""

    def _just_started(self, folder: Path) -> bool:
        """A worker needs a moment from its start to its lock; its process id is known meanwhile."""
        try:
            process = read_json_object(folder / _STARTING).get("process")
        except (FileNotFoundError, JsonInvalid):  # a damaged file says nothing: the lock tells whether a worker runs
            return False
        return isinstance(process, int) and 0 < process < _PROCESS_LIMIT and works_on(process, folder.name)
