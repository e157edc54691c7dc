"""Folders whose weights are stored quantized: losses of the de-quantized weights; what is not read is said."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.data.errors import ModelUnusable
from core.engine.loss_engine import LossEngine
from core.models import stored_quantization
from core.models.adapter_base import shape_conflict
from core.models.base_check import check_base
from core.models.left_out_packages import _has_quantized
from core.models.loading import load_model, load_with_base
from core.models.merging import merged_weights
from core.models.quantizing import quantized, storage_difference, storage_notice
from core.models.resolving import ModelSpec, resolve_model
from tests.core.models.test_quantizing import label_losses, rows_of, save_wider
from tests.stored_folders import COMPRESSED, KINDS, edit_quantization, save_stored, whole_weights
from tests.tiny_models import save_lora_adapter, spec_of

BOUND = 1e-4
"""Nats a token."""
Spoiled = Callable[..., Path]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return save_wider(tmp_path_factory.mktemp("whole") / "base")


@pytest.fixture(scope="module")
def folders(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of each kind."""
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("stored")
    return {kind: save_stored(root / kind, base, kind) for kind in KINDS}


@pytest.fixture
def spoiled(folders: dict[str, Path], tmp_path: Path) -> Spoiled:
    """A copy of a folder in which one tensor was changed."""

    def spoil(kind: str, ending: str, change: Callable[[torch.Tensor], torch.Tensor | None]) -> Path:
        folder = shutil.copytree(folders[kind], tmp_path / "spoiled")
        tensors = load_file(folder / "model.safetensors")
        name = next(name for name in tensors if name.endswith(f"up_proj.{ending}"))
        changed = change(tensors.pop(name))
        if changed is not None:
            tensors[name] = changed.contiguous()
        save_file(tensors, folder / "model.safetensors")
        return folder

    return spoil


@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_those_of_the_dequantized_weights(folders: dict[str, Path], base: Path, kind: str) -> None:
    spec = resolve_model(str(folders[kind]), folders[kind].parent)
    rows = rows_of(spec)
    plain: Any = load_model(spec_of(base), "float32", "cpu")
    untouched = label_losses(plain, rows)
    plain.load_state_dict(whole_weights(folders[kind], kind))
    expected = label_losses(plain, rows)
    found = LossEngine(load_model(spec, "float32", "cpu")).nll_sums(rows) / [row.token_count for row in rows]
    np.testing.assert_allclose(found, expected, rtol=0, atol=BOUND)
    assert np.abs(np.subtract(untouched, expected)).max() > 10 * BOUND, "nothing was quantized"


@pytest.mark.parametrize("kind", ["nf4", "fp8"])
def test_in_half_precision_every_weight_is_the_rounded_whole_one(folders: dict[str, Path], kind: str) -> None:
    model = load_model(spec_of(folders[kind]), "bfloat16", "cpu")
    whole = whole_weights(folders[kind], kind)
    assert model.state_dict().keys() == whole.keys()
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight, whole[name].bfloat16(), rtol=2**-7, atol=0)
        assert weight.dtype == torch.bfloat16


def test_the_experts_of_a_mixture_are_dequantized_one_by_one(base: Path, tmp_path: Path) -> None:
    from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

    whole = shutil.copytree(base, tmp_path / "whole")
    sizes = {"vocab_size": 400, "hidden_size": 128, "moe_intermediate_size": 96, "num_hidden_layers": 1}
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    Qwen3MoeForCausalLM(Qwen3MoeConfig(**sizes, **experts)).save_pretrained(whole)
    folder = save_stored(tmp_path / "stored", whole, "fp8")
    found = load_model(spec_of(folder), "float32", "cpu").state_dict()
    save_file({name: each.contiguous() for name, each in whole_weights(folder, "fp8").items()},
              whole / "model.safetensors")  # fmt: skip
    expected = load_model(spec_of(whole), "float32", "cpu").state_dict()
    assert "model.layers.0.mlp.experts.down_proj" in expected
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())


