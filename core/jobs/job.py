"""A job is a folder with everything it needs, so that it is independent of the process that started it.

    job.json            the request, never changed
    *.parquet           its examples: example_id, conversation, domain
    starting.json       local executor: the process id of a worker that has not locked the job yet
    waiting.json        its place in the queue, until its worker starts
    slot.json           which GPU or share of the cores it has, if jobs of its trial run side by side
    worker.lock         locked while a worker runs
    worker.log          the log for people
    progress.json       the latest progress, replaced regularly
    cancel              exists if a user cancelled the job
    shards/*.arrow      score: finished losses
    apart.txt           score: exists if base and reference cannot share one set of weights
    earlier-shards-checked  exists if shards of an earlier version were checked
    noise-*.txt         score: numerical noise of a model's losses [nats per token]
    engine.json         score: how the engine computes, chosen once for all models of the job
    encoded/ leases/    score, while it runs: tokens for the second model; which process has which chunk
    placed/             while a model that is spread is loaded: weights rewritten in the needed type
    processes/*.json    score: progress of each process; train: how each process ended, if there are several
    curve.jsonl         train: the loss by domain so far
    checkpoints/ model/ train: checkpoints for resuming; the finished reference
    folds.parquet       train: the fold of each example, if there are several models or rows are held out
    members/ work/      train: finished models of a reference that has several; what the current one needs
    held_out.parquet    train: examples that are only evaluated
    passes.jsonl        train: the loss on held-out and on own rows after each pass
    held_out_losses.parquet  train: the loss of each held-out row at the end
    search/             near_duplicates, while it runs; the result is near_duplicates.parquet
    embedded/*.arrow    embed: finished vectors (core.store.embedding_files)
    runs/*.json         embed: further runs that asked for them
    target.parquet      gradients: the rows of the target set
    target_gradients/ gradients/  gradients: the target's mean gradients; the values of finished rows
    responses/*.parquet generate: finished responses
    vectors.parquet     semantic_duplicates, map: the embeddings that are compared; a map's result is places.parquet
    outcome.json        the outcome, written last; if missing, the job is unfinished; it counts what the job made
                        (core.jobs.results), so that half a copy is not taken for all
    settled             written by the store's owner when all results are in the store

The folder can be copied to a GPU machine under its own name, run there with `python -m core.worker FOLDER`, and copied
back, in any order of its files.
"""

import json
import re
import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..data import settings
from ..data.errors import JobCancelled, JsonInvalid, NotFound, SettingInvalid, UserError
from ..data.examples import Example
from ..data.json_types import checked
from ..data.placement import ONE, chosen_placement
from ..data.version import COMMAND
from ..system.atomic_files import flush_folder, write_durably, write_whole
from ..system.permission import require_change
from ..system.untrusted_json import read_json_object
from ..system.workspace_files import make_private_folder
from .example_chunks import EXAMPLES_SCHEMA, write_examples_file
from .executor import Executor
from .executors import CLUSTER, DEFAULT_EXECUTOR, EXECUTORS, executor_named
from .job_progress import Progress
from .shards import shards

