"""Near duplicates as a job: real workers, a real store, and what is kept of a search."""

import json
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import core.near_duplicates.search
from core.data.errors import JobCancelled, NotFound, NoUsableRows, SelectionInvalid
from core.data.examples import DatasetRow, Example, Message
from core.jobs.job import Job, all_jobs
from core.jobs.local_executor import LocalExecutor
from core.near_duplicates.jobs import begin_near_duplicates, create_near_duplicate_job, open_search
from core.near_duplicates.search import RESULT, find_near_duplicates
from core.store import Store
from core.store.near_duplicates import (
    GROUPS_SCHEMA,
    near_duplicate_set,
    near_duplicate_set_id,
    near_duplicate_sets,
    save_near_duplicates,
)
from core.workspace.supervisor import abandon, check_outcome, ingest_finished_jobs
from tests import command_line
from tests.waiting import wait_for

SHIPS = "Forty ships lay in the harbour before noon, and every one of them flew a blue flag at its highest mast"
TEXTS = [f"{SHIPS}.", "An otter sleeps on its back and holds the paw of another", f"{SHIPS}!", "Tea is boiled at noon"]


def conversation(text: str) -> Example:
    return Example((Message("user", "Tell me."), Message("assistant", text)))


def add(store: Store, texts: Sequence[str], source: str, dataset: str = "harbour") -> None:
    rows = [DatasetRow(line, "all", conversation(text), b"{}") for line, text in enumerate(texts, 1)]
    store.add_source(dataset, source, "jsonl", f"sha256 of {source}", {}, rows)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "workspace", "a test") as opened:
        add(opened, [*TEXTS, TEXTS[0]], "first.jsonl")
        yield opened


def ids(*texts: str) -> set[str]:
    return {str(conversation(text).example_id) for text in texts}


def grouped(store: Store, threshold: float = 0.8) -> dict[int, set[str]]:
    """Example ids by group number."""
    set_id = near_duplicate_set_id(store, "harbour", threshold)
    rows = store.rows(
        "SELECT group_number, example_id::VARCHAR FROM near_duplicate WHERE near_duplicate_set_id = ?", [set_id]
    )
    return {number: {example_id for other, example_id in rows if other == number} for number, _ in rows}


def work_on(job: Job) -> None:
    """What a worker does, in this process."""
    job.finish({"state": "done", **find_near_duplicates(job)})


def search(store: Store, threshold: float = 0.8) -> Job:
    """A search from its job to the store."""
    job = create_near_duplicate_job(store, "harbour", threshold)
    work_on(job)
    ingest_finished_jobs(store)
    return job


def groups(*members: tuple[str, int]) -> pa.Table:
    rows = [{"example_id": str(conversation(text).example_id), "group_number": number} for text, number in members]
    return pa.Table.from_pylist(rows, GROUPS_SCHEMA)


def test_a_search_groups_different_examples_and_keeps_what_it_found(store: Store) -> None:
    job = search(store)
    assert check_outcome(job)["groups"] == 1
    assert job.is_settled
    assert grouped(store) == {1: ids(TEXTS[0], TEXTS[2])}
    found = near_duplicate_set(store, "harbour", 0.8)
    assert (found.example_count, found.group_count, found.grouped_examples, found.largest_group) == (4, 1, 2, 2)
    assert not found.stale
    assert not (job.folder / "search").exists()


