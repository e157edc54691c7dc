"""A disk that is full or fails, at every write point of every operation that writes: a sentence, nothing half, what was
there can be read, and the same again succeeds with the same result."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from core import worker
from core.data.errors import UserError
from core.exporting import export_bundle, export_controls, export_selection, exports_folder
from core.importing import SourceOptions, import_source
from core.models.resolving import PROVENANCE
from core.scoring.planning import ScoreRequest, create_score_job, plan_scoring
from core.selection import Amount, Selection, save_selection
from core.store import Store
from core.system.disk_errors import translate_disk_errors
from core.training.training_plan import TrainRequest, create_train_job
from core.workspace.loss_table import write_losses
from core.workspace.maintenance.backups import back_up
from core.workspace.maintenance.checking import check_workspace
from core.workspace.supervisor import ingest_finished_jobs
from tests import command_line
from tests.core.store.test_migrations import old_workspace, version  # noqa: F401 (fixtures)
from tests.core.workspace.test_supervision import finish_scoring, train
from tests.fakes import ScoredRecord, build_scored_store
from tests.faults import failing_disk, files_no_larger_than

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
RECIPE = Selection("planets", amount=Amount("rows", 8))
SIZES = (0, 100, 4_096, 65_536)
"""Most bytes that a file may have, in turn."""
MOST_POINTS = int(os.environ.get("LOBASS_TEST_WRITE_POINTS", "8"))
"""About how many write points of an operation are tried; an operation that has more is tried at every n-th. `make soak`
tries all."""
Operation = Callable[[Store], object]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def exports_of(store: Store) -> Path:
    return exports_folder(store.workspace)


def import_rows(store: Store) -> object:
    rows = store.workspace.parent / "rows.jsonl"
    return import_source(store, "more", rows, SourceOptions()).rows


def ingest(store: Store) -> object:
    ingest_finished_jobs(store)
    return store.rows("SELECT name FROM run ORDER BY name"), store.rows("SELECT count(*) FROM loss")


def publish(store: Store) -> object:
    ingest_finished_jobs(store)
    return json.loads((store.workspace / "models" / "taught" / PROVENANCE).read_text(encoding="utf-8"))["files"]


def export_as(name: str) -> Operation:
    def export(store: Store) -> object:
        export_selection(store, RECIPE, exports_of(store) / name, None, True, False, "best")
        return digest(exports_of(store) / name)

    return export


def bundle_as(name: str) -> Operation:
    def export(store: Store) -> object:
        return export_bundle(store, RECIPE, exports_of(store) / name, "trl", "best").sha256

    return export


def controls(store: Store) -> object:
    folder = exports_of(store) / "controls"
    found = export_controls(store, RECIPE, folder, "jsonl", 1, bundle=None, name="best")
    return sorted(digest(folder / path.name) for path in folder.glob("*.jsonl")), len(found.controls)


def losses_file(store: Store) -> object:
    path = exports_of(store) / "losses.parquet"
    write_losses(store, "planets", path)
    return digest(path)


def select(store: Store) -> object:
    return save_selection(store, "worst", replace(RECIPE, order="lowest")).to_fields()["kept_rows"]


def backup(store: Store) -> object:
    path = store.workspace.parent / "a backup"
    path.unlink(missing_ok=True)
    return back_up(store, path).changes


def score_job(store: Store) -> object:
    """Everything up to the worker's start, which a job that is there already would only be joined by."""
    found = store.workspace.parent / "request.json"
    plan = plan_scoring(store, ScoreRequest(**json.loads(found.read_text(encoding="utf-8"))))
    with translate_disk_errors("The scoring job"):  # as begin_scoring says it, which would start a worker too
        create_score_job(store, plan)
    return plan.computed


OPERATIONS: dict[str, Operation] = {
    "import": import_rows,
    "ingest": ingest,
    "publish": publish,
    "export jsonl": export_as("best.jsonl"),
    "export csv.gz": export_as("best.csv.gz"),
    "export parquet": export_as("best.parquet"),
    "bundle folder": bundle_as("bundle"),
    "bundle zip": bundle_as("bundle.zip"),
    "controls": controls,
    "losses": losses_file,
    "select": select,
    "backup": backup,
    "score job": score_job,
}
WRITTEN_BY_THE_DATABASE = ("import", "select")
"""What these write is met by the limit on the size of files; the record of changes may fail without a word."""
COUNTED: dict[str, int] = {}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, tiny_reference: Path) -> Path:
    """A folder with a workspace (a scored run, a finished score job, a finished training) and a file to import."""
    folder = tmp_path_factory.mktemp("prepared")
    command_line.write_rows(folder / "rows.jsonl", 400)
    records = [ScoredRecord("chat" if i % 2 else "math", 2.0 - i / 40, 1.0 - i / 80) for i in range(20)]
    request = {
        "dataset": "space",
        "base": str(tiny_base),
        "reference": str(tiny_reference),
        "run": "r",
        "device": "cpu",
    }
    (folder / "request.json").write_text(json.dumps(request | {"run": "third", "template": "plain"}), encoding="utf-8")
    with build_scored_store(folder / "workspace", records) as store:
        save_selection(store, "best", RECIPE)
        exports_folder(store.workspace)
        finish_scoring(create_score_job(store, plan_scoring(store, ScoreRequest(**request))))
        train(create_train_job(store, TrainRequest("space", str(tiny_base), "taught", method="full", device="cpu")))
    return folder


