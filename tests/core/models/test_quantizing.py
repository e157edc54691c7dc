"""Weights quantized as they are loaded: losses of the de-quantized weights, keys of their own, and one sentence without
the library."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from core.data.encoded import Encoded
from core.data.errors import ModelUnusable
from core.encoding.encode import encode_examples
from core.engine.engine_choice import BLOCKS, ONEDNN, TORCH, EngineChoice
from core.engine.loss_engine import EngineOptions, LossEngine
from core.models import quantizing
from core.models.loading import load_model, load_tokenizer, load_with_base
from core.models.quantized_loading import with_exact_products
from core.models.quantizing import check_quantization
from core.models.resolving import ModelSpec
from tests.tiny_models import MIXED_EXAMPLES, encoding_spec, make_model, save_lora_adapter, save_model_folder, spec_of

BOUND = 1e-3
"""Nats a token."""


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module", params=["llama", "qwen2", "gemma3"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_wider(tmp_path_factory.mktemp("quantized") / request.param, request.param)


def save_wider(folder: Path, family: str = "llama") -> Path:
    """A tiny model, but wide enough for bitsandbytes' blocks of 64 weights."""
    small = make_model(family)
    config: Any = small.config
    config.update({"hidden_size": 128, "intermediate_size": 256, "head_dim": 64})
    torch.manual_seed(0)
    save_model_folder(folder, family)
    type(small)(config).save_pretrained(folder)
    return folder


def rows_of(spec: ModelSpec) -> list[Encoded]:
    return [row for row in encode_examples(MIXED_EXAMPLES, load_tokenizer(spec), encoding_spec()) if not row.reason]


def dequantized(spec: ModelSpec) -> torch.nn.Module:
    """The model in float32 with each linear layer's weights but the head's quantized and de-quantized by the library's
    functions."""
    from bitsandbytes.functional import dequantize_4bit, int8_vectorwise_dequant, int8_vectorwise_quant, quantize_4bit

    plain: Any = load_model(replace(spec, quantization=None), "float32", "cpu")
    for part in plain.modules():
        if isinstance(part, torch.nn.Linear) and part is not plain.get_output_embeddings():
            if spec.quantization == "nf4":
                part.weight.data = dequantize_4bit(*quantize_4bit(part.weight.data, blocksize=64, quant_type="nf4"))
            else:
                rows, scales, _ = int8_vectorwise_quant(part.weight.data.half())
                part.weight.data = int8_vectorwise_dequant(rows, scales).float()
    return plain


def label_losses(model: torch.nn.Module, rows: list[Encoded]) -> list[float]:
    """Loss of each row [nats per token], from all logits of the row alone."""
    found = []
    for row in rows:
        ids = torch.from_numpy(row.input_ids.astype(np.int64))
        with torch.inference_mode():
            logits = model(input_ids=ids[None], use_cache=False).logits[0, :-1].double()
        scored = torch.from_numpy(row.scored)[1:]
        found.append(float(F.cross_entropy(logits[scored], ids[1:][scored])))
    return found


@pytest.mark.parametrize(("kind", "products"), [("nf4", TORCH), ("nf4", ONEDNN), ("int8", TORCH), ("int8", ONEDNN)])
def test_losses_are_those_of_the_dequantized_weights(folder: Path, kind: str, products: str) -> None:
    spec = replace(spec_of(folder), quantization=kind)
    model = load_model(spec, "float32", "cpu")
    rows = rows_of(spec)
    plain = load_model(replace(spec, quantization=None), "float32", "cpu")
    engine = LossEngine(model, EngineOptions(choice=EngineChoice(products, BLOCKS)))
    counts = [row.token_count for row in rows]
    expected = label_losses(dequantized(spec), rows)
    np.testing.assert_allclose(engine.nll_sums(rows) / counts, expected, rtol=0, atol=BOUND)
    assert np.abs(np.subtract(label_losses(plain, rows), expected)).max() > 1e-5, "nothing was quantized"
    assert engine.packs


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_an_adapter_on_a_quantized_base_can_be_switched_off(tmp_path: Path, kind: str) -> None:
    base = save_wider(tmp_path / "base")
    adapter = save_lora_adapter(tmp_path / "adapter", base)
    spec = replace(spec_of(base, adapter), quantization=kind)
    model, gives_base = load_with_base(spec, "float32", "cpu")
    assert gives_base
    rows = rows_of(spec)
    alone = LossEngine(load_model(replace(spec_of(base), quantization=kind), "float32", "cpu"))
    without = LossEngine(model, without_adapter=True).nll_sums(rows)
    np.testing.assert_allclose(without, alone.nll_sums(rows), rtol=1e-5)
    assert np.abs(LossEngine(model).nll_sums(rows) - without).max() > 0.01


def test_a_layers_bias_is_added_before_the_product_is_rounded() -> None:
    """To the bit as torch's own layer: losses that are cached depend on it."""
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit

    torch.manual_seed(0)
    model: Any = torch.nn.Sequential(Linear4bit(256, 192, quant_type="nf4", compute_dtype=torch.bfloat16))
    layer = with_exact_products(model.to(torch.bfloat16).to("cpu"))[0]
    layer.weight = layer.weight.to("cpu")
    if layer.weight.quant_state is None:
        layer.weight._quantize("cpu")
    states = torch.randn(64, 256, dtype=torch.bfloat16)
    weight = dequantize_4bit(layer.weight.data, layer.weight.quant_state).to(torch.bfloat16)
    assert torch.equal(layer(states), F.linear(states, weight, layer.bias))


def test_a_quantized_model_has_a_key_of_its_own_and_others_keep_theirs(tmp_path: Path) -> None:
    spec = spec_of(save_model_folder(tmp_path / "base"))
    quantized = replace(spec, quantization="nf4")
    assert len({replace(spec, quantization=kind).fingerprint("float32") for kind in (None, "nf4", "int8")}) == 3
    assert "quantization" not in spec.to_fields()
    assert ModelSpec(**quantized.to_fields()) == quantized
    assert ModelSpec(**spec.to_fields()) == spec


def test_without_the_library_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantizing, "find_spec", lambda _: None)
    with pytest.raises(ModelUnusable, match=r'bitsandbytes, which is not installed. Run: pip install "lobass\[quant'):
        check_quantization("nf4")
    check_quantization(None)


def test_an_unknown_kind_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ModelUnusable, match="Unknown quantization 'int3'"):
        check_quantization("int3")
