"""The soak: kills at random moments, round after round, and after each the workspace must be whole.

    python -m tests.soak [--rounds 200] [--seed 0] [--folder DIR]

Killed with SIGKILL are scoring workers, the command line and the dashboard while they own the store, trainers,
exporters and programs that make backups. A round that leaves anything lost, doubled or half ends the soak with an
`AssertionError` that says what.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from core.jobs.job import Job, all_jobs
from core.jobs.shards import read_shard
from core.models.resolving import PROVENANCE
from core.scoring.planning import ScoreRequest, plan_scoring
from core.selection import Amount, Selection, save_selection
from core.store import Store
from core.workspace.maintenance.checking import check_workspace
from core.workspace.supervisor import ingest_finished_jobs
from tests import command_line
from tests.tiny_models import save_model_folder
from tests.waiting import wait_for

ROWS = 60
# Small batches, each a shard of its own: a kill finds a middle, and loses at most the batch that is being computed.
SLOW = {"LOBASS_CPU_BATCH_TOKENS": "64", "LOBASS_SHARD_SECONDS": "0", "OMP_NUM_THREADS": "1"}
_LONGER_THAN_ANY_ROW = 100
_EPOCHS, _STEPS = 4, 40
_OF_ONE_TRAINING = ("name", "identity", "elapsed_seconds", "files")
"""What a provenance says that another training of the same has otherwise; `files` are compared themselves."""


@dataclass(slots=True)
class Tally:
    """What a soak has seen: kills by victim, finished examples that were there when a worker was killed, those of
    them that were computed again, and seconds."""

    kills: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    recomputed: int = 0
    seconds: float = 0.0

    def sentence(self) -> str:
        """The soak's figure."""
        kills = ", ".join(f"{name} {count}" for name, count in sorted(self.kills.items()))
        return (
            f"{self.kills.total()} rounds in {self.seconds:,.0f} s; killed: {kills}; {self.acknowledged:,} finished "
            f"losses at the kills, {self.recomputed} of them computed again; none lost, none twice, nothing half."
        )


