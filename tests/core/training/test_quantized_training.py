"""Training an adapter on a base whose weights are quantized as they are loaded (QLoRA)."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from core.data.encoded import Encoded
from core.engine.training_engine import TrainingEngine
from core.models.loading import load_model
from core.training.trainable_model import with_lora
from tests import command_line
from tests.core.models.test_quantizing import dequantized, rows_of, save_wider
from tests.cross_fitted import TRAINED, write
from tests.tiny_models import spec_of

pytest.importorskip("bitsandbytes", reason="the extra quantized is not installed")
LORA = {"lora_rank": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_wider(tmp_path_factory.mktemp("wider") / "base")


def adapted(model: torch.nn.Module) -> torch.nn.Module:
    """The model with a new adapter that changes every loss."""
    torch.manual_seed(3)
    found = with_lora(model, LORA)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, weight in found.named_parameters():
            if "lora_B" in name:
                weight.copy_(0.05 * torch.randn(weight.shape, generator=generator))
    return found.train()


def gradients_by_loop(model: Any, rows: list[Encoded]) -> dict[str, torch.Tensor]:
    """Of each trained weight, one row at a time, from all logits."""
    for row in rows:
        ids = torch.from_numpy(row.input_ids.astype(np.int64))
        logits = model(input_ids=ids[None], use_cache=False).logits[0, :-1]
        scored = torch.from_numpy(row.scored)[1:]
        F.cross_entropy(logits[scored], ids[1:][scored], reduction="sum").backward()
    return {name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_gradients_are_those_over_the_dequantized_weights(folder: Path, kind: str) -> None:
    spec = replace(spec_of(folder), quantization=kind)
    rows = rows_of(spec)
    expected = gradients_by_loop(adapted(dequantized(spec)), rows)
    model: Any = adapted(load_model(spec, "float32", "cpu"))
    engine = TrainingEngine(model)
    with engine.attention_of(rows):
        engine.losses(rows)[1].sum().backward()
    found = {name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad}
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=2e-3, atol=1e-3 * float(gradient.abs().max()))


def test_backward_keeps_no_dequantized_weights(folder: Path) -> None:
    spec = replace(spec_of(folder), quantization="nf4")
    kept: list[tuple[int, ...]] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tuple(tensor.shape))
        return tensor

    model: Any = adapted(load_model(spec, "float32", "cpu"))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda given: given):
        model(input_ids=torch.arange(7)[None], use_cache=False).logits.sum().backward()
    assert kept
    assert not {(128, 256), (256, 128)} & set(kept), "the weights of the MLP's layers"


def test_a_reference_trained_on_quantized_weights_is_scored_on_such(folder: Path, tmp_path: Path) -> None:
    rows = [{"instruction": f"Count to {n}.", "output": f"Here are {n} numbers, one by one."} for n in range(12)]
    command_line.result(tmp_path / "w", "import", write(tmp_path / "rows.jsonl", rows), "--dataset", "rows")
    common = ("--dataset", "rows", "--base", folder)
    fields = command_line.result(
        tmp_path / "w", "train", *common, "--name", "small", "--quantization", "nf4", *TRAINED, "--method", "lora"
    )
    provenance = json.loads(Path(fields["path"], "provenance.json").read_text("utf-8"))
    assert provenance["quantization"] == "nf4"
    asked = ("score", *common, "--reference", "small", "--template", "alpaca")
    plain = command_line.run(tmp_path / "w", *asked, "--run", "plain")
    assert "trained on weights of its base quantized to nf4" in plain.stderr
    same = command_line.run(tmp_path / "w", *asked, "--run", "same", "--quantization", "nf4")
    assert "quantized to nf4" not in same.stderr
    assert (plain.returncode, same.returncode) == (0, 0)


def test_only_an_adapter_is_trained_on_quantized_weights(folder: Path, tmp_path: Path) -> None:
    command_line.result(
        tmp_path / "w", "import", write(tmp_path / "rows.jsonl", [{"instruction": "Go.", "output": "Gone."}]),
        "--dataset", "rows",
    )  # fmt: skip
    told = command_line.run(
        tmp_path / "w", "train", "--dataset", "rows", "--base", folder, "--name", "small", "--quantization", "nf4",
        "--method", "full",
    )  # fmt: skip
    assert told.returncode != 0
    assert "Quantized weights cannot be trained themselves." in told.stderr
