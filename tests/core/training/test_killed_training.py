"""Where a kill of a training could lose something: whatever the place, resumed it equals the undisturbed one."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from peft import LoraConfig
from transformers import TrainerCallback

from core.data.examples import DatasetRow
from core.jobs.job import Job
from core.models.resolving import PROVENANCE
from core.store import Store
from core.system import atomic_files
from core.training import train as training
from core.training.checkpoints import CHECKPOINT_COMPLETE, last_checkpoint
from core.training.loss_curve import LossWindow
from core.training.recorded_models import CURVE
from core.training.trainer import ReferenceTrainer
from core.training.training_plan import TrainRequest, create_train_job
from tests import command_line
from tests.tiny_models import example, save_model_folder
from tests.waiting import wait_for

ROWS = 60


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    draw = random.Random(3)
    rows = [
        DatasetRow(
            number,
            "even" if number % 2 else "odd",
            example(("user", f"Item {draw.randrange(10**6)}"), ("assistant", "words " * draw.randrange(1, 30))),
            b"{}",
        )
        for number in range(1, ROWS + 1)
    ]
    with Store.open(tmp_path / "workspace", "a test") as opened:
        opened.add_source("items", "items", "jsonl", "items", {}, rows)
        yield opened


def request(base: Path, **fields: Any) -> TrainRequest:
    plain = TrainRequest(
        "items", str(base), "taught", method="full", epochs=3, learning_rate=3e-3, batch_tokens=512, device="cpu",
        template="plain",
    )  # fmt: skip
    return replace(plain, **fields)


def killing(steps: list[int], every: int = 5) -> type[ReferenceTrainer]:
    """A trainer that dies after the next of these steps, counted over all models of a job, with a checkpoint `every` so
    many steps."""
    seen = [0]

    class Kill(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            seen[0] += 1
            if steps and seen[0] > steps[0]:
                steps.pop(0)
                raise Killed

    class Killable(ReferenceTrainer):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            self.args.save_steps = every
            self.add_callback(Kill())

    return Killable


def trained(store: Store, wanted: TrainRequest, monkeypatch: pytest.MonkeyPatch, kills: list[int]) -> Path:
    """The job's folder after a training that died at these steps and was started again each time."""
    job = create_train_job(store, wanted)
    left = list(kills)
    with monkeypatch.context() as patch:
        patch.setattr(training, "ReferenceTrainer", killing(left))
        for _ in range(len(kills)):
            with pytest.raises(Killed):
                training.train_reference(job)
        training.train_reference(job)
    assert left == []
    assert not list(job.folder.rglob("checkpoint-*"))
    assert not list(job.folder.rglob("best-pass.pt"))
    return job.folder / "model"


def files_of(folder: Path) -> dict[str, Any]:
    """All that a training left, by path, without how long it took."""
    found: dict[str, Any] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content: Any = path.read_bytes()
        if path.name == PROVENANCE:
            content = json.loads(content)
            del content["elapsed_seconds"]
        found[str(path.relative_to(folder))] = content
    return found


CASES: dict[str, tuple[str, dict[str, Any], list[int]]] = {
    "before a checkpoint": ("llama", {"held_out": 0.2}, [3]),
    "between two points of the curve": ("llama", {"epochs": 8}, [38]),
    "twice": ("llama", {"epochs": 2.5}, [22, 31]),
    "with dropout": ("gpt2", {"method": "lora", "held_out": 0.2}, [25]),
}


@pytest.mark.parametrize("case", CASES)
def test_killed_and_resumed_it_is_the_undisturbed_training_bit_for_bit(
    case: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family, fields, kills = CASES[case]
    base = save_model_folder(tmp_path / "base", family)
    if case == "with dropout":
        monkeypatch.setattr("peft.LoraConfig", lambda **given: LoraConfig(**{**given, "lora_dropout": 0.3}))
    wanted = request(base, **fields)
    undisturbed = files_of(trained(store, wanted, monkeypatch, []))
    resumed = files_of(trained(store, wanted, monkeypatch, kills))
    assert resumed.keys() == undisturbed.keys()
    assert [name for name in resumed if resumed[name] != undisturbed[name]] == []
    for curve in (content for name, content in resumed.items() if name.endswith(CURVE)):
        points = [(line["step"], line["domain"]) for line in map(json.loads, curve.splitlines())]
        assert len(points) == len(set(points)) > 10


def test_a_model_that_died_between_its_stop_and_its_saving_stops_again(
    store: Store, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = request(tiny_base, held_out=0.2, early_stop=True, epochs=12, learning_rate=0.02)
    undisturbed = files_of(trained(store, wanted, monkeypatch, []))
    job, save = create_train_job(store, wanted), training._save

    def dies(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(training, "ReferenceTrainer", killing([], every=1))
        patch.setattr(training, "_save", dies)
        with pytest.raises(Killed):
            training.train_reference(job)
        patch.setattr(training, "_save", save)
        training.train_reference(job)
    assert files_of(job.folder / "model") == undisturbed


def test_a_checkpoint_of_an_earlier_version_is_not_gone_on_from(
    store: Store, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = request(tiny_base)
    undisturbed = files_of(trained(store, wanted, monkeypatch, []))
    job = create_train_job(store, wanted)
    with monkeypatch.context() as patch:
        patch.setattr(training, "ReferenceTrainer", killing([23]))
        with pytest.raises(Killed):
            training.train_reference(job)
    for mark in job.folder.rglob(CHECKPOINT_COMPLETE):
        mark.rename(mark.with_name("complete")).write_bytes(b"")
    training.train_reference(job)
    assert files_of(job.folder / "model") == undisturbed


def test_a_checkpoint_is_on_the_disk_before_it_is_marked_as_whole(
    store: Store, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    marked: list[tuple[Path, set[str]]] = []
    flush, save = atomic_files._flush, LossWindow.save

    def flush_noted(path: Path) -> None:
        flushed.append(str(path))
        flush(path)

    def save_noted(self: LossWindow, path: Path) -> None:
        marked.append((path, set(flushed)))
        save(self, path)

    monkeypatch.setattr(atomic_files, "_flush", flush_noted)
    monkeypatch.setattr(LossWindow, "save", save_noted)
    with monkeypatch.context() as patch:
        patch.setattr(training, "ReferenceTrainer", killing([12]))
        with pytest.raises(Killed):
            training.train_reference(create_train_job(store, request(tiny_base)))
    assert len(marked) == 2
    for mark, before in marked:
        files = {str(path) for path in mark.parent.iterdir()} - {str(mark)}
        assert {"model.safetensors", "optimizer.pt", "rng_state.pth"} < {Path(path).name for path in files}
        assert files | {str(mark.parent), str(mark.parent.parent)} <= before


def worker_of(job: Job) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "core.worker", str(job.folder)]
    return subprocess.Popen(command, cwd=command_line.ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_a_worker_that_is_killed_goes_on_to_the_same_reference(store: Store, tiny_base: Path) -> None:
    wanted = request(tiny_base, batch_tokens=64, epochs=2, held_out=0.1)
    undisturbed, killed = create_train_job(store, wanted), create_train_job(store, wanted)
    assert worker_of(undisturbed).wait() == 0
    worker = worker_of(killed)
    wait_for(lambda: last_checkpoint(killed.folder) or killed.outcome, "a checkpoint")
    worker.kill()
    worker.wait()
    assert killed.outcome is None, "it was killed while it trained"
    assert worker_of(killed).wait() == 0
    assert files_of(killed.folder / "model") == files_of(undisturbed.folder / "model")
