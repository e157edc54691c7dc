"""A job whose files are damaged is set aside with a sentence; no other job, request or page waits for it."""

import fcntl
import json
import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from core.data.errors import JsonInvalid, RequestRefused, StoreUnusable, WorkspaceLocked, WriteFailed
from core.jobs.job import Job, all_jobs, create_job
from core.jobs.local_executor import LocalExecutor
from core.jobs.shards import SHARD_SCHEMA, read_shard, write_shard
from core.scoring.ingest import ingest_losses
from core.scoring.noise_files import read_noise, write_noise
from core.scoring.planning import ScoreRequest, create_score_job, plan_scoring
from core.scoring.processes import _tallies
from core.store import Store
from core.system.asking import Fields, answer_requests, asked
from core.system.steady_thread import SteadyThread
from core.workspace.answering import Answering
from core.workspace.holding import owned
from core.workspace.maintenance.backups import back_up
from core.workspace.maintenance.checking import check_workspace
from core.workspace.status import status_fields, status_text
from core.workspace.supervisor import intake_of
from core.workspace.supervisor_thread import Supervisor
from tests.core.workspace.test_supervision import (  # noqa: F401 (fixtures)
    ROWS,
    finish_scoring,
    losses,
    request_,
    store,
    write_losses,
)
from tests.waiting import wait_for

Damage = Callable[[Job], object]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGED: dict[str, tuple[Damage, str]] = {
    "job.json empty": (lambda job: (job.folder / "job.json").write_bytes(b""), "job.json is not valid JSON"),
    "job.json cut": (lambda job: cut(job.folder / "job.json"), "job.json is not valid JSON"),
    "job.json a list": (lambda job: (job.folder / "job.json").write_bytes(b"[]"), "is not a JSON object"),
    "job.json without a kind": (lambda job: (job.folder / "job.json").write_bytes(b"{}"), "what kind of job"),
    "job.json of another job": (
        lambda job: (job.folder / "job.json").write_text(json.dumps({**job.request, "job": "another"})),
        "is that of the job another",
    ),
    "outcome.json empty": (lambda job: (job.folder / "outcome.json").write_bytes(b""), "outcome.json is not valid"),
    "outcome.json cut": (lambda job: cut(job.folder / "outcome.json"), "outcome.json is not valid JSON"),
    "outcome.json a folder": (
        lambda job: ((job.folder / "outcome.json").unlink(), (job.folder / "outcome.json").mkdir()),
        "outcome.json is not a regular file",
    ),
    "outcome.json without a state": (
        lambda job: (job.folder / "outcome.json").write_bytes(b'{"state": 7}'),
        "does not say how the job ended",
    ),
    "noise no number": (lambda job: (job.folder / "noise-base.txt").write_bytes(b"\xff"), "not as it was written"),
    "noise infinite": (lambda job: (job.folder / "noise-base.txt").write_bytes(b"inf"), "not as it was written"),
    "noise empty": (lambda job: (job.folder / "noise-base.txt").write_bytes(b""), "not as it was written"),
    "a shard cut": (lambda job: cut(job.shards[0]), "is damaged"),
    "a shard empty": (lambda job: job.shards[0].write_bytes(b""), "is damaged"),
    "a shard with ids that are none": (
        lambda job: write_shard(job.folder / "shards", job.shards[0].stem, shard_of(["no id"])),
        "without an example's id",
    ),
    "a shard of another name": (
        lambda job: shutil.copyfile(job.shards_of("reference")[0], job.shards_of("base")[0]),
        "it is the shard",
    ),
}
UNREADABLE = [name for name in DAMAGED if name.startswith(("job.json", "outcome.json"))]


def shard_of(ids: list[str]) -> pa.Table:
    row = {"nll_sum": 2.0, "token_count": 2, "truncated": False}
    return pa.Table.from_pylist([{"example_id": one, **row} for one in ids], SHARD_SCHEMA)


@contextmanager
def supervised(store: Store, reported: list[str]) -> Iterator[Supervisor]:  # noqa: F811
    supervisor = Supervisor(store, reported.append)
    supervisor.start()
    try:
        yield supervisor
    finally:
        supervisor.stop()


