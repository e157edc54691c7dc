"""All that a folder holds is on disk before the folder gets its name, or the mark that says it is whole."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.evidence import cells
from core.evidence.trial_jobs import CELL, publish_cell
from core.jobs.example_chunks import EXAMPLES_SCHEMA
from core.jobs.job import Job, create_job
from core.scoring.earlier_shards import drop_unsound_shards
from core.store import Store
from core.system.atomic_files import flush_folder, published_folder, write_durably
from core.training.recorded_models import HELD_OUT_LOSSES
from tests.disk_order import disk_order
from tests.trial_files import plan_of, write_trial


def test_a_published_folder_is_flushed_with_all_that_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with disk_order(monkeypatch) as order, published_folder(tmp_path / "bundle") as unfinished:
        (unfinished / "parts").mkdir()
        (unfinished / "parts" / "data").write_bytes(b"data")
        (unfinished / "readme").write_bytes(b"text")
    assert order.unflushed(tmp_path / "bundle", tmp_path / "bundle") == []


def test_a_new_name_is_on_the_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bundles").mkdir()
    with disk_order(monkeypatch) as order:
        write_durably(tmp_path / "files" / "file", [b"data"])
        with published_folder(tmp_path / "bundles" / "bundle"):
            pass
    assert order.keeps_name(tmp_path / "files" / "file")
    assert order.keeps_name(tmp_path / "bundles" / "bundle")


def test_a_pipe_or_a_broken_link_in_a_folder_does_not_hold_up_its_flush(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    flush_folder(tmp_path)


def test_the_files_of_a_job_are_flushed_before_its_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = pa.table([["1"], ["{}"], [""]], schema=EXAMPLES_SCHEMA)
    with disk_order(monkeypatch) as order:
        job = create_job(tmp_path, {"kind": "train"}, {"examples": examples}, {"folds": examples})
    assert order.unflushed(job.folder, job.folder / "job.json") == []


def test_the_model_of_a_trial_is_flushed_before_it_gets_its_place(
    scored_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = write_trial(scored_store, plan_of("planets"), done=0)
    cell = next(cells(trial.plan))
    request = {"kind": CELL, "trial": trial.name, "arm": cell.arm, "ratio": cell.ratio, "draw": cell.draw,
               "seed": cell.seed, "arm_rows": 1, "keep_model": True}  # fmt: skip
    job = create_job(scored_store.workspace, request, {})
    (job.folder / "model").mkdir()
    (job.folder / "model" / "adapter_model.safetensors").write_bytes(b"weights")
    pq.write_table(pa.table({"example_id": ["1"]}), job.folder / "model" / HELD_OUT_LOSSES)
    job.finish({"state": "done"})
    with disk_order(monkeypatch) as order:
        publish_cell(scored_store, job)
    model = trial.model_folder(cell)
    assert (model / "adapter_model.safetensors").exists()
    assert order.unflushed(model, model) == []


def test_removed_shards_are_gone_from_the_disk_before_the_mark_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "jobs" / "earlier"
    (folder / "shards").mkdir(parents=True)
    model = {"label": "base", "path": "/gone", "adapter": None, "weights_hash": "1"}
    request = {"kind": "score", "dtype": "float32", "parts": [{"role": "base", "model": model}]}
    (folder / "job.json").write_text(json.dumps(request), encoding="utf-8")
    marks: list[bool] = []
    with disk_order(monkeypatch) as order:
        touch = Path.touch

        def marked(path: Path) -> None:
            marks.append((folder / "shards").stat().st_ino in order.flushes)
            touch(path)

        monkeypatch.setattr(Path, "touch", marked)
        drop_unsound_shards(Job(folder))
    assert marks == [True]