class Soak:
    """One workspace that is killed at again and again."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.workspace = folder / "workspace"
        self.tally = Tally()
        self._random = random.Random(seed)
        self._round = 0
        self._taught: dict[str, object] | None = None
        self._models = [folder / "base", folder / "reference"]
        for number, model in enumerate(self._models):
            save_model_folder(model, "llama", seed=number)
        (folder / "backups").mkdir()
        (self.workspace / "exports").mkdir(parents=True)
        rows = command_line.write_rows(folder / "rows.jsonl", ROWS)
        command_line.result(self.workspace, "import", rows, "--dataset", "numbers", "--domain-field", "domain")
        command_line.result(self.workspace, *self._score_command())
        with self._open() as store:
            save_selection(store, "kept", Selection("run 0", amount=Amount("ratio", 0.5)))
            self._expected = self._losses(store)

    def run_round(self, victim: str) -> None:
        """Kill one victim once, and check what is left."""
        self._round += 1
        VICTIMS[victim](self)
        self.tally.kills[victim] += 1
        with self._open() as store:
            ingest_finished_jobs(store)
            self._assert_whole(store)

    # Victims

    def kill_worker(self) -> None:
        """The same command again computes exactly what no shard holds."""
        command = command_line.start(self.workspace, *self._score_command(), **SLOW)
        job = self._job_with_shards(1 + self._random.randrange(20))
        _kill_session(job)
        command.communicate()
        finished = sum(read_shard(path).num_rows for path in job.shards)
        again = command_line.result(self.workspace, *self._score_command(), **SLOW)
        computed = sum(again["computed"].values())
        assert computed >= 2 * ROWS - finished, f"{finished} finished losses, {computed} computed after the kill"
        self.tally.acknowledged += finished
        self.tally.recomputed += computed - (2 * ROWS - finished)
        assert self.tally.recomputed == 0

    def kill_command_line(self) -> None:
        """The worker goes on without the command; the same command again takes in what it made."""
        command = command_line.start(self.workspace, *self._score_command(), **SLOW)
        job = self._job_with_shards(1 + self._random.randrange(20))
        command.send_signal(signal.SIGKILL)
        command.communicate()
        self._score_once_more(job)

    def kill_dashboard(self) -> None:
        """The worker goes on without the dashboard; the command line takes in what it made."""
        process = _start("dashboard", self.workspace, json.dumps(self._request()), **SLOW)
        job = self._job_with_shards(1 + self._random.randrange(20))
        process.kill()
        process.communicate()
        self._score_once_more(job)

    def kill_trainer(self) -> None:
        """No model is there that is not whole; the same command again goes on to the undisturbed one, bit for bit."""
        name = f"taught {self._round}"
        command = command_line.start(self.workspace, *self._train_command(name), **SLOW)
        job = self._job(lambda job: job.kind == "train" and job.request["name"] == name)
        step = 1 + self._random.randrange(_STEPS)
        wait_for(lambda: job.progress.done >= step or job.outcome, f"step {step} of the training")
        _kill_session(job)
        command.communicate()
        with self._open() as store:
            self._assert_whole(store)
        taught = self._trained(name)
        if self._taught is None:
            self._taught = self._trained("undisturbed")
        assert taught == self._taught

    def kill_exporter(self) -> None:
        """Every export that has a manifest is the file that the manifest speaks of."""
        _kill_after_lines(_start("exporter", self.workspace), 1 + self._random.randrange(8))

    def kill_backup(self) -> None:
        """Every backup that is there opens and is whole."""
        folder = self.workspace.parent / "backups"
        _kill_after_lines(_start("backups", self.workspace), 1 + self._random.randrange(3))
        for number, path in enumerate(sorted(folder.glob("*.duckdb"))):
            place = self.workspace.parent / f"restored-{number}"
            command_line.result(place, "restore", path)
            with Store.open(place, "the soak") as store:
                found = [finding for finding in check_workspace(store, _say_nothing) if finding.check != "references"]
                assert found == [], found
            shutil.rmtree(place)
        shutil.rmtree(folder)
        folder.mkdir()

    # What is asked for, and what must be

    def _request(self) -> dict[str, object]:
        """Scoring that no round before has done: the maximum length is part of a loss's key, and cuts off no row."""
        base, reference = map(str, self._models)
        return {
            "dataset": "numbers",
            "base": base,
            "reference": reference,
            "run": f"run {self._round}",
            "max_length": _LONGER_THAN_ANY_ROW + self._round,
        }

    def _score_command(self) -> list[object]:
        options = self._request().items()
        return ["score", *(part for name, value in options for part in (f"--{name.replace('_', '-')}", value))]

    def _train_command(self, name: str) -> list[object]:
        """A training of about `_STEPS` steps in several passes, with held-out rows."""
        options = {"base": self._models[0], "name": name, "method": "full", "batch-tokens": 256, "epochs": _EPOCHS}
        options |= {"dataset": "numbers", "held-out": 0.2, "learning-rate": 1e-3}
        return ["train", *(part for option, value in options.items() for part in (f"--{option}", value))]

    def _trained(self, name: str) -> dict[str, object]:
        """The reference of that name, trained or resumed now: its files by name, without what tells two trainings of
        the same apart."""
        folder = Path(command_line.result(self.workspace, *self._train_command(name), **SLOW)["path"])
        found: dict[str, object] = {path.name: path.read_bytes() for path in folder.iterdir()}
        provenance = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
        found[PROVENANCE] = {key: value for key, value in provenance.items() if key not in _OF_ONE_TRAINING}
        return found

    def _score_once_more(self, job: Job) -> None:
        command_line.result(self.workspace, *self._score_command(), **SLOW)
        assert job.is_settled
        ids = [row for path in job.shards_of("base") for row in read_shard(path)["example_id"].to_pylist()]
        assert len(ids) == len(set(ids)), "an example was computed twice by one worker"
        self.tally.acknowledged += len(ids)

    def _job(self, wanted: Callable[[Job], bool]) -> Job:
        def found() -> Job | None:
            return next((job for job in reversed(all_jobs(self.workspace)) if wanted(job)), None)

        job = wait_for(found, "the making of the job")
        assert job is not None
        return job

    def _job_with_shards(self, count: int) -> Job:
        """This round's job, as soon as it has written so many shards or has ended."""
        job = self._job(lambda job: job.kind == "score" and job.request["run"] == f"run {self._round}")
        wait_for(lambda: len(job.shards) >= count or job.outcome, f"the writing of {count} shards")
        return job

    def _open(self) -> Store:
        """The store, as soon as whoever was killed holds it no more."""
        return Store.open(self.workspace, "the soak")

    def _losses(self, store: Store) -> list[tuple[object, ...]]:
        table = store.run(f"run {self._round}")["table"]
        return store.rows(f"SELECT row_number, base_nll_sum, reference_nll_sum FROM {table} ORDER BY row_number")

    def _assert_whole(self, store: Store) -> None:
        found = [
            finding for finding in check_workspace(store, _say_nothing) if not finding.sentence.endswith("removed.")
        ]
        assert found == [], found
        if not store.rows("SELECT 1 FROM run WHERE name = ?", [f"run {self._round}"]):
            return
        plan = plan_scoring(store, ScoreRequest(**self._request()))  # type: ignore[arg-type]
        assert plan.is_complete, plan.computed
        for ours, expected in zip(self._losses(store), self._expected, strict=True):
            assert all(abs(a - b) < 1e-3 for a, b in zip(ours, expected, strict=True)), (ours, expected)  # type: ignore[operator]


