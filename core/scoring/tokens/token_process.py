"""The owner's side of the token worker: starts it on the first request, keeps it warm, and replaces it if it ended."""

import json
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import IO, Any

from ...data.errors import TokensUnavailable
from ...system.permission import require_change
from ...system.program import HOME, module_command

LOG = "token_worker.log"
_LOG_LIMIT = 2**20  # bytes; a longer log is truncated


class TokenProcess:
    """At most one `token_worker`, which answers one request at a time; callable from any thread."""

    def __init__(self, workspace: Path) -> None:
        self._log = workspace / LOG
        self._asking = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    @property
    def process_id(self) -> int | None:
        """Process id of the warm worker, or None."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The worker's answer. Raises `TokensUnavailable` with the worker's error message, or if it ended first."""
        require_change()
        line = json.dumps(request).encode() + b"\n"
        with self._asking:
            was_warm = self.process_id is not None
            answer = self._exchange(line)
            if answer is None and was_warm and self._ended() == 0:  # its idle timeout had just expired
                answer = self._exchange(line)
            if answer is None:
                raise TokensUnavailable(
                    f"The token worker ended before it answered ({_how(self._ended())}). "
                    f"Try again to start a new one. Log: {self._log}."
                )
        if "error" in answer:
            raise TokensUnavailable(answer["error"])
        return answer

    def release(self) -> None:
        """End the worker unless it is busy; the next request starts another."""
        if self._asking.acquire(blocking=False):
            try:
                self._kill()
            finally:
                self._asking.release()

    def close(self) -> None:
        """End the worker; a pending request gets an error."""
        self._closed = True
        self._kill()

    def _kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def _exchange(self, line: bytes) -> dict[str, Any] | None:
        """Send a request and read its answer; None if the worker ended meanwhile."""
        if self.process_id is None:
            self._process = self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        answered = self._process.stdout.readline()
        return dict(json.loads(answered)) if answered.endswith(b"\n") else None

    def _start(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise TokensUnavailable("The workspace is being closed. Open it again to view tokens.")
        if self._process:
            _close_pipes(self._process)
        full = self._log.exists() and self._log.stat().st_size > _LOG_LIMIT
        with open(self._log, "wb" if full else "ab") as log:
            return subprocess.Popen(
                module_command("scoring.tokens.token_worker"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # so that Ctrl-C on the dashboard prints no traceback of a child
                cwd=HOME,
                # Half of the cores: one example is small, and the dashboard or a job may be busy too.
                env={"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // 2)), **os.environ},
            )

    def _ended(self) -> int:
        """Exit status of the worker, whose output has ended."""
        assert self._process is not None
        try:
            return self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    pipes: list[IO[bytes] | None] = [process.stdin, process.stdout]
    for pipe in pipes:
        try:
            if pipe:
                pipe.close()
        except BrokenPipeError:  # data was buffered for a worker that has ended
            continue


def _how(status: int) -> str:
    if status == -signal.SIGKILL:
        return "it was killed, perhaps out of memory"
    return f"stopped by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
