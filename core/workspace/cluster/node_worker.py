"""A worker on a node of the cluster: an actor that runs a job's work in a folder of its own and reports what it makes.

Importing this imports neither Ray nor torch; whoever starts the actor makes its class of this one.
"""

import json
import logging
import os
import secrets
import shutil
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

from ...data.errors import UserError
from ...data.version import __version__
from ...jobs.job import Job
from ...system.ownership import acquire_lock, is_locked
from ...system.worker_log import log_for_people
from .job_files import FolderChanges, Piece, put_piece
from .model_staging import ModelFolder, folder_on_node, read_piece, stage, with_paths

log = logging.getLogger("worker")
ROOT = Path(tempfile.gettempdir()) / f"lobass-nodes-{os.getuid()}"
"""The folder of all workers of this node, private to their user."""
_LOOK_SECONDS = 0.5
_LOCK = "worker-lives.lock"


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a worker says of itself first: where it runs, its version, and the digests of the models it lacks."""

    where: str
    version: str
    lacks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class News:
    """What a worker did since its last news. `problem`: the sentence of a user's error that ended the work; `result`:
    what the work returned, once it is done."""

    pieces: tuple[Piece, ...] = ()
    lines: tuple[str, ...] = ()
    problem: str | None = None
    result: dict[str, Any] | None = None


class NodeWorker:
    """Runs one piece of work after another; a model stays loaded for the next one that needs the same."""

    def __init__(self, environment: dict[str, str]) -> None:
        os.environ.update(environment)
        log_for_people(log)
        self._lines = _Lines()
        log.addHandler(self._lines)
        _make_root()
        _remove_left_over()
        self._folder = Path(tempfile.mkdtemp(dir=ROOT, prefix="work-"))
        self._lock: TextIO = acquire_lock(self._folder / _LOCK, "a worker of the cluster")
        self._places: dict[str, str] = {}
        self._engines: dict[Any, Any] = {}
        self._number = secrets.randbelow(10**9)

    def greet(self, models: Sequence[ModelFolder]) -> Greeting:
        """Where it runs, and what it must be given before it can begin."""
        lacks = []
        for model in models:
            found = folder_on_node(model, ROOT / "models")
            if found is None:
                lacks.append(model.digest)
            else:
                self._places[model.path] = str(found)
        node = import_module("ray").get_runtime_context().get_node_id()
        return Greeting(f"{socket.gethostname()}, node {node[:6]}", __version__, tuple(lacks))

    def stage(self, models: Sequence[ModelFolder], home: str) -> None:
        """Copy models here from the node of that id."""
        ray = import_module("ray")
        strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(home, soft=False)
        reader = ray.remote(read_piece).options(num_cpus=0, scheduling_strategy=strategy)
        for model in models:
            copy = stage(model, ROOT / "models", lambda path, start: ray.get(reader.remote(path, start)))
            self._places[model.path] = str(copy)

    def run(self, job_id: str, work: str, files: Sequence[Any]) -> Iterator[News]:
        """Run work, `module:function` of this package, on a job's folder made of these files, which are references to
        pieces; news come until the one that has its result or its problem. Unexpected errors are raised."""
        ray = import_module("ray")
        folder = self._folder / "jobs" / job_id
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for reference in files:
            put_piece(folder, ray.get(reference))
        self._adapt_request(folder / "job.json")
        changes = FolderChanges(folder, from_now=True)
        running = _Running(lambda: self._call(work, Job(folder)))
        while running.is_alive():
            running.join(_LOOK_SECONDS)
            yield from self._news(changes)
        yield from self._news(changes)
        if running.error is not None:
            raise running.error
        yield News(problem=running.problem, result=running.result)

    def _adapt_request(self, path: Path) -> None:
        request = with_paths(json.loads(path.read_bytes()), self._places)
        path.write_text(json.dumps(request, ensure_ascii=False), encoding="utf-8")

    def _call(self, work: str, job: Job) -> dict[str, Any]:
        module, _, name = work.partition(":")
        function = getattr(import_module(f"...{module}", __package__), name)
        if name == "score":
            return dict(function(job, engines=self._engines, number=self._number))
        return dict(function(job))

    def _news(self, changes: FolderChanges) -> Iterator[News]:
        if lines := self._lines.take():
            yield News(lines=lines)
        for piece in changes.take():
            yield News((piece,))


@dataclass
class _Running:
    """Work in a thread of its own, and how it ended."""

    call: Callable[[], dict[str, Any]]
    result: dict[str, Any] | None = None
    problem: str | None = None
    error: BaseException | None = None
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def is_alive(self) -> bool:
        return self.thread.is_alive()

    def join(self, seconds: float) -> None:
        self.thread.join(seconds)

    def _run(self) -> None:
        try:
            self.result = self.call()
        except UserError as error:
            self.problem = str(error)
        # Raised again where the news are made, so that it reaches the process that gave the work.
        except BaseException as error:  # noqa: BLE001
            self.error = error


class _Lines(logging.Handler):
    """Keeps the log's lines until they are taken."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._kept.append(record.getMessage())

    def take(self) -> tuple[str, ...]:
        taken, self._kept = tuple(self._kept), []
        return taken


def _make_root() -> None:
    """Raise `PermissionError` if somebody else has made a folder of that name, in which models could be replaced."""
    ROOT.mkdir(mode=0o700, exist_ok=True)
    found = os.lstat(ROOT)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{ROOT} is not a private folder of this user. Remove it.")


def _remove_left_over() -> None:
    """Remove the folders of workers that were killed."""
    for folder in ROOT.glob("work-*"):
        lock = folder / _LOCK
        is_young = time.time() - folder.stat().st_mtime < 60  # its worker may be about to lock it
        if not is_locked(lock) and not is_young:
            shutil.rmtree(folder, ignore_errors=True)
