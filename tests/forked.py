"""Processes forked from one that has imported what they need: a worker's start takes tenths of a second, not six.
So are the processes that a worker starts to train with.

A server of each kind (`KINDS`) is started when it is first asked. What it forks is a process like any other: with its
own id and command line, its descriptors, environment and folder; a worker has a session of its own. What a process does
before its first import is all that is not the same, so tests of the start itself start a Python.
"""

import ctypes
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_PLACE = "TESTS_FORKED_FROM"
"""Environment variable: the folder of the servers' sockets, for processes that they forked."""
_OWN = ("LOBASS_", "TESTS_FORKED", "PYTEST_", "OMP_NUM_THREADS", "COLUMNS", "TORCHINDUCTOR_")
"""Beginnings of the variables in which a forked process may differ from its server: nothing reads them at its start."""
_SERVER_OF = {"core.training.rank_process": "core.worker"}
"""The server of modules that have none of their own: it has imported what they need."""
_ROOM = "-" * 600
"""An argument of the server, in whose place a forked process writes its own command line."""

KINDS = {
    "core.worker": (
        "core.workspace.job_kinds",
        "core.models.left_out_packages",
        "peft",
        "core.training.train",
        "core.training.probe",
        "core.scoring.scoring_job",
        "core.scoring.process",
        "core.scoring.estimating",
        "transformers.models.llama.modeling_llama",
        "peft.utils.transformers_weight_conversion",
        "pyarrow.dataset",
    ),
    "core": (
        "core.cli.commands",
        "typer._adapters",
        "pydantic.dataclasses",
        "pydantic.plugin._loader",
        "rich._emoji_codes",
    ),
}
"""What a server of each module's processes imports, once the first is asked for."""


class Forked:
    """A forked process, with what is used of `Popen`; exit codes are negative for a signal. `stdin`: the descriptor of
    the pipe that it reads, if there is one."""

    def __init__(self, connection: socket.socket, stdin: int | None = None) -> None:
        self._connection, self._stdin = connection, stdin
        self._code: int | None = None
        self.pid = self._number()

    def wait(self) -> int:
        if self._code is None:
            with self._connection:
                self._code = self._number()
            if self._stdin is not None:
                os.close(self._stdin)
        return self._code

    def poll(self) -> int | None:
        if self._code is None and select.select([self._connection], [], [], 0)[0]:
            self.wait()
        return self._code

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def communicate(self) -> None:
        self.wait()

    def _number(self) -> int:
        line = b""
        while not line.endswith(b"\n"):  # no more than the line, so that whoever looks sees whether there is another
            byte = self._connection.recv(1)
            assert byte, "the server of forked processes has ended"
            line += byte
        return int(line)


class _Servers:
    """The servers that this process has started, and the folder of their sockets."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # pages run in threads
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def place(self) -> Path:
        """The folder: this process's own, or that of the process that had it forked."""
        if given := os.environ.get(_PLACE):
            return Path(given)
        with self._lock:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="forked-")
                for module in KINDS:  # all, because a forked process may ask for any
                    self._running[module] = _started(module, Path(self._folder.name))
            return Path(self._folder.name)


def _started(module: str, folder: Path) -> subprocess.Popen[bytes]:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / module))
        listening.listen(16)  # whoever connects waits until the server has imported everything
        return subprocess.Popen(
            [sys.executable, "-m", "tests.forked", module, str(listening.fileno()), _ROOM],
            cwd=ROOT,
            stdin=subprocess.PIPE,  # its end is the end of this process, and then of the server
            pass_fds=(listening.fileno(),),
            env=_ENVIRONMENT_AT_START,
        )


_SERVERS = _Servers()
_ENVIRONMENT_AT_START = dict(os.environ)


def may_fork(environment: Mapping[str, str]) -> bool:
    """Whether a process with this environment is the same when it is forked."""
    if not Path("/proc/self/stat").exists():
        return False
    changed = {name for name, _ in set(environment.items()) ^ set(_ENVIRONMENT_AT_START.items())}
    return all(name.startswith(_OWN) for name in changed)


def fork(
    module: str,
    arguments: list[str],
    files: tuple[int, ...],
    environment: Mapping[str, str],
    session: bool,
    stdin: int | None = None,
) -> Forked:
    """Run `python -m MODULE ARGUMENTS` with these descriptors as standard input, output and error, and open ones after
    these; `session`: in a session of its own; `stdin`: the other end of its input."""
    place = _SERVERS.place()
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(place / _SERVER_OF.get(module, module)))
    asked = {
        "module": module,
        "arguments": arguments,
        "environment": {**environment, _PLACE: str(place)},
        "session": session,
    }
    socket.send_fds(connection, [b"."], files)
    connection.sendall(json.dumps(asked).encode() + b"\n")
    return Forked(connection, stdin)