WAITING = "waiting.json"
SLOT = "slot.json"
ENGINE_CHOICE = "engine.json"
PLACED = "placed"
_STATES = ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Job:
    """A job's folder and its request. The folder may come from another machine, so a file in it may be damaged, or
    another job's: reading it then raises `JsonInvalid`."""

    folder: Path

    @property
    def job_id(self) -> str:
        """The folder's name: creation time, kind, and four random characters."""
        return self.folder.name

    @property
    def request(self) -> dict[str, Any]:
        """The request: `kind`, a name of `core.workspace.job_kinds`, and the fields of that kind."""
        path = self.folder / "job.json"
        fields = read_json_object(path)
        if not isinstance(fields.get("kind"), str):
            raise JsonInvalid(f"{path} does not say what kind of job it is. Copy it again from where it is whole.")
        named = fields.get("job", self.job_id)  # earlier versions did not write it
        if named != self.job_id:
            raise JsonInvalid(f"{path} is that of the job {named}. Give the folder that name, or copy the file again.")
        return fields

    @property
    def kind(self) -> str:
        """The kind of the job."""
        return str(self.request["kind"])

    @property
    def problem(self) -> str | None:
        """Why its request or outcome cannot be read, as a sentence; None if they can."""
        try:
            _ = self.request, self.outcome
            return None
        except (UserError, OSError) as error:
            return str(error)

    @property
    def outcome(self) -> dict[str, Any] | None:
        """The outcome (`state` is done, failed or cancelled), or None if unfinished."""
        path = self.folder / "outcome.json"
        try:
            fields = read_json_object(path)
        except FileNotFoundError:
            return None
        if fields.get("state") not in _STATES or not isinstance(fields.get("message", ""), str):
            raise JsonInvalid(f"{path} does not say how the job ended. Copy it again from where it is whole.")
        return fields

    @property
    def progress(self) -> Progress:
        """The latest progress written by the worker; nothing but what people see depends on it."""
        path = self.folder / "progress.json"
        try:
            return checked(read_json_object(path), Progress, str(path))
        except FileNotFoundError:
            return Progress()
        except JsonInvalid:
            return Progress("Its progress cannot be read")

    @property
    def is_alive(self) -> bool:
        """Whether a worker is running on it or about to; False if this program does not know its executor."""
        executor = EXECUTORS.get(self.executor_name)
        return executor is not None and executor.is_alive(self.folder)

    @property
    def executor_name(self) -> str:
        """Name of the executor that runs its worker."""
        return str(self.request.get("executor", DEFAULT_EXECUTOR))

    @property
    def executor_choice(self) -> dict[str, str]:
        """The settings that choose its executor, as text, for another job to run like it."""
        own = self.request.get("executor_settings", {})
        return {"executor": self.executor_name, **{name: str(value) for name, value in own.items()}}

    @property
    def placement(self) -> str:
        """How its models are placed, one of `PLACEMENTS`."""
        return str(self.request.get("placement", ONE))

    @property
    def executor(self) -> Executor:
        """The executor that runs its worker. Raises `SettingInvalid` if this program does not have it."""
        return executor_named(self.executor_name)

    @property
    def is_settled(self) -> bool:
        """Whether all its results are in the store."""
        return (self.folder / "settled").exists()

    @property
    def state(self) -> str:
        """running, done, failed, cancelled, waiting (in the queue), or interrupted (its worker died; start it again to
        resume)."""
        outcome = self.outcome
        if outcome:
            return str(outcome["state"])
        # The worker may have finished between the two checks: read the outcome again before reporting it as dead.
        if self.is_alive:
            return "running"
        outcome = self.outcome
        if outcome:
            return str(outcome["state"])
        return "waiting" if (self.folder / WAITING).exists() else "interrupted"

    @property
    def log_text(self) -> str:
        """The worker's log."""
        path = self.folder / "worker.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    @property
    def shards(self) -> list[Path]:
        """Finished shards, oldest first."""
        return shards(self.folder / "shards")

    def shard_prefix(self, role: str) -> str:
        """The prefix of the shard names of one model ("base" or "reference")."""
        return f"{self.job_id}-{role}-"

    def shards_of(self, role: str) -> list[Path]:
        """Finished shards of one model, oldest first."""
        return [path for path in self.shards if path.name.startswith(self.shard_prefix(role))]

    def cancel(self) -> None:
        """Ask the worker to stop after its current batch; computed losses are kept."""
        require_change()
        self.executor.cancel(self.folder)

    @property
    def is_cancelled(self) -> bool:
        """Whether it was cancelled."""
        return (self.folder / "cancel").exists()

    def add_notice(self, sentence: str) -> None:
        """Add a notice for the user; several processes may add the same one."""
        with open(self.folder / "notices.txt", "a", encoding="utf-8") as file:
            file.write(sentence + "\n")

    @property
    def notices(self) -> list[str]:
        """The notices, without repetitions."""
        path = self.folder / "notices.txt"
        return list(dict.fromkeys(path.read_text("utf-8", errors="replace").splitlines())) if path.exists() else []

    def settle(self) -> None:
        """Record that all results are in the store. The shards stay until they are verified
        (`core.workspace.maintenance.kept_shards`)."""
        (self.folder / "settled").touch()
        self.clear()
        for name in ("checkpoints", "work", "members"):  # a finished training is never resumed
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def clear(self) -> None:
        """Remove files that only a running worker needs."""
        for name in ("encoded", "leases", PLACED, "processes"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def finish(self, outcome: dict[str, Any]) -> None:
        """Write the outcome, as the worker's last step."""
        write_durably(self.folder / "outcome.json", [json.dumps(outcome, ensure_ascii=False, indent=1).encode()])

    def report(self, progress: Progress) -> None:
        """Replace the progress. Not flushed to disk, because only the latest matters."""
        write_whole(self.folder / "progress.json", [json.dumps(progress.to_fields()).encode()])

    def report_share(self, phase: str, share: float, if_cancelled: str) -> None:
        """Report which share of a phase is done [0 to 1]. Raises `JobCancelled` with that sentence if the job is
        cancelled."""
        self.report(Progress(phase, int(100 * share), 100, "percent"))
        if self.is_cancelled:
            raise JobCancelled(if_cancelled)


def create_job(
    workspace: Path,
    request: dict[str, Any],
    example_files: Mapping[str, pa.Table | Iterable[pa.RecordBatch]],
    tables: Mapping[str, pa.Table] | None = None,
    loads_models: bool = True,
) -> Job:
    """Create a job's folder. `request` must be JSON; `example_files` are tables or batches with `EXAMPLES_SCHEMA`, and
    `tables` other Parquet files, by name without ending.

    The setting `executor` says what will run it, and `placement` where its models go if it `loads_models`; the request
    names them unless they are the defaults. Raises `SettingInvalid` for unknown ones.

    job.json is written last, so a folder without it is not a job.
    """
    require_change()
    executor = settings.text("executor")
    executor_named(executor)  # an unknown one is refused before anything is written
    if loads_models and (placement := chosen_placement()) != ONE:
        if executor == CLUSTER:
            raise SettingInvalid(
                "A model is spread over the memory of one machine, and a worker of a cluster has one GPU. Choose "
                "--placement one or --executor local."
            )
        request = {**request, "placement": placement}
    if executor != DEFAULT_EXECUTOR:
        # Kept with the job: whoever starts it again may have others.
        own = {name: settings.value(name) for name in settings.names_of(executor)}
        request = {**request, "executor": executor, "executor_settings": own}
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = workspace / "jobs" / f"{stamp}-{request['kind']}-{secrets.token_hex(2)}"
    make_private_folder(folder.parent)
    folder.mkdir(mode=0o700)
    for name, examples in example_files.items():
        write_examples_file(folder / f"{name}.parquet", examples)
    for name, table in (tables or {}).items():
        pq.write_table(table, folder / f"{name}.parquet")
    request = {**request, "job": folder.name}
    flush_folder(folder)
    write_durably(folder / "job.json", [json.dumps(request, ensure_ascii=False, indent=1).encode()])
    return Job(folder)


def read_examples_file(job: Job, name: str) -> tuple[list[str], list[Example], list[str]]:
    """Example ids, examples and domains of one of a job's example files, in file order."""
    table = pq.read_table(job.folder / f"{name}.parquet", schema=EXAMPLES_SCHEMA)
    conversations = table["conversation"].to_pylist()
    return (
        table["example_id"].to_pylist(),
        [Example.from_json(text) for text in conversations],
        table["domain"].to_pylist(),
    )


def start_worker(job: Job) -> None:
    """Have the job's executor start a worker on it at once; the worker outlives this process."""
    require_change()
    (job.folder / "cancel").unlink(missing_ok=True)
    (job.folder / "outcome.json").unlink(missing_ok=True)
    job.executor.start(job.folder)
    (job.folder / WAITING).unlink(missing_ok=True)  # only now: until a worker is there, it waits


def all_jobs(workspace: Path) -> list[Job]:
    """All jobs of a workspace, oldest first; files of some may be damaged (`Job.problem`)."""
    return [Job(path.parent) for path in sorted((workspace / "jobs").glob("*/job.json"))]


def readable_jobs(workspace: Path) -> list[Job]:
    """All jobs of a workspace whose request and outcome can be read, oldest first."""
    return [job for job in all_jobs(workspace) if job.problem is None]


def find_job(workspace: Path, job_id: str) -> Job:
    """The job of that id. Raises `NotFound`."""
    folder = workspace / "jobs" / job_id
    if not re.fullmatch(r"[\w-]+", job_id) or not (folder / "job.json").exists():
        raise NotFound(f"There is no job {job_id!r} in {workspace}. List the jobs with: {COMMAND} status")
    return Job(folder)


def unfinished(jobs: Iterable[Job], identity: dict[str, Any]) -> Job | None:
    """The newest unsettled job whose request has all fields of `identity`, to join or resume."""
    matching = [
        job for job in jobs if not job.is_settled and job.problem is None and identity.items() <= job.request.items()
    ]
    return matching[-1] if matching else None
