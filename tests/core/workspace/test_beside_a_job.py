"""Commands that read, and `select`, give beside the workspace's owner what they give alone."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from core.cli.terminal import done_by_owner, readable_store
from core.data.errors import RequestRefused, WorkspaceLocked
from core.jobs.job import Job, all_jobs
from core.selection import Amount, Selection, coverage_fields, kept_rows, saved_selection_names
from core.selection.recipe import Spread
from core.store import Store
from core.system import asking
from core.system.asking import answer_requests
from core.training.checkpoints import CHECKPOINT_COMPLETE
from core.workspace.answering import Answering, perform
from core.workspace.maintenance.checking import check_workspace
from tests import command_line
from tests.waiting import wait_for

# Small batches, each a shard of its own: the job is under way long before it has ended.
SLOW = {"LOBASS_CPU_BATCH_TOKENS": "64", "LOBASS_SHARD_SECONDS": "0", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, tiny_reference: Path) -> Path:
    """A workspace with a run "few" of 30 rows, and a dataset "many" of which nothing is computed; copy it."""
    folder = tmp_path_factory.mktemp("scored")
    for name, count in (("few", 30), ("many", 400)):
        rows = command_line.write_rows(folder / f"{name}.jsonl", count)
        command_line.result(folder / "w", "import", rows, "--dataset", name, "--domain-field", "domain")
    models = ["--base", tiny_base, "--reference", tiny_reference]
    command_line.result(folder / "w", "score", "--dataset", "few", "--run", "few", *models, OMP_NUM_THREADS="1")
    return folder / "w"


@pytest.fixture
def workspace(tmp_path: Path, scored: Path) -> Path:
    return shutil.copytree(scored, tmp_path / "w")


@contextmanager
def held_job(workspace: Path, *command: object) -> Iterator[Job]:
    """Run a command that waits for a job, the worker of which is stopped in the middle and killed at the end."""
    known = {job.job_id for job in all_jobs(workspace)}
    owner = command_line.start(workspace, *command, **SLOW)

    def begun() -> Job | None:
        job = all_jobs(workspace)[-1]
        under_way = job.shards or any(job.folder.glob(f"checkpoints/*/{CHECKPOINT_COMPLETE}"))
        return job if job.job_id not in known and under_way else None

    try:
        job = wait_for(begun, "the job's first results")
        assert job is not None
        worker = int(json.loads((job.folder / "starting.json").read_text(encoding="utf-8"))["process"])
        os.kill(worker, signal.SIGSTOP)
        try:
            assert job.state == "running"
            yield job
            assert job.state == "running"
        finally:
            os.kill(worker, signal.SIGKILL)
    finally:
        _, stderr = owner.communicate()
    assert "died before it finished" in stderr


def reading_commands(workspace: Path, folder: Path) -> dict[str, Any]:
    """What the commands give: their JSON, and the bytes that they write."""
    folder.mkdir()
    table, kept, bundle = folder / "losses.csv", folder / "kept.jsonl", folder / "kept.zip"
    given = {
        "losses": command_line.result(workspace, "losses", "--run", "few", "--output", table),
        "select": command_line.result(workspace, "select", "--run", "few", "--name", "best", "--ratio", "0.4"),
        "export": command_line.result(workspace, "export", "--selection", "best", "--output", kept, "--with-scores"),
        "bundle": command_line.result(
            workspace, "export", "--selection", "best", "--output", bundle, "--bundle", "trl", "--controls", 1
        ),
        "status": command_line.result(workspace, "status"),
    }
    given["status"].pop("jobs")  # the other job goes on meanwhile
    text = json.dumps(given).replace(str(folder), "FOLDER")
    return {**json.loads(text), "table": table.read_bytes(), "kept": kept.read_bytes()}


@pytest.mark.parametrize("kind", ["score", "train"])
def test_commands_give_beside_a_job_what_they_give_after_it(
    tmp_path: Path, workspace: Path, tiny_base: Path, tiny_reference: Path, kind: str
) -> None:
    command: list[object] = ["score", "--dataset", "many", "--base", tiny_base, "--reference", tiny_reference]
    if kind == "train":
        command = ["train", "--dataset", "many", "--base", tiny_base, "--name", "taught", "--method", "full"]
        command += ["--batch-tokens", 64]
    with held_job(workspace, *command):
        beside = reading_commands(workspace, tmp_path / "beside")
        assert list((workspace / "requests").iterdir()) == []
    after = reading_commands(workspace, tmp_path / "after")
    assert beside["select"]["kept"] == 12
    assert beside["table"].count(b"\n") == 31
    assert beside == after
    assert not (workspace / "requests").exists() or list((workspace / "requests").iterdir()) == []
    with Store.open(workspace, "a test") as store:
        # The worker may have been stopped, and so killed, while it wrote its progress.
        assert [found for found in check_workspace(store, lambda _: None) if found.check != "leftovers"] == []


def test_what_fails_beside_a_job_fails_with_the_sentence_of_the_command_alone(
    tmp_path: Path, workspace: Path, tiny_base: Path, tiny_reference: Path
) -> None:
    commands: list[list[object]] = [
        ["losses", "--run", "none", "--output", tmp_path / "losses.csv"],
        ["select", "--run", "none", "--name", "best", "--ratio", "0.5"],
        ["export", "--selection", "none", "--output", tmp_path / "kept.jsonl"],
    ]
    with held_job(workspace, "score", "--dataset", "many", "--base", tiny_base, "--reference", tiny_reference):
        beside = [command_line.run(workspace, *command) for command in commands]
    alone = [command_line.run(workspace, *command) for command in commands]
    assert [done.returncode for done in beside] == [1, 1, 1]
    assert [done.stderr for done in beside] == [done.stderr for done in alone]
    assert "No run is named 'none'" in beside[0].stderr


def test_encode_and_masks_give_beside_an_owner_what_they_give_alone(
    tmp_path: Path, workspace: Path, tiny_base: Path
) -> None:
    """The model is a reference of the workspace, of which only the store is copied."""
    shutil.copytree(tiny_base, workspace / "models" / "taught")
    (workspace / "models" / "taught" / "provenance.json").write_text("{}", encoding="utf-8")
    command_line.result(workspace, "select", "--run", "few", "--name", "best", "--ratio", "0.4")
    file = tmp_path / "tokens.jsonl"
    encode = ["encode", "--dataset", "few", "--model", "taught", "--output", file, "--rows", 3]
    masks = ["masks", "--selection", "best", "--bundle", "trl", "--rows", 3]

    def given() -> list[Any]:
        return [command_line.result(workspace, *encode), file.read_bytes(), command_line.result(workspace, *masks)]

    with Store.open(workspace, "a test") as store, Answering(store):
        beside = given()
    assert beside == given()


def test_an_owner_that_does_not_answer_is_said(
    scored_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "_ANSWER_SECONDS", 0.2)
    said = r"is in use by a test \(process .* It is busy and has not answered; try again later\."
    with pytest.raises(WorkspaceLocked, match=said):
        done_by_owner(scored_store.workspace, "status", {})
    with pytest.raises(WorkspaceLocked, match=said), readable_store(scored_store.workspace, "losses"):
        pass
    assert list((scored_store.workspace / "requests").iterdir()) == []


def test_a_command_whose_owner_ends_without_an_answer_owns_the_workspace_itself(scored_store: Store) -> None:
    command = command_line.start(scored_store.workspace, "status", "--json")
    wait_for(lambda: list(scored_store.workspace.glob("requests/*/request.json")), "the request")
    scored_store.close()
    stdout, stderr = command.communicate()
    assert command.returncode == 0, stderr
    assert [run["name"] for run in json.loads(stdout)["runs"]] == ["planets"]


def test_what_was_withdrawn_is_not_done_and_leaves_nothing(scored_store: Store) -> None:
    options = ["--run", "planets", "--name", "best", "--ratio", "0.5"]
    command = command_line.start(scored_store.workspace, "select", *options)
    wait_for(lambda: list(scored_store.workspace.glob("requests/*/request.json")), "the request")
    command.kill()
    command.communicate()
    answer_requests(scored_store.workspace, lambda kind, fields, folder: perform(scored_store, kind, fields, folder))
    assert saved_selection_names(scored_store) == []
    assert list((scored_store.workspace / "requests").iterdir()) == []


def test_a_snapshot_is_of_one_moment_and_leaves_the_owners_store_alone(scored_store: Store) -> None:
    with Answering(scored_store), readable_store(scored_store.workspace, "losses") as copy:
        scored_store.ensure_loss_set("other weights", "encoding", "another model")
        assert copy.rows("SELECT count(*) FROM loss_set") == [(2,)]
        copy.remove_dataset("space")
        assert copy.workspace.parent == scored_store.workspace / "requests"
    assert scored_store.rows("SELECT count(*) FROM dataset_row") == [(20,)]
    assert not copy.workspace.exists()


def test_a_snapshot_reads_the_owners_embeddings_and_takes_none_of_them_along(embedded: Store) -> None:
    spread = Selection("planets", amount=Amount("rows", 6), spread=Spread("k_center", 0.9))
    kept, values = kept_rows(embedded, spread)
    with Answering(embedded), readable_store(embedded.workspace, "export") as copy:
        assert copy.rows(*kept_rows(copy, spread)) == embedded.rows(kept, values)
        assert coverage_fields(copy, spread) == coverage_fields(embedded, spread)
    assert coverage_fields(embedded, spread)
    assert not copy.workspace.exists()


@pytest.mark.parametrize(
    ("kind", "fields", "sentence"),
    [
        ("remove", {}, "does not know the request 'remove'"),
        ("select", {}, r"could not answer \(KeyError: 'recipe'\)"),
        ("select", {"name": "best", "recipe": {"run": "none"}}, "."),
    ],
)
def test_a_request_that_cannot_be_done_is_answered_with_a_sentence_and_the_owner_goes_on(
    scored_store: Store, kind: str, fields: dict[str, Any], sentence: str
) -> None:
    with Answering(scored_store):
        refusal = WorkspaceLocked("in use")
        with pytest.raises(RequestRefused, match=sentence), asking.asked(scored_store.workspace, kind, fields, refusal):
            pass
        assert done_by_owner(scored_store.workspace, "status", {})["runs"][0]["name"] == "planets"


def test_a_request_of_another_form_is_thrown_away(scored_store: Store) -> None:
    folder = scored_store.workspace / "requests" / "of somebody else"
    folder.mkdir(parents=True)
    (folder / "request.json").write_text("{", encoding="utf-8")
    answer_requests(scored_store.workspace, lambda kind, fields, folder: perform(scored_store, kind, fields, folder))
    assert list((scored_store.workspace / "requests").iterdir()) == []
