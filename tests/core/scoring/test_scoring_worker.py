"""Scoring in chunks, for two models, by several processes: every loss once, and as if each row were alone."""

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from core.data.errors import JobCancelled
from core.data.examples import Example, Message
from core.encoding.encode import encode_examples
from core.encoding.encoding_spec import EncodingSpec
from core.engine.loss_engine import LossEngine
from core.jobs.example_chunks import EXAMPLES_SCHEMA
from core.jobs.job import Job, create_job
from core.jobs.job_progress import Progress
from core.jobs.shards import read_shard
from core.models.loading import load_model, load_tokenizer
from core.models.resolving import ModelSpec, tokenizer_fingerprint
from core.scoring.noise_files import read_noise
from core.scoring.passes import plan_passes
from core.scoring.scoring_job import score
from tests import command_line
from tests.tiny_models import save_lora_adapter, spec_of
from tests.waiting import wait_for

EXAMPLES = [
    Example((Message("user", f"Count to {n}."), Message("assistant", " ".join(map(str, range(n % 23))))))
    for n in range(90)
]


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr("core.jobs.example_chunks._FIRST_GROUP_ROWS", 5)
    monkeypatch.setattr("core.jobs.example_chunks._GROUP_ROWS", 10)
    monkeypatch.setattr("core.scoring.process.CHUNK_ROWS", 20)
    monkeypatch.setenv("LOBASS_CPU_BATCH_TOKENS", "256")


@pytest.fixture(scope="session")
def tiny_adapter(made_once: Callable[[str, Callable[[Path], object]], Path], tiny_base: Path) -> Path:
    return made_once("tiny-adapter", lambda folder: save_lora_adapter(folder, tiny_base))


def make_job(
    workspace: Path,
    base: Path,
    reference: Path,
    adapter: Path | None = None,
    missing: dict[str, list[Example]] | None = None,
) -> Job:
    """A scoring job; `missing` says whose examples, where it is not all of both."""
    specs = {
        "base": spec_of(base),
        "reference": spec_of(reference, adapter, "reference"),
    }
    missing = missing or {"base": EXAMPLES, "reference": EXAMPLES}
    request = {
        "kind": "score",
        "base": specs["base"].to_fields(),
        "encoding": {
            "template": "chat",
            "max_length": 2048,
            "tokenizer_fingerprint": tokenizer_fingerprint(specs["base"]),
            "version": 2,
        },
        "device": "cpu",
        "dtype": "float32",
        "parts": [{"role": role, "model": specs[role].to_fields(), "loss_set": 1} for role in missing],
    }
    tables = {
        role: pa.table(
            [[str(e.example_id) for e in examples], [e.to_json() for e in examples], [""] * len(examples)],
            schema=EXAMPLES_SCHEMA,
        )
        for role, examples in missing.items()
    }
    return create_job(workspace, request, tables)


def shard_rows(job: Job, role: str) -> list[dict[str, Any]]:
    """Every row of a model's shards."""
    return [row for path in job.shards_of(role) for row in read_shard(path).to_pylist()]