@pytest.mark.parametrize("kind", ["nf4", "int4"])
def test_an_adapter_shares_the_weights_of_its_quantized_base(
    folders: dict[str, Path], base: Path, tmp_path: Path, kind: str
) -> None:
    adapter = save_lora_adapter(tmp_path / "adapter", base)
    config = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
    config["base_model_name_or_path"] = str(folders[kind])
    (adapter / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    spec = resolve_model(str(adapter), tmp_path)
    assert (spec.path, shape_conflict(adapter, folders[kind])) == (str(folders[kind]), None)
    model, gives_base = load_with_base(spec, "float32", "cpu")
    assert gives_base
    rows = rows_of(spec)
    alone = LossEngine(load_model(spec_of(folders[kind]), "float32", "cpu")).nll_sums(rows)
    np.testing.assert_allclose(LossEngine(model, without_adapter=True).nll_sums(rows), alone, rtol=1e-5)
    assert np.abs(LossEngine(model).nll_sums(rows) - alone).max() > 0.01


def test_an_adapter_of_other_shapes_is_refused_before_anything_is_loaded(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    wider = save_wider(tmp_path / "other", "llama")
    config = json.loads((wider / "config.json").read_text("utf-8"))
    from transformers import LlamaConfig, LlamaForCausalLM

    LlamaForCausalLM(LlamaConfig(**(config | {"hidden_size": 64}))).save_pretrained(wider)
    adapter = save_lora_adapter(tmp_path / "adapter", wider)
    assert "(128, 64), and the base has (128, 128)" in str(shape_conflict(adapter, folders["nf4"]))


def test_the_check_of_a_base_counts_whole_parameters_and_says_how_they_are_stored(
    folders: dict[str, Path], base: Path
) -> None:
    whole = check_base(str(base), base.parent)
    for kind in ("nf4", "int8", "int4-shifted"):
        found = check_base(str(folders[kind]), folders[kind].parent)
        assert (found.usable, found.parameters) == (True, whole.parameters)
        assert "stored quantized (" in found.sentence
        assert "de-quantized as they are loaded" in found.sentence


@pytest.mark.parametrize(("kind", "package"), [("nf4", "bitsandbytes"), ("int4", "compressed-tensors")])
def test_without_the_library_one_sentence_says_what_to_install(
    folders: dict[str, Path], kind: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_quantization, "find_spec", lambda _: None)
    with pytest.raises(ModelUnusable, match=rf'needs the package {package}, .* pip install "lobass\[quantized\]"'):
        resolve_model(str(folders[kind]), folders[kind].parent)
    resolve_model(str(folders["fp8"]), folders["fp8"].parent)


@pytest.mark.parametrize(
    ("kind", "ending", "change", "said"),
    [
        ("nf4", "weight", lambda found: found[:-64], "bytes for 32,768 numbers of 4 bits"),
        ("nf4", "weight.absmax", lambda found: found[:-1], r"absmax has the shape \(511,\), not \(512,\)"),
        ("nf4", "weight.absmax", lambda found: None, r"lacks 'weight.absmax'"),
        ("nf4", "weight.quant_state.bitsandbytes__nf4", lambda found: None, "lacks 'weight.quant_state"),
        ("nf4", "weight.quant_state.bitsandbytes__nf4", lambda found: found[1:], "is damaged"),
        ("int4", "weight_shape", lambda found: found[:1], r"weight_shape has the shape \(1,\)"),
        ("nf4", "weight.nested_absmax", lambda found: found[:1], r"nested_absmax has the shape"),
        ("nf4", "weight.nested_quant_map", lambda found: found[:9], r"nested_quant_map has the shape"),
        ("fp4", "weight.absmax", lambda found: found.half(), "absmax has the dtype F16"),
        ("fp4", "weight.quant_map", lambda found: found[:3], r"quant_map has the shape \(3,\)"),
        ("int8", "SCB", lambda found: found[:-1], r"SCB has the shape \(255,\)"),
        ("int8", "weight_format", lambda found: found + 1, "order that is no longer read"),
        ("fp8", "weight_scale_inv", lambda found: found[:1], r"\(1, 2\), not \(3, 2\)"),
        ("fp8", "weight_scale_inv", lambda found: None, "up_proj.weight is of no weight that fp8 quantized"),
        ("float", "weight_scale", lambda found: found[:9], r"weight_scale has the shape \(9, 1\)"),
        ("int4", "weight_packed", lambda found: found[:, 1:], r"weight_packed has the shape"),
        ("int4", "weight_shape", lambda found: found * 4096, r"weight_packed has the shape"),
        ("int4-shifted", "weight_zero_point", lambda found: None, "lacks 'weight_zero_point'"),
        ("float", "weight", lambda found: found.bfloat16(), "its weight has the dtype BF16"),
        ("gptq", "qzeros", lambda found: found[1:], r"qzeros has the shape \(3, 32\), not \(4, 32\)"),
        ("gptq", "g_idx", lambda found: found[1:], r"g_idx has the shape \(127,\)"),
        ("gptq", "scales", lambda found: None, "lacks 'scales'"),
        ("awq", "scales", lambda found: found[:, 8:], r"scales has the shape \(4, 248\), not \(4, 256\)"),
    ],
)
def test_tensors_that_do_not_fit_each_other_are_refused_before_a_kernel_reads_them(
    spoiled: Spoiled, kind: str, ending: str, change: Callable[[torch.Tensor], torch.Tensor | None], said: str
) -> None:
    folder = spoiled(kind, ending, change)
    with pytest.raises(ModelUnusable, match=said):
        resolve_model(str(folder), folder.parent)


def test_a_quantized_shape_that_is_made_up_is_refused(spoiled: Spoiled) -> None:
    def larger(state: torch.Tensor) -> torch.Tensor:
        told = json.loads(bytes(state.numpy())) | {"shape": [2**20, 2**20]}
        return torch.tensor(list(json.dumps(told).encode()), dtype=torch.uint8)

    folder = spoiled("nf4", "weight.quant_state.bitsandbytes__nf4", larger)
    with pytest.raises(ModelUnusable, match="bytes for 1,099,511,627,776 numbers"):
        resolve_model(str(folder), folder.parent)


def test_a_block_larger_than_a_weight_takes_no_more_memory_than_the_weight(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["fp8"], tmp_path / "large")
    tensors = load_file(folder / "model.safetensors")
    first = {name: tensor[:1, :1].clone() if name.endswith("_inv") else tensor for name, tensor in tensors.items()}
    save_file(first, folder / "model.safetensors")
    edit_quantization(folder, weight_block_size=[2**15, 2**15])
    found = load_model(resolve_model(str(folder), tmp_path), "float32", "cpu").state_dict()
    name = "model.layers.0.mlp.up_proj.weight"
    torch.testing.assert_close(found[name], tensors[name].float() * first[f"{name}_scale_inv"])


def test_a_column_of_a_group_that_is_not_there_is_refused(spoiled: Spoiled) -> None:
    folder = spoiled("gptq", "g_idx", lambda found: found + 1)
    with pytest.raises(ModelUnusable, match="g_idx names a group that is not there"):
        load_model(spec_of(folder), "float32", "cpu")


def test_a_quantized_weight_of_another_shape_than_the_config_says_is_refused(spoiled: Spoiled) -> None:
    folder = spoiled("fp8", "weight", lambda found: found[:200])
    with pytest.raises(ModelUnusable, match=r"up_proj.weight is \(200, 128\), not \(256, 128\)"):
        load_model(spec_of(folder), "float32", "cpu")


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        ("fp8", {"quant_method": "mxfp4"}, r"stored quantized \(mxfp4\), which is not supported"),
        ("fp8", {"weight_block_size": [0, "a"]}, "with blocks of"),
        ("gptq", {"bits": 3}, "weights of 3 bits"),
        ("gptq", {"checkpoint_format": "marlin"}, "the format marlin"),
        ("awq", {"version": "gemv"}, "the format gemv"),
        ("awq", {"group_size": 0}, "groups of 0 weights"),
        ("int4", {"format": "nvfp4-pack-quantized"}, "with the format nvfp4"),
        ("int4", {"sparsity_config": {"format": "sparse-24-bitmask"}}, "transformed or sparse weights"),
        ("int4", {"transform_config": {"a": 1}}, "transformed or sparse weights"),
        ("int4", {"config_groups": {}}, "without a scheme"),
        ("int4", {"config_groups": {"a": {"weights": {"num_bits": 4}}, "b": {"weights": {"num_bits": 8}}}}, "several"),
        ("int4", {"config_groups": {"a": {"weights": {"num_bits": 64}}}}, "weights of 64 bits"),
    ],
)
def test_a_method_or_setting_that_is_not_read_is_said(
    folders: dict[str, Path], tmp_path: Path, kind: str, fields: dict[str, Any], said: str
) -> None:
    folder = shutil.copytree(folders[kind], tmp_path / "other")
    edit_quantization(folder, **fields)
    with pytest.raises(ModelUnusable, match=said):
        resolve_model(str(folder), tmp_path)


