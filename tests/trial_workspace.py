"""A workspace in which a trial can be planned: 40 short rows in two domains, scored, with saved selections and a
near-duplicate search; losses of the run are given by hand, so that no worker is needed to make it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from core.data.examples import DatasetRow, Example, Message
from core.jobs.job import Job
from core.jobs.shards import SHARD_SCHEMA, write_shard
from core.near_duplicates.jobs import DEFAULT_THRESHOLD
from core.scoring.planning import ScoreRequest, create_score_job, plan_scoring
from core.selection import Amount, Selection, save_selection
from core.store import Store
from core.store.near_duplicates import GROUPS_SCHEMA, save_near_duplicates
from core.workspace.running import wait_for_first
from core.workspace.supervisor import ingest_finished_job
from core.workspace.trial_planning import TrialRequest
from core.workspace.trials import run_trial

ROWS = 40
RUN = "first"
HALF = Selection(RUN, amount=Amount("ratio", 0.5))


def build_trial_workspace(workspace: Path, base: Path, reference: Path) -> None:
    """Make the workspace; it is closed again."""
    with Store.open(workspace, "a test") as store:
        rows = [_row(number) for number in range(1, ROWS + 1)]
        store.add_source("numbers", "n.jsonl", "jsonl", "a hash", {}, rows)
        request = ScoreRequest("numbers", str(base), str(reference), run=RUN, device="cpu")
        job = create_score_job(store, plan_scoring(store, request))
        _write_losses(job, "base", [3.0] * ROWS)
        _write_losses(job, "reference", [1.0 + number / ROWS for number in range(ROWS)])
        (job.folder / "noise-base.txt").write_text("0.001", encoding="ascii")
        job.finish({"state": "done", "tokens": 8, "elapsed_seconds": 1.0})
        ingest_finished_job(store, job)
        groups = pa.table({"example_id": [], "group_number": []}, GROUPS_SCHEMA)
        save_near_duplicates(store, "numbers", DEFAULT_THRESHOLD, ROWS, groups)
        save_selection(store, "half", HALF)
        save_selection(store, "few", Selection(RUN, amount=Amount("rows", 2)))


def trial_request(**other: Any) -> TrialRequest:
    """A trial of two arms and one model of each, about four steps long; a quarter of the rows is held out."""
    chosen: dict[str, Any] = {
        "name": "small", "run": RUN, "selections": ("half",), "arms": ("random-by-domain",), "draws": 1, "seeds": 1,
        "budget": 400, "held_out": 0.25, "method": "full", "learning_rate": 1e-3, "batch_tokens": 100, "device": "cpu",
    }  # fmt: skip
    return TrialRequest(**chosen | other)


def finish_trial(planned: Path, folder: Path) -> None:
    """Make a copy of a workspace and run its trial there, one model after another and undisturbed."""
    with Store.open(shutil.copytree(planned, folder), "a test") as store:
        run_trial(store, "small", wait_quietly, lambda _: None)


def wait_quietly(store: Store, *jobs: Job) -> dict[str, Any]:
    """Wait for a job, or for the first of several, with nothing on the screen."""
    return wait_for_first(store, jobs, _unshown, _unsaid)


def cell_results(workspace: Path, name: str = "small") -> dict[str, Any]:
    """What the cells of a trial have: their losses, rounded, and the tokens they were trained on."""
    found: dict[str, Any] = {}
    for path in sorted((workspace / "trials" / name / "cells").glob("*.json")):
        losses = pq.read_table(path.with_suffix(".parquet")).to_pydict()
        fields = json.loads(path.read_text(encoding="utf-8"))
        sums = dict(zip(losses["example_id"], (round(nats, 4) for nats in losses["nll_sum"]), strict=True))
        found[path.stem] = (sums, fields.get("input_tokens"))
    return found


def _row(number: int) -> DatasetRow:
    example = Example((Message("user", f"Say {number}."), Message("assistant", f"It is {number}, then {number + 1}.")))
    return DatasetRow(number, "odd" if number % 2 else "even", example, json.dumps({"number": number}).encode())


def _write_losses(job: Job, role: str, losses: list[float]) -> None:
    """What a worker would have written: losses [nats per token] for responses of 10 tokens."""
    ids = pq.read_table(job.folder / f"{role}.parquet")["example_id"].to_pylist()
    columns: dict[str, Callable[[int], Any]] = {
        "example_id": lambda place: ids[place],
        "nll_sum": lambda place: 10 * losses[place],
        "token_count": lambda _: 10,
        "truncated": lambda _: False,
        "reason": lambda _: None,
    }
    rows = [{name: value(place) for name, value in columns.items()} for place in range(len(ids))]
    write_shard(job.folder / "shards", f"{job.shard_prefix(role)}000001", pa.Table.from_pylist(rows, SHARD_SCHEMA))


def _unshown(_: Job) -> None:
    """No progress bar."""


def _unsaid(_: str) -> None:
    """No sentence."""
