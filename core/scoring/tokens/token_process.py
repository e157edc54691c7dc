"""The owner's side of the token worker: starts it on the first request, keeps it warm, and replaces it if it ended."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ...data.errors import TokensUnavailable
from ...system.permission import require_change
from ...system.process_facts import is_stopped
from ...system.program import HOME, module_command

LOG = "token_worker.log"
_LOG_LIMIT = 2**20  # bytes; a longer log is truncated
_ANSWER_SECONDS, _LOADING_SECONDS, _CHARACTERS_PER_SECOND = 120.0, 600.0, 100.0
"""How long a request may take: so long, longer if models have to be loaded, and for long conversations. A large model
on a CPU needs some 0.03 s a token."""
_LOOK_SECONDS = 1.0
_END_SECONDS = 2.0
"""How long a job that needs the memory waits for the current answer, and for a killed worker's end."""


class TokenProcess:
    """At most one `token_worker`, which answers one request at a time; callable from any thread."""

    def __init__(self, workspace: Path) -> None:
        self._log = workspace / LOG
        self._asking = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._models: Any = None
        self._why_killed = ""

    @property
    def process_id(self) -> int | None:
        """Process id of the warm worker, or None."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The worker's answer. Raises `TokensUnavailable` with the worker's error message, if it ended first, or if
        there is none in time."""
        require_change()
        line = json.dumps(request).encode() + b"\n"
        if not self._asking.acquire(timeout=_ANSWER_SECONDS):
            raise TokensUnavailable("The token worker is busy with other rows. Try again later.")
        try:
            answer = self._ask(line, request)
        finally:
            self._asking.release()
        if "error" in answer:
            raise TokensUnavailable(answer["error"])
        return answer

    def release(self) -> None:
        """End the worker; the next request starts another. If it is busy, its answer is awaited for a moment, after
        which whoever asked gets an error: it may hang, and a job needs its memory."""
        was_free = self._asking.acquire(timeout=_END_SECONDS)
        try:
            self._kill("A job that was started needs its memory.")
        finally:
            if was_free:
                self._asking.release()

    def close(self) -> None:
        """End the worker; a pending request gets an error."""
        self._closed = True
        self._kill("The workspace is being closed.")

    def _kill(self, why: str) -> None:
        if self._process:
            self._why_killed = why
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_SECONDS)

    def _ask(self, line: bytes, request: dict[str, Any]) -> dict[str, Any]:
        was_warm = self.process_id is not None
        seconds = _ANSWER_SECONDS + len(line) / _CHARACTERS_PER_SECOND
        if not (was_warm and self._models == request["models"]):
            seconds += _LOADING_SECONDS
        answer = self._exchange(line, seconds)
        if answer is None and was_warm and self._ended() == 0:  # its idle timeout had just expired
            answer = self._exchange(line, seconds + _LOADING_SECONDS)
        if answer is None:
            how = self._why_killed or f"{_how(self._ended())}."
            raise TokensUnavailable(
                f"The token worker ended before it answered: {how} Try again to start a new one. Log: {self._log}."
            )
        self._models = request["models"]
        return answer

    @contextmanager
    def _watched(self, process: "subprocess.Popen[bytes]", seconds: float) -> Iterator[None]:
        """Kills the worker in this context if it takes longer or was stopped: reading its answer then ends."""
        done = threading.Event()
        deadline = time.monotonic() + seconds

        def watch() -> None:
            while not done.wait(_LOOK_SECONDS):
                if time.monotonic() > deadline:
                    return self._kill(f"It took longer than {seconds:,.0f} seconds.")
                if is_stopped(process.pid):
                    return self._kill("Another program had stopped it.")

        watching = threading.Thread(target=watch, name="token worker", daemon=True)
        watching.start()
        try:
            yield
        finally:
            done.set()
            watching.join()

    def _exchange(self, line: bytes, seconds: float) -> dict[str, Any] | None:
        """Send a request and read its answer; None if the worker ended meanwhile, or was killed."""
        if self.process_id is None:
            self._process, self._why_killed = self._start(), ""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        with self._watched(process, seconds):
            try:
                process.stdin.write(line)
                process.stdin.flush()
            except BrokenPipeError:
                return None
            answered = process.stdout.readline()
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
