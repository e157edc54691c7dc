"""Kept checkpoints after a kill and an early stop: those of an undisturbed training, and none after the best pass."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.data.examples import DatasetRow
from core.jobs.job import Job
from core.models.provenance import PROVENANCE
from core.store import Store
from core.training import train as training
from core.training.checkpoint_keeping import CheckpointKeeper
from core.training.checkpoints import last_checkpoint
from core.training.trainer import ReferenceTrainer
from core.training.training_plan import TrainRequest, create_train_job
from tests.tiny_models import example


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class SavingEveryStep(ReferenceTrainer):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.args.save_steps = 1


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    texts = [f"Item {n} of the list, and {n * n}." for n in range(12)]
    rows = [
        DatasetRow(number, "all", example(("user", f"Say {number}."), ("assistant", text)), b"{}")
        for number, text in enumerate(texts, 1)
    ]
    with Store.open(tmp_path / "workspace", "a test") as opened:
        opened.add_source("items", "items", "jsonl", "items", {}, rows)
        yield opened


def new_job(store: Store, base: Path, name: str) -> Job:
    request = TrainRequest(
        "items", str(base), name, epochs=1.5, learning_rate=0.01, batch_tokens=300, device="cpu", lora_rank=2,
        keep_checkpoints=True,
    )  # fmt: skip
    return create_train_job(store, request)


def kept(job: Job) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((job.folder / "model" / PROVENANCE).read_text())["kept_checkpoints"]
    return found


def test_a_training_that_is_killed_after_an_epoch_keeps_what_an_undisturbed_one_keeps(
    store: Store, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "ReferenceTrainer", SavingEveryStep)
    whole, killed = new_job(store, tiny_base, "whole"), new_job(store, tiny_base, "killed")
    training.train_reference(whole)
    ends, given = [one["step"] for one in kept(whole)], CheckpointKeeper.on_step_end

    def dies(self: CheckpointKeeper, args: Any, state: Any, *rest: Any, **named: Any) -> None:
        given(self, args, state, *rest, **named)
        if state.global_step == ends[0] + 1:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(CheckpointKeeper, "on_step_end", dies)
        with pytest.raises(Killed):
            training.train_reference(killed)
    assert Path(last_checkpoint(killed.folder) or "").name == f"checkpoint-{ends[0]}"
    training.train_reference(killed)
    assert kept(killed) == kept(whole)
    assert [Path(one["file"]).name for one in kept(whole)] == [
        "epoch-1.safetensors", "epoch-1.5.safetensors",
    ]  # fmt: skip
    for one in kept(whole):
        expected, found = (load_file(job.folder / "model" / one["file"]) for job in (whole, killed))
        assert expected.keys() == found.keys()
        assert all(torch.allclose(expected[name], found[name], atol=1e-7) for name in expected)
    # Of a training that was stopped early, those after its best pass are left out.
    kept_of = whole.folder / "model" / "kept_checkpoints"
    kept_of.rename(tmp_path / "checkpoints")
    (tmp_path / "model").mkdir()
    assert CheckpointKeeper(tmp_path, {}).copy_into(tmp_path / "model", ends[0]) == kept(whole)[:1]
    assert len(list((tmp_path / "model" / "kept_checkpoints").iterdir())) == 1