@pytest.mark.parametrize("batch", [1, 3, 1000])
def test_groups_are_the_same_however_few_examples_are_read_at_a_time(
    batch: int, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = [f"{SHIPS} {mark}" for mark in "?;:"] + [f"{TEXTS[1]}{mark}" for mark in "!?"]
    add(store, copies, "second.jsonl")
    monkeypatch.setattr(core.near_duplicates.search, "_BATCH", batch)
    search(store)
    assert grouped(store) == {
        1: ids(TEXTS[0], TEXTS[2], *copies[:3]),
        2: ids(TEXTS[1], *copies[3:]),
    }


def test_a_search_that_holds_is_not_done_again(store: Store) -> None:
    search(store)
    assert begin_near_duplicates(store, "harbour", 0.8) is None
    assert len(all_jobs(store.workspace)) == 1


def test_a_search_that_finds_nothing_is_kept_too(store: Store) -> None:
    search(store, 0.99)
    found = near_duplicate_set(store, "harbour", 0.99)
    assert (found.group_count, found.grouped_examples, found.largest_group) == (0, 0, 0)


def test_rows_that_come_later_make_a_search_stale_until_it_is_done_again(store: Store) -> None:
    search(store)
    add(store, [f"{SHIPS}?"], "second.jsonl")
    assert near_duplicate_set(store, "harbour", 0.8).stale
    search(store)
    found = near_duplicate_sets(store, "harbour")
    assert [(each.threshold, each.example_count, each.stale) for each in found] == [(0.8, 5, False)]
    assert grouped(store) == {1: ids(TEXTS[0], TEXTS[2], f"{SHIPS}?")}


def test_another_copy_of_a_row_does_not_make_a_search_stale(store: Store) -> None:
    search(store)
    add(store, [TEXTS[1]], "second.jsonl")
    assert not near_duplicate_set(store, "harbour", 0.8).stale


def test_the_order_of_import_changes_neither_groups_nor_numbers(store: Store, tmp_path: Path) -> None:
    twin = "tea is boiled at noon"
    add(store, [twin], "second.jsonl")
    search(store)
    with Store.open(tmp_path / "other", "a test") as other:
        add(other, [twin, *reversed(TEXTS)], "all.jsonl")
        search(other)
        assert grouped(other) == grouped(store)


@pytest.mark.usefixtures("slow_starts")
def test_a_killed_worker_is_noticed_and_the_search_begins_anew(store: Store) -> None:
    add(store, [f"{SHIPS} number {number}" for number in range(10_000)], "many.jsonl")
    job = begin_near_duplicates(store, "harbour", 0.8)
    assert job is not None
    wait_for(lambda: job.progress.done and job.is_alive, "the first batch")
    os.kill(int(json.loads((job.folder / "starting.json").read_text(encoding="utf-8"))["process"]), signal.SIGKILL)
    wait_for(lambda: job.state == "interrupted", "the death of the worker")
    assert (job.folder / "search").exists()
    ingest_finished_jobs(store)
    assert near_duplicate_sets(store, "harbour") == []
    assert open_search(store, "harbour", 0.8) == job
    assert begin_near_duplicates(store, "harbour", 0.8) == job
    wait_for(lambda: job.state == "done", "the end of the search")
    ingest_finished_jobs(store)
    assert near_duplicate_set(store, "harbour", 0.8).largest_group == 10_002
    assert not (job.folder / "search").exists()


def test_a_running_search_is_joined(store: Store) -> None:
    add(store, [f"{SHIPS} number {number}" for number in range(6_000)], "many.jsonl")
    job = begin_near_duplicates(store, "harbour", 0.8)
    assert begin_near_duplicates(store, "harbour", 0.8) == job
    assert job is not None
    job.cancel()
    wait_for(lambda: job.state == "cancelled", "the end of the search")
    ingest_finished_jobs(store)
    assert near_duplicate_sets(store, "harbour") == []


def test_a_cancelled_search_saves_nothing_and_can_be_begun_again(store: Store) -> None:
    job = create_near_duplicate_job(store, "harbour", 0.8)
    job.cancel()
    with pytest.raises(JobCancelled, match="nothing was saved"):
        find_near_duplicates(job)
    job.finish({"state": "cancelled", "message": "Cancelled."})
    ingest_finished_jobs(store)
    assert near_duplicate_sets(store, "harbour") == []
    assert search(store) != job
    assert near_duplicate_set(store, "harbour", 0.8).group_count == 1


def test_an_interrupted_search_can_be_given_up(store: Store) -> None:
    job = create_near_duplicate_job(store, "harbour", 0.8)
    assert open_search(store, "harbour", 0.8) == job
    abandon(store, job)
    assert job.is_settled
    assert open_search(store, "harbour", 0.8) is None


def test_taking_a_search_in_twice_changes_nothing(store: Store) -> None:
    job = search(store)
    expected = grouped(store)
    (job.folder / "settled").unlink()
    ingest_finished_jobs(store)
    assert grouped(store) == expected
    assert len(near_duplicate_sets(store, "harbour")) == 1


def test_a_dataset_that_is_gone_fails_the_search_with_a_sentence(store: Store) -> None:
    job = create_near_duplicate_job(store, "harbour", 0.8)
    work_on(job)
    store.remove_dataset("harbour")
    ingest_finished_jobs(store)
    assert job.is_settled
    assert job.state == "failed"
    assert "No dataset is named 'harbour'" in job.outcome["message"]


def test_a_worker_needs_the_jobs_folder_alone(store: Store) -> None:
    job = create_near_duplicate_job(store, "harbour", 0.8)
    assert LocalExecutor().start(job.folder).wait() == 0
    assert check_outcome(job)["grouped_examples"] == 2
    assert set(pq.read_table(job.folder / RESULT)["example_id"].to_pylist()) == ids(TEXTS[0], TEXTS[2])


def test_searches_are_kept_by_dataset_and_threshold_and_replaced(store: Store) -> None:
    add(store, TEXTS, "other.jsonl", dataset="other")
    save_near_duplicates(store, "harbour", 0.8, 4, groups((TEXTS[0], 1), (TEXTS[1], 1)))
    save_near_duplicates(store, "harbour", 0.5, 4, groups((TEXTS[0], 1), (TEXTS[1], 1), (TEXTS[2], 1)))
    other = save_near_duplicates(store, "other", 0.8, 4, groups())
    new = save_near_duplicates(store, "harbour", 0.1 + 0.7, 4, groups((TEXTS[2], 1), (TEXTS[3], 1)))
    found = near_duplicate_sets(store, "harbour")
    assert [(each.threshold, each.grouped_examples) for each in found] == [(0.8, 2), (0.5, 3)]
    assert found[0].near_duplicate_set_id == new == near_duplicate_set_id(store, "harbour", 0.8)
    assert near_duplicate_set_id(store, "other", 0.8) == other
    assert grouped(store) == {1: ids(TEXTS[2], TEXTS[3])}


def test_removing_a_dataset_removes_its_searches_only(store: Store) -> None:
    add(store, TEXTS, "other.jsonl", dataset="other")
    for dataset in ("harbour", "other"):
        save_near_duplicates(store, dataset, 0.8, 4, groups((TEXTS[0], 1), (TEXTS[1], 1)))
    store.remove_dataset("harbour")
    assert store.rows("SELECT count(*) FROM near_duplicate_set") == [(1,)]
    assert store.rows("SELECT count(*) FROM near_duplicate") == [(2,)]


def test_a_search_that_was_never_done_says_how_to_do_it(store: Store) -> None:
    with pytest.raises(NotFound, match=r"python -m core near-duplicates --dataset harbour --threshold 0\.75"):
        near_duplicate_set_id(store, "harbour", 0.75)
    with pytest.raises(NotFound, match="No dataset is named 'sea'"):
        near_duplicate_set_id(store, "sea", 0.75)


@pytest.mark.parametrize("threshold", [0.49, 1.01, float("nan")])
def test_a_threshold_out_of_range_is_refused(store: Store, threshold: float) -> None:
    with pytest.raises(SelectionInvalid, match=r"between 0\.5"):
        begin_near_duplicates(store, "harbour", threshold)


def test_a_dataset_without_rows_is_refused(store: Store) -> None:
    store.add_source("empty", "e.jsonl", "jsonl", "nothing", {}, [])
    with pytest.raises(NoUsableRows, match="Import a file"):
        begin_near_duplicates(store, "empty", 0.8)


def test_the_command_reports_what_it_found_and_uses_it_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": "Tell me.", "completion": text}) + "\n" for text in TEXTS), "utf-8")
    workspace = tmp_path / "workspace"
    command_line.result(workspace, "import", path, "--dataset", "harbour")
    found = command_line.result(workspace, "near-duplicates", "--dataset", "harbour", "--threshold", "0.8")
    assert found.pop("elapsed_seconds") > 0
    expected = {"dataset": "harbour", "threshold": 0.8, "examples": 4, "groups": 1, "grouped_examples": 2}
    assert found == {**expected, "largest_group": 2, "computed": True}
    again = command_line.result(workspace, "near-duplicates", "--dataset", "harbour")
    assert (again["computed"], again["groups"], again["elapsed_seconds"]) == (False, 1, 0)
    done = command_line.run(workspace, "near-duplicates", "--dataset", "sea")
    assert done.returncode == 1
    assert "No dataset is named 'sea'" in done.stderr