VICTIMS: dict[str, Callable[[Soak], None]] = {
    "worker": Soak.kill_worker,
    "command line": Soak.kill_command_line,
    "dashboard": Soak.kill_dashboard,
    "trainer": Soak.kill_trainer,
    "exporter": Soak.kill_exporter,
    "backup": Soak.kill_backup,
}
QUICK = (
    "worker",
    "exporter",
    "backup",
    "dashboard",
    "exporter",
    "trainer",
    "backup",
    "command line",
    *["exporter"] * 2,
)
"""Ten rounds, with each victim at least once: those that load a model are few."""


def soak(folder: Path, victims: list[str], seed: int, report: Callable[[str], object]) -> Tally:
    """Kill the victims, one a round, in a new workspace under `folder`; returns what was seen."""
    began = time.monotonic()
    one = Soak(folder, seed)
    for number, victim in enumerate(victims, 1):
        one.run_round(victim)
        report(f"round {number} of {len(victims)}: {victim} killed, all whole")
    one.tally.seconds = time.monotonic() - began
    return one.tally


def _start(program: str, workspace: Path, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.soak_victims", program, str(workspace), *arguments],
        cwd=command_line.ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


def _kill_after_lines(process: "subprocess.Popen[str]", lines: int) -> None:
    assert process.stdout is not None
    for _ in range(lines):
        assert process.stdout.readline(), "the program ended by itself"
    process.kill()
    process.communicate()


def _kill_session(job: Job) -> None:
    """A worker and the processes that it started: they are a session of their own."""
    process = wait_for(lambda: (job.folder / "starting.json").exists(), "the worker's start") and json.loads(
        (job.folder / "starting.json").read_text(encoding="utf-8")
    )
    try:
        os.killpg(int(process["process"]), signal.SIGKILL)
    except ProcessLookupError:
        return  # it had finished already
    wait_for(lambda: not job.is_alive, "the worker's end")


def _say_nothing(_: str) -> None:
    pass


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run the soak and print its figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="Where to work [a temporary folder, removed at the end].")
    arguments = parser.parse_args()
    chosen = random.Random(arguments.seed)
    victims = [chosen.choice(sorted(VICTIMS)) for _ in range(arguments.rounds)]
    with tempfile.TemporaryDirectory(prefix="soak-") as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        _say(soak(folder, victims, arguments.seed, _say).sentence())
    return 0


if __name__ == "__main__":
    sys.exit(main())