def assert_losses(job: Job, role: str, examples: list[Example] = EXAMPLES) -> None:
    """Each example once; its loss within 1e-4 nats a token of the row's alone by the model alone (a sample of many)."""
    rows = {row["example_id"]: row for row in shard_rows(job, role)}
    assert len(rows) == len(shard_rows(job, role))
    assert sorted(rows) == sorted(str(example.example_id) for example in examples)
    examples = examples[:: max(1, len(examples) // 80)]
    request = job.request
    spec = next(ModelSpec(**part["model"]) for part in request["parts"] if part["role"] == role)
    engine = LossEngine(load_model(spec, "float32", "cpu"))
    encoded = encode_examples(
        examples, load_tokenizer(ModelSpec(**request["base"])), EncodingSpec(**request["encoding"])
    )
    found = np.array([rows[str(example.example_id)]["nll_sum"] or np.nan for example in examples])
    alone = np.array([np.nan if item.reason else engine.nll_sums([item])[0] for item in encoded])
    ends = np.array([rows[str(example.example_id)]["end_nll_sum"] or np.nan for example in examples])
    ends_alone = np.array([np.nan if item.reason else engine.row_sums([item])[1, 0] for item in encoded])
    np.testing.assert_allclose(ends, ends_alone, rtol=0, atol=1e-4)
    end_counts = [rows[str(example.example_id)]["end_token_count"] for example in examples]
    assert end_counts == [item.end_token_count for item in encoded]
    counts = np.array([max(1, item.token_count) for item in encoded])
    np.testing.assert_allclose(found / counts, alone / counts, rtol=0, atol=1e-4)
    assert len({round(loss, 3) for loss in alone / counts}) > 5


def log_of(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("ahead", [0, 1])
def test_chunks_give_both_models_every_loss_once(
    tmp_path: Path, tiny_base: Path, tiny_reference: Path, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    monkeypatch.setenv("LOBASS_ENCODING_PROCESSES", str(ahead))
    job = make_job(tmp_path, tiny_base, tiny_reference)
    outcome = score(job)
    for role in ("base", "reference"):
        assert_losses(job, role)
    assert outcome["tokens"] > 0
    assert not (job.folder / "encoded").exists()
    assert (read_noise(job, "base") or 0.0) < 1e-4


def test_progress_counts_up_to_all_rows_and_goes_on_where_the_job_was_left(
    tmp_path: Path, tiny_base: Path, tiny_reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, shown = make_job(tmp_path, tiny_base, tiny_reference), []

    def report(job: Job, progress: Progress) -> None:
        shown.append((progress.done, progress.total))
        if len(shown) == 9:  # rows of the first model are done
            job.cancel()

    monkeypatch.setattr(Job, "report", report)
    with pytest.raises(JobCancelled):
        score(job)
    assert shown == sorted(shown)
    (job.folder / "cancel").unlink()
    base, _ = plan_passes(job)
    base.refresh()
    assert 0 < base.count()[0] < len(EXAMPLES)
    shown.append((-1, 0))
    score(job)
    resumed = shown[shown.index((-1, 0)) + 1 :]
    assert resumed[0] == (base.count()[0], len(EXAMPLES))
    second = resumed.index((0, len(EXAMPLES)))  # the second model's pass begins
    for one_pass in (resumed[:second], resumed[second:]):
        assert one_pass == sorted(one_pass)
        assert one_pass[-1] == (len(EXAMPLES), len(EXAMPLES))


def test_the_second_model_reads_what_was_encoded_for_the_first_and_a_torn_chunk_is_encoded_again(
    tmp_path: Path, tiny_base: Path, tiny_reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(tmp_path, tiny_base, tiny_reference)
    encoded: list[int] = []

    def counting(examples: list[Example], *rest: Any) -> Any:
        encoded.append(len(examples))
        if sum(encoded) == len(EXAMPLES):  # the last of the first model: damage one chunk that it kept
            kept = sorted((job.folder / "encoded").glob("*.arrow"))[1]
            kept.write_bytes(kept.read_bytes()[:-9])
        return encode_examples(examples, *rest)

    monkeypatch.setattr("core.scoring.encoding_ahead.encode_examples", counting)
    score(job)
    assert sum(encoded) == len(EXAMPLES) + 20
    assert_losses(job, "reference")


def test_a_reference_that_is_an_adapter_and_its_base_are_computed_on_one_set_of_weights(
    tmp_path: Path, tiny_base: Path, tiny_adapter: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "worker")
    job = make_job(tmp_path, tiny_base, tiny_base, tiny_adapter)
    assert [one.name for one in plan_passes(job)] == ["base-reference"]
    score(job)
    assert "share weights: every batch runs with the adapter and without" in log_of(caplog)
    for role in ("base", "reference"):
        assert_losses(job, role)
        assert f"{role}: rows: packed, prefix sharing" in log_of(caplog)
    base, reference = (
        np.array([row["nll_sum"] for row in shard_rows(job, role) if row["nll_sum"]]) for role in ("base", "reference")
    )
    assert np.abs(base - reference).min() > 1e-3  # were the adapter not off, both would be the same


def test_weights_are_not_shared_with_an_adapter_on_other_weights_or_where_one_model_is_complete(
    tmp_path: Path, tiny_base: Path, tiny_reference: Path, tiny_adapter: Path
) -> None:
    other = make_job(tmp_path, tiny_base, tiny_reference, tiny_adapter)
    assert [one.name for one in plan_passes(other)] == ["base", "reference"]
    alone = make_job(tmp_path, tiny_base, tiny_base, tiny_adapter, {"reference": EXAMPLES})
    assert [one.name for one in plan_passes(alone)] == ["reference"]
    score(alone)
    assert_losses(alone, "reference")


def test_models_that_miss_different_examples_each_get_their_own(
    tmp_path: Path, tiny_base: Path, tiny_adapter: Path
) -> None:
    some = make_job(tmp_path, tiny_base, tiny_base, tiny_adapter, {"base": EXAMPLES[30:60], "reference": EXAMPLES})
    assert [one.name for one in plan_passes(some)] == ["base-reference"]
    score(some)
    assert_losses(some, "base", EXAMPLES[30:60])
    assert_losses(some, "reference")
    apart = make_job(tmp_path, tiny_base, tiny_base, tiny_adapter, {"base": EXAMPLES[:40], "reference": EXAMPLES[20:]})
    assert [one.name for one in plan_passes(apart)] == ["base", "reference"]
    score(apart)
    assert_losses(apart, "base", EXAMPLES[:40])
    assert_losses(apart, "reference", EXAMPLES[20:])


@pytest.mark.parametrize("lost", ["base", "reference", "every other shard"])
def test_what_a_dead_worker_had_not_written_is_computed_and_nothing_twice(
    tmp_path: Path, tiny_base: Path, tiny_adapter: Path, lost: str
) -> None:
    job = make_job(tmp_path, tiny_base, tiny_base, tiny_adapter)
    score(job)
    gone = job.shards[::2] if lost == "every other shard" else job.shards_of(lost)[:1]
    left = {path.name for path in job.shards} - {path.name for path in gone}
    for path in gone:
        path.unlink()
    score(job)
    for role in ("base", "reference"):
        assert_losses(job, role)
    assert left < {path.name for path in job.shards}


def test_a_cancelled_job_keeps_what_was_finished(tmp_path: Path, tiny_base: Path, tiny_reference: Path) -> None:
    job = make_job(tmp_path, tiny_base, tiny_reference)
    job.cancel()
    with pytest.raises(JobCancelled, match=r"Cancelled at 0 of 90 rows of the base model\."):
        score(job)
    (job.folder / "cancel").unlink()
    score(job)
    assert_losses(job, "base")


def processes_of(job: Job) -> list[int]:
    """Ids of the processes that divide the job."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            command = (folder / "cmdline").read_bytes()
        except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
            continue
        if b"core.scoring.processes" in command and job.job_id.encode() in command:
            found.append(int(folder.name))
    return found


@pytest.mark.parametrize("killed", ["one of them", "the one that watches"])
def test_of_two_processes_one_that_is_killed_loses_nothing_and_nothing_is_counted_twice(
    tmp_path: Path, tiny_base: Path, tiny_adapter: Path, monkeypatch: pytest.MonkeyPatch, killed: str
) -> None:
    monkeypatch.setattr("core.jobs.example_chunks._GROUP_ROWS", 100)
    many = [
        Example((Message("user", f"Count to {n}."), Message("assistant", " ".join(map(str, range(n % 37))))))
        for n in range(400)
    ]
    job = make_job(tmp_path, tiny_base, tiny_base, tiny_adapter, {"base": many, "reference": many})
    small = {"SCORING_PROCESSES": 2, "SHARD_SECONDS": 0, "CPU_BATCH_TOKENS": 512}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"} | {f"LOBASS_{key}": str(value) for key, value in small.items()}
    command = [sys.executable, "-m", "core.worker", str(job.folder)]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, cwd=command_line.ROOT, env=environment, stderr=subprocess.PIPE)

    worker = start()
    wait_for(lambda: len({path.name.split("-")[-2] for path in job.shards}) == 2, "a shard of each process")
    children = processes_of(job)
    for child in children:
        os.kill(child, signal.SIGSTOP)
    os.kill(worker.pid if killed == "the one that watches" else children[0], signal.SIGKILL)
    if killed == "the one that watches":
        worker.wait()
        assert job.state == "running"  # as long as there is a process of it
    for child in children:
        os.kill(child, signal.SIGCONT)
    _, log = worker.communicate()
    if killed == "the one that watches":
        wait_for(lambda: not job.is_alive, "the end of the processes that were left alone")
        assert processes_of(job) == []
        assert len(shard_rows(job, "base")) < len(many)
        worker = start()
        worker.communicate()
    else:
        assert b"was stopped by signal 9; the other processes take over its chunks" in log
    assert worker.returncode == 0
    assert (job.outcome or {})["state"] == "done"
    for role in ("base", "reference"):
        assert_losses(job, role, many)


def test_processes_that_all_fail_end_the_job_with_their_sentence(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOBASS_SCORING_PROCESSES", "2")
    reference = shutil.copytree(tiny_base, tmp_path / "removed")
    job = make_job(tmp_path, tiny_base, reference, missing={"reference": EXAMPLES})
    shutil.rmtree(reference)
    command = [sys.executable, "-m", "core.worker", str(job.folder)]
    assert subprocess.run(command, cwd=command_line.ROOT, check=False, capture_output=True).returncode == 1
    assert "The weights of the model 'reference' changed" in (job.outcome or {})["message"]
