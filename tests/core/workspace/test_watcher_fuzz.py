"""Every file of a job's folder, cut, emptied, swapped, damaged, gone or late, against a running watcher: it never dies,
logs no traceback, keeps no wrong number, says what it waits for, and takes all in once the files are whole."""

import logging
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from core import worker
from core.data.errors import WorkspaceLocked
from core.data.examples import DatasetRow, Example, Message
from core.jobs.job import Job
from core.models.resolving import PROVENANCE
from core.near_duplicates.jobs import create_near_duplicate_job
from core.scoring.planning import ScoreRequest, create_score_job, plan_scoring
from core.store import Store
from core.store.near_duplicates import near_duplicate_sets
from core.system.asking import asked
from core.system.file_hash import file_sha256
from core.training.training_plan import TrainRequest, create_train_job
from core.workspace.answering import Answering
from core.workspace.maintenance.checking import CHECKS
from core.workspace.status import run_overview
from core.workspace.supervisor import ingest_finished_jobs
from core.workspace.supervisor_thread import Supervisor
from tests.waiting import wait_for

SEEDS = range(30)
ROWS = 6
LOSSES = """
    SELECT model_fingerprint, encoding_fingerprint, example_id::VARCHAR, nll_sum, token_count
    FROM loss JOIN loss_set USING (loss_set_id)
"""
NOISE = "SELECT model_fingerprint, encoding_fingerprint, noise_floor FROM loss_set WHERE noise_floor IS NOT NULL"


class CountedSupervisor(Supervisor):
    """Counts its rounds, so that a test waits for one of them and not for a time."""

    rounds = 0

    def do_round(self) -> None:
        super().do_round()
        self.rounds += 1

    def wait_for_rounds(self, count: int = 2) -> None:
        """Wait until that many have ended that began after now."""
        until = self.rounds + count + 1
        wait_for(lambda: self.rounds >= until, "rounds of the supervisor")


@dataclass(frozen=True)
class Made:
    """Jobs that ran elsewhere, as their folders were left there, and what is true of them."""

    workspace: Path
    there: Path
    losses: set[tuple[object, ...]]
    noise: set[tuple[object, ...]]
    model: dict[str, str]

    @property
    def jobs(self) -> list[str]:
        return sorted(path.name for path in self.there.iterdir())

    @property
    def files(self) -> list[Path]:
        return [path for path in sorted(self.there.rglob("*")) if path.is_file()]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, tiny_reference: Path) -> Made:
    """Two scorings of the same rows, a training and a search, each run by its worker in a copy of its folder."""
    folder = tmp_path_factory.mktemp("fuzz")
    workspace, there = folder / "workspace", folder / "there"
    with Store.open(workspace, "a test") as store:
        talks = [Example((Message("user", "Count."), Message("assistant", f"{n}, {n + 1}"))) for n in range(ROWS)]
        rows = [DatasetRow(number, "all", talk, b"{}") for number, talk in enumerate(talks, 1)]
        store.add_source("numbers", "n.jsonl", "jsonl", "a hash", {}, rows)
        for run, template in (("first", "auto"), ("second", "plain")):
            request = ScoreRequest("numbers", str(tiny_base), str(tiny_reference), run, template, device="cpu")
            create_score_job(store, plan_scoring(store, request))
        create_train_job(store, TrainRequest("numbers", str(tiny_base), "taught", method="full", device="cpu"))
        create_near_duplicate_job(store, "numbers", 0.8)
        shutil.move(workspace / "jobs", there)
        for path in there.iterdir():
            assert worker.run(path) == 0
            (path / "starting.json").write_text('{"process": 1}', encoding="ascii")
            (path / "processes").mkdir()
            (path / "processes" / "00.json").write_text('{"rows": 1}', encoding="ascii")
        shutil.copytree(there, workspace / "jobs")
        ingest_finished_jobs(store)
        model = workspace / "models" / "taught"
        hashes = {path.name: file_sha256(path) for path in model.iterdir() if path.name != PROVENANCE}
        assert len(run_overview(store)) == 2
        return Made(workspace, there, set(store.rows(LOSSES)), set(store.rows(NOISE)), hashes)


@pytest.fixture
def store(made: Made, tmp_path: Path) -> Iterator[Store]:
    with Store.open(made.workspace, "a test") as opened:
        yield opened