def test_what_is_said_of_models_in_different_forms(folders: dict[str, Path], base: Path) -> None:
    whole, stored = spec_of(base), spec_of(folders["fp8"], label="small")
    assert storage_notice(whole) is None
    assert "'small' are stored quantized (fp8) and de-quantized" in str(storage_notice(stored))
    assert storage_difference(whole, whole) is None
    assert "stored whole, those of the reference 'small' quantized (fp8)" in str(storage_difference(whole, stored))


def test_stored_weights_are_not_quantized_again_nor_averaged(folders: dict[str, Path], tmp_path: Path) -> None:
    stored = spec_of(folders["nf4"])
    with pytest.raises(ModelUnusable, match=r"stored quantized already \(bitsandbytes\). Leave out --quantization"):
        quantized(stored, "int8")
    assert quantized(stored, None) == stored
    with pytest.raises(ModelUnusable, match="cannot be merged"):
        merged_weights([stored, replace(stored, label="again")], [0.5, 0.5], None, tmp_path)


def test_a_worker_keeps_the_library_of_a_stored_model(folders: dict[str, Path], base: Path) -> None:
    def needs(folder: Path) -> bool:
        return _has_quantized({"parts": [{"model": ModelSpec("m", str(folder), None, "0").to_fields()}]})

    assert needs(folders["int8"])
    assert not any(map(needs, [base, folders["fp8"], *(folders[kind] for kind in COMPRESSED), base / "none"]))