@pytest.fixture
def finished(store: Store, request_: ScoreRequest) -> Job:  # noqa: F811
    """A finished job that nobody has looked at."""
    job = create_score_job(store, plan_scoring(store, request_))
    finish_scoring(job)
    return job


@pytest.fixture
def later(store: Store, request_: ScoreRequest) -> Callable[[], Job]:  # noqa: F811
    """Makes a finished job after the damaged one."""

    def make() -> Job:
        job = create_score_job(store, plan_scoring(store, replace(request_, template="plain", run="second")))
        finish_scoring(job)
        return job

    return make


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_job_is_set_aside_with_a_sentence_and_the_others_go_on(
    store: Store,  # noqa: F811
    finished: Job,
    later: Callable[[], Job],
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    damage, sentence = DAMAGED[name]
    damage(finished)
    reported: list[str] = []
    with supervised(store, reported) as supervisor:
        other = later()
        wait_for(lambda: other.is_settled, "the taking in of the other job")
        wait_for(lambda: any(sentence in notice for notice in supervisor.notices), "the sentence")
        assert not finished.is_settled
    assert [sentence in one for one in reported] == [True]
    found = [finding.sentence for finding in check_workspace(store, lambda _: None)]
    assert any(sentence in one for one in found)
    assert store.rows("SELECT name FROM run") == [("second",)]
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_lists_jobs_lives_with_one_that_cannot_be_read(store: Store, finished: Job, name: str) -> None:  # noqa: F811
    damage, sentence = DAMAGED[name]
    other = create_job(store.workspace, {"kind": "estimate", "dataset": "numbers"}, {})
    damage(finished)
    (fields, kept) = (
        status_fields(store)["jobs"] if finished.job_id < other.job_id else status_fields(store)["jobs"][::-1]
    )
    assert (fields["state"], kept["state"]) == ("unreadable", "interrupted")
    assert sentence in fields["problem"]
    assert sentence in status_text(status_fields(store))
    assert len(all_jobs(store.workspace)) == 2


def test_a_job_is_taken_in_once_its_files_are_whole(store: Store, finished: Job) -> None:  # noqa: F811
    whole = finished.shards[0].read_bytes()
    finished.shards[0].write_bytes(b"")
    with supervised(store, []) as supervisor:
        wait_for(lambda: supervisor.notices, "the sentence")
        finished.shards[0].write_bytes(whole)
        wait_for(lambda: finished.is_settled, "the taking in of the mended job")
        wait_for(lambda: not supervisor.notices, "the end of the sentence")
    assert losses(store) == 2 * ROWS


def test_a_job_that_was_set_aside_is_not_looked_at_until_it_changes(store: Store, finished: Job) -> None:  # noqa: F811
    looked: list[str] = []
    intake = intake_of(store)
    ingest = intake._ingest
    intake._ingest = lambda store, job: (looked.append(job.job_id), ingest(store, job))[1]
    cut(finished.shards[0])
    for _ in range(5):
        intake.take_in()
    assert len(looked) == 2
    finished.shards[0].write_bytes(b"other bytes")
    intake.take_in()
    assert len(looked) == 3


def test_an_error_that_nobody_foresaw_sets_its_job_aside_and_is_logged_once(
    store: Store,  # noqa: F811
    finished: Job,
    later: Callable[[], Job],
    caplog: pytest.LogCaptureFixture,
) -> None:
    (finished.folder / "job.json").write_bytes(b'{"kind": "score"}')  # a score job without parts: a KeyError
    other, intake = later(), intake_of(store)
    for _ in range(3):
        intake.take_in()
    assert other.is_settled
    assert not finished.is_settled
    assert [f"{finished.folder} cannot be taken in (KeyError" in str(problem) for problem in intake.problems] == [True]
    assert caplog.text.count("Traceback") == 1


def test_good_shards_of_a_job_with_a_damaged_one_are_kept(store: Store, finished: Job) -> None:  # noqa: F811
    cut(finished.shards[0])
    with pytest.raises(StoreUnusable, match="is damaged"):
        ingest_losses(store, finished)
    assert losses(store) == ROWS


def test_commands_say_it_and_go_on(store: Store, finished: Job) -> None:  # noqa: F811
    DAMAGED["job.json cut"][0](finished)
    store.close()
    said: list[str] = []
    with owned(store.workspace, "a test", said.append) as opened:
        assert status_fields(opened)["jobs"][0]["state"] == "unreadable"
    assert ["job.json is not valid JSON" in sentence for sentence in said] == [True]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"done": "many"}', b'{"unknown": 1}', b"\xff"])
