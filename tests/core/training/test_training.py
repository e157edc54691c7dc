"""Training on a GPU, as far as a processor can tell: in which precision, on how many of them, and out of memory."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainingArguments

from core.data.encoded import Encoded
from core.data.errors import ModelUnusable
from core.data.examples import DatasetRow
from core.encoding.encode import encode_examples
from core.engine.training_engine import TrainingEngine
from core.store import Store
from core.training.train import train_reference
from core.training.trainable_model import with_lora
from core.training.trainer import ReferenceTrainer
from core.training.training_plan import TrainRequest, create_train_job
from tests.fake_gpu import fake_gpu, moved
from tests.tiny_models import MIXED_EXAMPLES, encoding_spec, make_model, make_tokenizer

REQUEST = {"batch_tokens": 4096, "seed": 0, "epochs": 1.0, "learning_rate": 1e-3, "device": "cpu"}


@pytest.fixture
def make_trainer(tmp_path: Path) -> Callable[[], Any]:
    encoded = encode_examples(MIXED_EXAMPLES, make_tokenizer(), encoding_spec())
    rows = [row for row in encoded if row.reason is None][:2]
    return lambda: trainer_of(tmp_path, make_model("llama"), rows)


def trainer_of(folder: Path, model: Any, rows: list[Encoded]) -> ReferenceTrainer:
    return ReferenceTrainer(folder, model, rows, ["all"] * len(rows), REQUEST, TrainingEngine(model), 1024)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let transformers take this machine for one with two GPUs."""
    found = TrainingArguments.__dict__["_setup_devices"].func

    def devices(arguments: TrainingArguments) -> torch.device:
        device: torch.device = found(arguments)
        arguments._n_gpu = 2
        return device

    told = cached_property(devices)
    told.__set_name__(TrainingArguments, "_setup_devices")
    monkeypatch.setattr(TrainingArguments, "_setup_devices", told)


@pytest.mark.usefixtures("two_gpus")
def test_on_two_gpus_one_is_trained_on(make_trainer: Callable[[], Any]) -> None:
    trainer = make_trainer()
    trainer.train()
    assert trainer.state.global_step == 1


def test_the_trunk_is_trained_in_the_precision_that_the_trainer_was_given(
    make_trainer: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")  # as on a GPU
    trainer, seen = make_trainer(), set()
    trainer.model.model.layers[0].mlp.up_proj.register_forward_hook(lambda *given: seen.add(given[2].dtype))
    trainer.train()
    AcceleratorState._reset_state()
    assert seen == {torch.bfloat16}


def test_over_a_base_in_bfloat16_an_adapter_in_float32_is_trained(tmp_path: Path) -> None:
    rows = [row for row in encode_examples(MIXED_EXAMPLES, make_tokenizer(), encoding_spec()) if row.reason is None]
    model = with_lora(make_model("llama").to(torch.bfloat16), {"lora_rank": 4})
    trainer_of(tmp_path, model, rows[:2]).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert {parameter.dtype for parameter in trained} == {torch.float32}
    assert all(bool(parameter.any()) for parameter in trained), "what begins as zero has taken a step"
    assert {parameter.dtype for parameter in model.parameters() if not parameter.requires_grad} == {torch.bfloat16}


def test_paths_only_the_losses_of_a_batch_lie_on_the_models_device() -> None:
    rows = [row for row in encode_examples(MIXED_EXAMPLES, make_tokenizer(), encoding_spec()) if row.reason is None]
    with fake_gpu():
        engine = TrainingEngine(moved(make_model("llama")))
        with engine.attention_of(rows):
            row_index, losses = engine.losses(rows)
    assert (row_index.device.type, losses.device.type) == ("cuda", "cuda")
    assert losses.requires_grad


def test_when_a_gpus_memory_runs_out_a_sentence_says_what_to_lower(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def runs_out(*_: object) -> torch.Tensor:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    with Store.open(tmp_path / "workspace", "a test") as store:
        store.add_source("mixed", "m.jsonl", "jsonl", "a hash", {}, [DatasetRow(1, "all", MIXED_EXAMPLES[0], b"{}")])
        job = create_train_job(store, TrainRequest("mixed", str(tiny_base), "taught", device="cpu"))
    monkeypatch.setattr("core.training.trainer.TrainingEngine.losses", runs_out)
    with pytest.raises(ModelUnusable, match=r"in batches of 4,096 tokens. Lower --batch-tokens"):
        train_reference(job)
    assert not (job.folder / "model").exists()