def begin_anew(store: Store) -> None:
    """The workspace as it was before any job was taken in."""
    shutil.rmtree(store.workspace / "jobs", ignore_errors=True)
    shutil.rmtree(store.workspace / "models", ignore_errors=True)

    def forget(connection: duckdb.DuckDBPyConnection) -> None:
        for (table,) in connection.execute(
            "SELECT table_name FROM duckdb_tables() WHERE table_name ~ '^scored_\\d+$'"
        ).fetchall():
            connection.execute(f"DROP TABLE {table}")
        for table in ("loss", "shard", "run", "run_loss", "near_duplicate", "near_duplicate_set"):
            connection.execute(f"DELETE FROM {table}")
        connection.execute("UPDATE loss_set SET noise_floor = NULL")

    store.write(forget)


def harmed(chance: random.Random, path: Path, made: Made) -> bytes | None:
    """A file's content after what can happen to it; None if it is lost."""
    content = path.read_bytes()
    place = chance.randrange(len(content) or 1)
    other = chance.choice([each for each in made.files if each.suffix == path.suffix])
    harms = [
        b"",
        content[:place],
        other.read_bytes(),
        chance.randbytes(len(content)),
        None,
    ]
    if path.suffix != ".json":  # a changed byte makes another valid request
        harms.append(content[:place] + bytes([chance.randrange(256)]) + content[place + 1 :])
    return chance.choice(harms)


def put(store: Store, made: Made, path: Path, content: bytes) -> None:
    target = store.workspace / "jobs" / path.relative_to(made.there)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def check_truth(store: Store, made: Made) -> None:
    """Nothing is there that is not true."""
    assert set(store.rows(LOSSES)) <= made.losses
    assert set(store.rows(NOISE)) <= made.noise
    for run in run_overview(store):
        assert run["scored"] == ROWS
    model = store.workspace / "models" / "taught"
    if model.exists():
        assert {path.name: file_sha256(path) for path in model.iterdir() if path.name != PROVENANCE} == made.model


def check_said(store: Store, made: Made, supervisor: Supervisor) -> None:
    """A job that ended and is not taken in is told of, by the watcher and by `check`."""
    said, found = " ".join(supervisor.notices), " ".join(CHECKS["jobs"](store))
    for job in (Job(store.workspace / "jobs" / name) for name in made.jobs):
        if job.is_settled or not job.folder.exists():
            continue
        if not (job.folder / "job.json").exists():
            assert job.job_id in found
        elif job.problem or job.outcome:
            assert job.job_id in said
            assert job.job_id in found


def check_answered(store: Store) -> None:
    with asked(store.workspace, "status", {}, WorkspaceLocked("It is in use.")) as answer:
        assert answer.fields["datasets"][0]["rows"] == ROWS


def play(store: Store, made: Made, chance: random.Random) -> None:
    """One round: files arrive in any order, some of them harmed; then those are copied again."""
    supervisor = CountedSupervisor(store, lambda _: None)
    supervisor._pause = 0.001
    supervisor.start()
    try:
        files = made.files
        chance.shuffle(files)
        victims = {path: harmed(chance, path, made) for path in chance.sample(files, chance.randint(1, 4))}
        pauses = set(chance.sample(files, 3))
        for path in files:
            content = victims.get(path, path.read_bytes())
            if content is not None:
                put(store, made, path, content)
            if path in pauses:
                supervisor.wait_for_rounds()
                check_truth(store, made)
        supervisor.wait_for_rounds(3)
        check_answered(store)
        check_truth(store, made)
        check_said(store, made, supervisor)
        for path in victims:
            put(store, made, path, path.read_bytes())
        jobs = [Job(store.workspace / "jobs" / name) for name in made.jobs]
        wait_for(lambda: all(job.is_settled for job in jobs), f"the taking in of all ({supervisor.notices})", 20.0)
        supervisor.wait_for_rounds()
        assert supervisor.notices == ()
        assert supervisor.is_alive()
    finally:
        supervisor.stop()
    assert {job.state for job in jobs} == {"done"}
    check_truth(store, made)
    assert set(store.rows(LOSSES)) == made.losses
    assert set(store.rows(NOISE)) == made.noise
    assert {run["name"] for run in run_overview(store)} == {"first", "second"}
    assert len(near_duplicate_sets(store, "numbers")) == 1
    assert (store.workspace / "models" / "taught").exists()


def test_whatever_happens_to_the_files_of_jobs_nothing_wrong_is_kept_and_nothing_stops(
    store: Store, made: Made, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), Answering(store) as answering:
        for seed in SEEDS:
            begin_anew(store)
            try:
                play(store, made, random.Random(seed))
            except BaseException as error:
                error.add_note(f"seed {seed}")
                raise
            assert answering.is_alive()
            assert answering.trouble is None
            assert "Traceback" not in caplog.text
