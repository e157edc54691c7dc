"""Every pass has an order of its own, and a training that was killed and resumed equals an undisturbed one exactly."""

import json
import math
import random
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core import worker
from core.data.errors import ModelUnusable, TrainingDiverged, WriteFailed
from core.data.examples import DatasetRow
from core.jobs.job import Job
from core.store import Store
from core.training.checkpoints import CHECKPOINT_COMPLETE
from core.training.reporting import TrainingReporter
from core.training.token_batches import TokenBatchSampler
from core.training.train import train_reference
from core.training.training_plan import TrainRequest, create_train_job
from tests.faults import files_no_larger_than
from tests.tiny_models import example, save_model_folder

RECORDS = ("curve.jsonl", "steps.jsonl", "passes.jsonl", "provenance.json")
VARYING = ('"elapsed_seconds"', '"name"')


class Killed(BaseException):
    """Ends a training as a kill would: nothing catches it."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model_folder(tmp_path_factory.mktemp("models") / "base", "llama")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    draw = random.Random(3)
    rows = [
        DatasetRow(
            number,
            "even" if number % 2 else "odd",
            example(("user", "Count"), ("assistant", " ".join(str(draw.randrange(99)) for _ in range(1 + number % 7)))),
            b"{}",
        )
        for number in range(1, 49)
    ]
    with Store.open(tmp_path / "workspace", "a test") as opened:
        opened.add_source("counts", "counts", "jsonl", "counts", {}, rows)
        yield opened


def a_job(store: Store, base: Path, **fields: Any) -> Job:
    given: dict[str, Any] = {
        "method": "full", "learning_rate": 3e-3, "batch_tokens": 80, "epochs": 3.0, "device": "cpu",
        "template": "plain", **fields,
    }  # fmt: skip
    return create_train_job(store, TrainRequest("counts", str(base), "taught", **given))


def killed_at(job: Job, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Train until that step of the last model that gets there, and no further."""
    with monkeypatch.context() as patch:
        whole = TrainingReporter.on_step_end

        def until(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
            whole(self, args, state, control, **more)
            if state.global_step == step:
                raise Killed

        patch.setattr(TrainingReporter, "on_step_end", until)
        with pytest.raises(Killed):
            train_reference(job)


def records(folder: Path) -> dict[str, list[str]]:
    return {
        str(path.relative_to(folder)): [
            line
            for line in path.read_text(encoding="utf-8").splitlines()
            if not line.strip().startswith(VARYING) and "/provenance.json" not in line  # a hash of what varies
        ]
        for path in sorted(folder.rglob("*"))
        if path.name in RECORDS
    }


def assert_equal(first: Path, second: Path) -> None:
    assert records(first) == records(second)
    weights = sorted(path.relative_to(first) for path in first.rglob("*.safetensors"))
    assert weights
    for path in weights:
        one, other = load_file(first / path), load_file(second / path)
        assert all(torch.equal(one[name], other[name]) for name in one), path


def test_each_pass_holds_every_row_once_in_an_order_of_its_own() -> None:
    lengths = [random.Random(number).randrange(5, 60) for number in range(300)]
    sampler = TokenBatchSampler(lengths, 400, 7, 3.0)
    batches, ends = list(sampler), [0, *sampler.passes]
    assert len(batches) == len(sampler) == ends[-1]
    passes = [[row for batch in batches[start:end] for row in batch] for start, end in pairwise(ends)]
    assert all(sorted(rows) == list(range(300)) for rows in passes)
    assert passes[0] != passes[1] != passes[2] != passes[0]
    assert list(TokenBatchSampler(lengths, 400, 7, 3.0)) == batches
    assert list(TokenBatchSampler(lengths, 400, 8, 3.0)) != batches


@pytest.mark.parametrize(
    ("epochs", "passes"), [(0.25, [0.25]), (1.0, [1.0]), (2.1, [1.0, 2.0, 2.1]), (2.5, [1.0, 2.0, 2.5])]
)
def test_a_part_of_a_pass_is_its_share_of_the_batches(epochs: float, passes: list[float]) -> None:
    one, sampler = TokenBatchSampler([10] * 100, 50, 0, 1.0), TokenBatchSampler([10] * 100, 50, 0, epochs)
    assert list(sampler.passes.values()) == passes
    assert len(sampler) == round(epochs * len(one))


def test_the_trainer_sees_the_passes_of_the_sampler(store: Store, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.training.trainer import ReferenceTrainer

    seen: list[list[int]] = []
    step = ReferenceTrainer.training_step

    def noted(self: Any, model: Any, inputs: Any, *more: Any, **named: Any) -> torch.Tensor:
        seen.append(list(inputs["rows"]))
        return step(self, model, inputs, *more, **named)

    monkeypatch.setattr(ReferenceTrainer, "training_step", noted)
    train_reference(a_job(store, base))
    a_pass = len(seen) // 3
    assert sorted(row for batch in seen[:a_pass] for row in batch) == list(range(48))
    assert seen[:a_pass] != seen[a_pass : 2 * a_pass]


@pytest.mark.parametrize(
    ("fields", "step"),
    [
        ({}, 27),
        ({"batch_tokens": 60}, 43),
        ({"method": "lora"}, 27),
        ({"held_out": 0.2, "epochs": 4.0}, 33),
        ({"held_out": 0.2, "epochs": 4.0, "early_stop": True, "learning_rate": 3e-2}, 22),
        ({"max_tokens": 5000}, 31),
        ({"folds": 2, "epochs": 6.0}, 27),
    ],
    ids=["in the second pass", "in the third", "an adapter", "held-out rows", "early stop", "a budget", "two models"],
)
def test_killed_and_resumed_equals_undisturbed(
    store: Store, base: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], step: int
) -> None:
    undisturbed = a_job(store, base, **fields)
    train_reference(undisturbed)
    job = a_job(store, base, **fields)
    killed_at(job, monkeypatch, step)
    assert list(job.folder.rglob(f"checkpoint-*/{CHECKPOINT_COMPLETE}")), "it was killed before its first checkpoint"
    train_reference(job)
    assert_equal(undisturbed.folder / "model", job.folder / "model")


ONE_STEP = {"learning_rate": 1e39, "batch_tokens": 10**6, "epochs": 1.0}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"learning_rate": 1e30, "batch_tokens": 2000}, "The training loss is not"),
        (ONE_STEP, "Training ended with weights that are not"),
        ({**ONE_STEP, "held_out": 0.2}, "The loss on held-out rows is not"),
    ],
)
def test_a_learning_rate_that_ruins_the_weights_makes_no_reference(
    fields: dict[str, Any], sentence: str, store: Store, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.training.training_plan.HIGHEST_RATE", math.inf)
    job = a_job(store, base, **fields)
    with pytest.raises(TrainingDiverged, match=rf"^{sentence}.*Lower --learning-rate"):
        train_reference(job)
    assert not (job.folder / "model").exists()


def test_a_full_disk_ends_training_in_a_sentence_and_leaves_room(store: Store, base: Path) -> None:
    job = a_job(store, base)
    largest = (base / "model.safetensors").stat().st_size // 2
    with files_no_larger_than(largest), pytest.raises(WriteFailed, match="Free space on the disk"):
        train_reference(job)
    assert not list(job.folder.rglob("checkpoint-*"))
    assert not (job.folder / "model").exists()
    train_reference(job)
    assert (job.folder / "model" / "model.safetensors").exists()


@pytest.mark.parametrize(
    "fields",
    [{"seed": -1}, {"seed": 2**32}, {"epochs": float("inf")}, {"epochs": float("nan")}, {"epochs": 0.0},
     {"learning_rate": 1e300}, {"learning_rate": float("nan")}, {"learning_rate": -1.0}, {"batch_tokens": 0},
     {"lora_rank": 0}, {"max_tokens": 10**15}, {"folds": 2, "seeds": 3, "seed": 2**32 - 2}],
    ids=str,
)  # fmt: skip
def test_a_setting_that_cannot_be_is_refused_before_a_job_is_made(
    store: Store, base: Path, fields: dict[str, Any]
) -> None:
    with pytest.raises(ModelUnusable, match="Give"):
        a_job(store, base, **fields)
    assert not list((store.workspace / "jobs").glob("*"))


@pytest.mark.parametrize(
    "fields",
    [{"seed": -1}, {"seed": 1.5}, {"epochs": 1e300}, {"epochs": True}, {"learning_rate": 1e300},
     {"learning_rate": "high"}, {"batch_tokens": 0}, {"batch_tokens": None},
     {"budget": {"unit": "input", "tokens": 10**15, "steps": 10**12}}, {"members": [{"seed": 2**40}]}],
    ids=str,
)  # fmt: skip
def test_a_job_with_a_number_that_cannot_be_ends_in_a_sentence(
    store: Store, base: Path, fields: dict[str, Any]
) -> None:
    job = a_job(store, base)
    (job.folder / "job.json").write_text(json.dumps({**job.request, **fields}), encoding="utf-8")
    assert worker.main([str(job.folder)]) == 1
    outcome = job.outcome
    assert outcome is not None
    assert re.fullmatch(r"The [a-zA-Z ]+ .* is invalid\. Give a (whole )?number .*\.", outcome["message"])