def test_progress_that_cannot_be_read_is_said_to_be_so(finished: Job, content: bytes) -> None:
    (finished.folder / "progress.json").write_bytes(content)
    assert finished.progress.sentence() == "Its progress cannot be read"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"process": "x"}', b'{"process": 1e300}', b'{"process": -1}']
)
def test_a_damaged_note_of_a_start_means_that_no_worker_starts(finished: Job, content: bytes) -> None:
    (finished.folder / "starting.json").write_bytes(content)
    assert not LocalExecutor().is_alive(finished.folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"rows": []}'])
def test_a_damaged_progress_of_a_process_is_left_out(finished: Job, content: bytes) -> None:
    path = finished.folder / "processes" / "00.json"
    path.parent.mkdir()
    path.write_bytes(content)
    path.with_name("01.json").write_bytes(b'{"rows": 3, "elapsed_seconds": 1}')
    assert [tally.rows for tally in _tallies(finished, 3)] == [3]


def test_noise_counts_only_whole(store: Store, request_: ScoreRequest) -> None:  # noqa: F811
    """A number that is cut off is another number: 1e-05 becomes 1."""
    job = create_score_job(store, plan_scoring(store, request_))
    write_noise(job, "base", 1e-05)
    whole = (job.folder / "noise-base.txt").read_bytes()
    for size in range(len(whole)):
        (job.folder / "noise-base.txt").write_bytes(whole[:size])
        assert read_noise(job, "base") is None
    (job.folder / "noise-base.txt").write_bytes(whole)
    assert read_noise(job, "base") == 1e-05
    shutil.copyfile(job.folder / "noise-base.txt", job.folder / "noise-reference.txt")
    assert read_noise(job, "reference") is None


def test_a_shard_of_nulls_or_of_other_columns_is_refused(tmp_path: Path) -> None:
    ids = ["00000000-0000-0000-0000-000000000001"]
    without = shard_of(ids).set_column(2, SHARD_SCHEMA.field(2), pa.nulls(1, pa.int32()))
    for number, table in enumerate((without, shard_of(["{00000000-0000-0000-0000-000000000001}"]))):
        with pytest.raises(StoreUnusable, match="cannot be used"):
            read_shard(write_shard(tmp_path, f"bad-{number}", table))
    assert read_shard(write_shard(tmp_path, "none", shard_of([]))).num_rows == 0


# Requests


def test_a_request_always_gets_an_answer(store: Store) -> None:  # noqa: F811
    """One that cannot be answered stops neither the thread nor the next one."""
    bad = store.workspace / "requests" / "0000"
    (bad / "asker.lock").mkdir(parents=True)  # cannot be locked
    (bad / "request.json").write_text("{}")
    refusal = WorkspaceLocked("It is in use.")
    with Answering(store):
        with asked(store.workspace, "status", {}, refusal) as answer:
            assert answer.fields["datasets"][0]["name"] == "numbers"
        for kind, fields, sentence in (
            ("backup", {}, "could not answer"),
            ("backup", {"path": 7}, "could not answer"),
            ("dance", {}, "^The program that holds the workspace does not know"),
            ("select", {"recipe": []}, "^The recipe is"),
        ):
            with pytest.raises(RequestRefused, match=sentence), asked(store.workspace, kind, fields, refusal):
                pass