@contextmanager
def forked_workers() -> Iterator[None]:
    """Context manager: this process's local executor forks its workers."""
    from core.jobs import local_executor

    plain = subprocess.Popen

    class Subprocess:
        """What the local executor uses of `subprocess`."""

        DEVNULL = subprocess.DEVNULL

        @staticmethod
        def Popen(command: list[str], **asked: Any) -> Any:
            if not may_fork(os.environ):
                return plain(command, **asked)
            with open(os.devnull, "rb") as nothing:
                files = (nothing.fileno(), asked["stdout"].fileno(), asked["stderr"].fileno())
                return fork(command[2], command[3:], files, os.environ, asked["start_new_session"])

    local_executor.subprocess = Subprocess  # type: ignore[attr-defined]
    try:
        yield
    finally:
        local_executor.subprocess = subprocess  # type: ignore[attr-defined]


@contextmanager
def forked_training() -> Iterator[None]:
    """Context manager: the processes that this one trains with are forked."""
    from core.training import training_processes

    def start(command: list[str], pass_fds: tuple[int, ...], env: Mapping[str, str], **_: Any) -> Forked:
        reading, writing = os.pipe()
        try:
            with open(os.devnull, "wb") as nothing:
                files = (reading, nothing.fileno(), 2, *pass_fds)
                return fork(command[2], command[3:], files, env, False, writing)
        finally:
            os.close(reading)

    training_processes.subprocess = SimpleNamespace(  # type: ignore[assignment]
        Popen=start, PIPE=subprocess.PIPE, DEVNULL=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        training_processes.subprocess = subprocess


def _serve(module: str, listening: socket.socket) -> str:
    """Import, then fork a process for each that connects, until whoever started this ends. Returns in forked ones the
    module that they run."""
    if 0 in select.select([listening, 0], [], [])[0]:
        os._exit(0)
    if module == "core.worker":
        from core.models.left_out_packages import leave_out_packages

        leave_out_packages({})
    for name in KINDS[module]:
        import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for what is forked here
    while True:
        ready, _, _ = select.select([listening, 0], [], [])
        if 0 in ready:
            os._exit(0)
        connection, _ = listening.accept()
        if os.fork():
            connection.close()
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        listening.close()
        return _begin(connection)


def _begin(connection: socket.socket) -> str:
    """Fork once more: one waits and says how the other ended. The other gets ready, and returns the module."""
    _, files, _, _ = socket.recv_fds(connection, 1, 4)
    with connection.makefile("r", encoding="utf-8") as lines:
        asked = json.loads(lines.readline())
    shown, shows = os.pipe()
    pid = os.fork()
    if pid:
        for descriptor in (*files, shows):
            os.close(descriptor)
        os.read(shown, 1)  # whoever gets the id may look at the command line at once
        _tell(connection, pid)
        _, status = os.waitpid(pid, 0)
        _tell(connection, os.waitstatus_to_exitcode(status))
        os._exit(0)
    connection.close()
    for number, descriptor in enumerate(files[:3]):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if asked["session"]:
        os.setsid()
    os.environ.clear()
    os.environ.update(asked["environment"])
    module: str = asked["module"]
    sys.argv = [module, *asked["arguments"]]
    _show_command([sys.executable, "-m", *sys.argv])
    for descriptor in (shown, shows):
        os.close(descriptor)
    return module


def _tell(connection: socket.socket, number: int) -> None:
    with suppress(BrokenPipeError):  # whoever asked may have ended
        connection.sendall(f"{number}\n".encode())


def _show_command(command: list[str]) -> None:
    """Make this the command line that others see of this process."""
    fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    shown = b"\0".join(os.fsencode(part) for part in command)[: end - start - 1]
    ctypes.memmove(start, shown.ljust(end - start, b"\0"), end - start)


if __name__ == "__main__":
    _MODULE = sys.argv[1]
    with socket.socket(fileno=int(sys.argv[2])) as _listening:
        _STARTED = _serve(_MODULE, _listening)
    with {"core": forked_workers, "core.worker": forked_training}.get(_STARTED, nullcontext)():
        runpy.run_module(_STARTED, run_name="__main__", alter_sys=True)