def fresh(prepared: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(prepared, folder)
    return folder / "workspace"


def reads(store: Store) -> None:
    """Reading goes on: a query, and a page's worth of the scored table."""
    assert store.rows("SELECT count(*) FROM scored_1") == [(20,)]


def half_done(store: Store) -> list[str]:
    """What a check finds, but for what is only to be removed."""
    found = check_workspace(store, lambda _: None)
    return [finding.sentence for finding in found if not finding.sentence.endswith("It can be removed.")]


def assert_recovers(store: Store, operation: Operation, expected: object, undisturbed: bool) -> None:
    assert half_done(store) == []
    reads(store)
    if not undisturbed:
        assert operation(store) == expected
        assert half_done(store) == []


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_disk_that_fails_at_any_write_point_loses_nothing(name: str, prepared: Path, tmp_path: Path) -> None:
    operation = OPERATIONS[name]
    with Store.open(fresh(prepared, tmp_path / "f"), "a test") as store, failing_disk(tmp_path / "f") as disk:
        expected = operation(store)
    said: list[str] = []
    points = range(1, disk.points + 1, 1 + disk.points // MOST_POINTS)
    COUNTED[name] = len(points)
    for at in points:
        with Store.open(fresh(prepared, tmp_path / "f"), "a test") as store:
            done = False
            code = errno.ENOSPC if at % 2 else errno.EIO
            with failing_disk(tmp_path / "f", at, code):
                try:
                    done = operation(store) == expected
                except UserError as error:
                    said.append(str(error))
                reads(store)
            assert_recovers(store, operation, expected, done)
    assert said or name in WRITTEN_BY_THE_DATABASE
    assert all(sentence.endswith((".", "FILE")) for sentence in said)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_disk_that_takes_only_so_much_loses_nothing(name: str, prepared: Path, tmp_path: Path) -> None:
    operation = OPERATIONS[name]
    with Store.open(fresh(prepared, tmp_path / "f"), "a test") as store:
        expected = operation(store)
    refused = 0
    for size in SIZES:
        with Store.open(fresh(prepared, tmp_path / "f"), "a test") as store:
            done = False
            with files_no_larger_than(size):
                try:
                    done = operation(store) == expected
                except UserError:
                    refused += 1
                reads(store)
            assert_recovers(store, operation, expected, done)
    assert refused


def scored_by_worker(prepared: Path, folder: Path, at: int) -> tuple[int, int]:
    """A real worker scores twenty examples under two models on a disk that fails at its write point `at`, and is
    started again where it failed; returns its write points and how many losses the store got."""
    workspace = fresh(prepared, folder)
    with Store.open(workspace, "a test") as store:
        request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
        plan = plan_scoring(store, ScoreRequest(**request))
        job = create_score_job(store, plan)
        with failing_disk(folder, at) as disk:
            try:
                ended = worker.main([str(job.folder)])
            except (UserError, OSError):
                ended = 1  # nor could its outcome be written: its process ends, and the job counts as interrupted
        if ended:
            (job.folder / "outcome.json").unlink(missing_ok=True)
            assert worker.main([str(job.folder)]) == 0
        ingest_finished_jobs(store)
        assert job.is_settled
        assert half_done(store) == []
        sql = "SELECT count(*) FROM loss WHERE list_contains(?, loss_set_id)"
        return disk.points, int(store.rows(sql, [list(plan.loss_sets.values())])[0][0])


def test_a_worker_on_a_disk_that_fails_goes_on_when_it_is_started_again(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOBASS_SHARD_SECONDS", "0")
    points, expected = scored_by_worker(prepared, tmp_path / "f", 0)
    tried = range(1, points + 1, 1 + points // MOST_POINTS)
    COUNTED["worker"] = len(tried)
    assert expected == 40
    for at in tried:
        assert scored_by_worker(prepared, tmp_path / "f", at)[1] == expected


def open_old(folder: Path) -> tuple[int, object]:
    with Store.open(folder / "workspace", "a test") as store:
        return store.changes, store.rows("SELECT row_number, learnability FROM scored_1 ORDER BY 1")


def test_a_migration_on_a_disk_that_fails_leaves_the_old_store(
    old_workspace: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    kept = Path(shutil.copytree(old_workspace.parent, tmp_path.parent / f"{tmp_path.name}-kept"))
    before = digest(kept / "workspace" / "store.duckdb")
    with failing_disk(tmp_path) as disk:
        _, expected = open_old(tmp_path)
    COUNTED["migration"] = disk.points
    faults = [failing_disk(tmp_path, at) for at in range(1, disk.points + 1)]
    for fault in [*faults, *(files_no_larger_than(size) for size in (0, 4_096, 600_000, 1_000_000))]:
        workspace = fresh(kept, tmp_path)
        said = False
        with fault:
            try:
                open_old(tmp_path)
            except UserError:
                said = True
        if said and not (workspace / "store.duckdb.wal").exists():
            assert digest(workspace / "store.duckdb") == before
        assert open_old(tmp_path)[1] == expected
        assert not list(workspace.glob(".*.tmp"))


def test_the_operations_have_more_than_fifty_write_points() -> None:
    if len(COUNTED) > len(OPERATIONS):  # not where only some of the tests above were chosen
        assert sum(COUNTED.values()) >= 50