def test_whatever_fails_for_a_request_it_is_answered_in_that_round(tmp_path: Path) -> None:
    folder = tmp_path / "requests" / "0000"
    folder.mkdir(parents=True)
    (folder / "request.json").write_text('{"kind": "status", "fields": {}}')

    def fail(kind: str, fields: Fields, folder: Path) -> Fields:
        raise KeyError("a field")

    with open(folder / "asker.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        answer_requests(tmp_path, fail)
    assert "could not answer (KeyError" in json.loads((folder / "answer.json").read_text())["sentence"]


@pytest.mark.parametrize("name", ["n" * 250, "b\udcff.duckdb", "\ud800"])
def test_a_backup_under_a_name_that_cannot_be_is_refused(store: Store, tmp_path: Path, name: str) -> None:  # noqa: F811
    with pytest.raises(WriteFailed, match=r"longer than 200 bytes|not valid UTF-8"):
        back_up(store, tmp_path / name)
    path = str(tmp_path / name)
    with (
        Answering(store),
        pytest.raises(RequestRefused, match=r"longer than|not valid"),
        asked(store.workspace, "backup", {"path": path}, WorkspaceLocked("In use.")),
    ):
        pass


def test_a_request_that_goes_while_it_is_looked_at_is_passed_over(
    store: Store,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = store.workspace / "requests" / "0000"
    folder.mkdir(parents=True)
    (folder / "request.json").write_text("{}")

    def vanish(path: Path) -> bool:
        shutil.rmtree(folder)
        raise FileNotFoundError(path)

    monkeypatch.setattr("core.system.asking.is_locked", vanish)
    answer_requests(store.workspace, lambda kind, fields, folder: {})


# The watchdog


class Rounds(SteadyThread):
    """Does what it is given in each round."""

    does = "does the rounds"

    def __init__(self, do: Callable[[], object]) -> None:
        super().__init__("rounds", 0.001)
        self._do = do

    def do_round(self) -> None:
        self._do()


def test_a_thread_that_fails_goes_on_says_so_and_logs_the_traceback_once(caplog: pytest.LogCaptureFixture) -> None:
    rounds: list[None] = []
    failing = threading.Event()
    failing.set()

    def do() -> None:
        rounds.append(None)
        if failing.is_set():
            raise RuntimeError("a pipe burst")

    thread = Rounds(do)
    with caplog.at_level(logging.WARNING):
        thread.start()
        wait_for(lambda: len(rounds) > 5, "some rounds")
        assert "fails (RuntimeError: a pipe burst)" in str(thread.trouble)
        failing.clear()
        wait_for(lambda: thread.trouble is None, "a round that goes well")
        thread.stop()
    assert caplog.text.count("Traceback") == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_hangs_or_has_ended_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.system.steady_thread._SLOW_SECONDS", 0.0)
    goes_on, begun = threading.Event(), threading.Event()
    thread = Rounds(lambda: (begun.set(), goes_on.wait()))
    assert thread.trouble is None
    thread.start()
    begun.wait()
    assert "has been busy for" in str(thread.trouble)
    goes_on.set()
    thread.stop()
    assert thread.trouble is None

    def end() -> None:
        raise SystemExit  # what no loop should catch

    ended = Rounds(end)
    ended.start()
    ended.join()
    assert "has ended. Stop the program and start it again" in str(ended.trouble)


def test_a_step_of_the_supervisor_that_fails_keeps_no_other_from_being_done(
    store: Store,  # noqa: F811
    finished: Job,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def burst(*_: object) -> None:
        raise RuntimeError("a pipe burst")

    monkeypatch.setattr("core.workspace.supervisor_thread.advance_trials", burst)
    with supervised(store, []) as supervisor:
        monkeypatch.setattr(supervisor, "_look_for_begun_jobs", burst)
        wait_for(lambda: finished.is_settled, "the taking in of the job")
        wait_for(lambda: any("a pipe burst" in notice for notice in supervisor.notices), "the sentence")


def test_a_request_of_a_job_is_refused_in_one_sentence(finished: Job) -> None:
    (finished.folder / "job.json").write_bytes(b"{")
    for read in (lambda: finished.request, lambda: finished.kind, lambda: finished.state and finished.is_alive):
        with pytest.raises(JsonInvalid, match=r"job\.json"):
            read()
