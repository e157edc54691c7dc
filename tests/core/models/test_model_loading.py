"""Loading: what is not all there, not finite or not for this base is refused; an adapter changes the losses."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.data.errors import ModelUnusable
from core.encoding.encode import encode_examples
from core.engine.response_loss import response_losses
from core.models.loading import load_model, load_tokenizer
from core.models.resolving import ModelSpec, hash_of_weights, resolve_model
from tests.tiny_models import MIXED_EXAMPLES, encoding_spec, make_model, save_model_folder

QUERY = "model.layers.0.self_attn.q_proj.weight"


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


def spec_of(folder: Path) -> ModelSpec:
    return resolve_model(str(folder), folder.parent)


def load(folder: Path, dtype: str = "float32") -> torch.nn.Module:
    return load_model(spec_of(folder), dtype, "cpu")


def edit_weights(path: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(path)
    change(weights)
    save_file(weights, path, {"format": "pt"})


def edit_config(path: Path, **fields: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **fields}), encoding="utf-8")


def losses(model: torch.nn.Module, folder: Path) -> np.ndarray:
    encoded = encode_examples(MIXED_EXAMPLES, load_tokenizer(spec_of(folder)), encoding_spec())
    nll_sums = np.full(len(encoded), np.nan)
    for batch in response_losses(model, encoded, 4096):
        nll_sums[list(batch.rows)] = batch.nll_sums
    return nll_sums


@pytest.mark.parametrize("family", ["llama", "llama-tied", "gemma2", "qwen2", "gpt2"])
def test_a_saved_model_loads_with_its_own_weights(family: str, tmp_path: Path) -> None:
    folder = save_model_folder(tmp_path / family, family, seed=4)
    expected = losses(make_model(family, seed=4), folder)
    model = load(folder)
    assert not model.training
    np.testing.assert_allclose(losses(model, folder), expected, rtol=0, atol=1e-4)


def test_a_model_loads_in_the_dtype_asked_for(saved: Path) -> None:
    for dtype, expected in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        assert {parameter.dtype for parameter in load(saved, dtype).parameters()} == {expected}


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried"), "does not fit into the memory of cpu"),
        (
            torch.AcceleratorError("CUDA error: no kernel image is available for execution on the device\nmore"),
            r"cannot run on cpu \(CUDA error: no kernel image .* device\). Choose device cpu",
        ),
    ],
)
def test_a_gpu_that_does_not_take_a_model_is_said_in_a_sentence(
    saved: Path, error: Exception, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moved(*_: object) -> torch.nn.Module:
        raise error

    monkeypatch.setattr(torch.nn.Module, "to", moved)
    with pytest.raises(ModelUnusable, match=sentence):
        load(saved)


def test_an_adapter_loads_in_the_dtype_asked_for(saved: Path, saved_adapter: Path) -> None:
    spec = resolve_model(str(saved_adapter), saved.parent)
    for dtype, expected in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        model = load_model(spec, dtype, "cpu")
        assert {parameter.dtype for name, parameter in model.named_parameters() if "lora" in name} == {expected}


def test_an_adapter_for_the_processor_leaves_a_gpu_alone(
    saved: Path, saved_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peft.peft_model.infer_device", lambda: "cuda")
    model = load_model(resolve_model(str(saved_adapter), saved.parent), "float32", "cpu")
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}


def test_a_missing_tensor_is_refused_by_name(folder: Path) -> None:
    edit_weights(folder / "model.safetensors", lambda weights: weights.pop(QUERY))
    with pytest.raises(ModelUnusable, match=f"lacks 1 of its weights, such as {QUERY}"):
        load(folder)


def test_a_tensor_of_another_shape_is_refused_with_both_shapes(folder: Path) -> None:
    edit_weights(folder / "model.safetensors", lambda weights: weights.update({QUERY: torch.zeros(8, 8)}))
    with pytest.raises(ModelUnusable, match=rf"{QUERY} is \(8, 8\), not \(32, 32\)"):
        load(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(folder: Path, value: float) -> None:
    edit_weights(folder / "model.safetensors", lambda weights: weights["model.norm.weight"].__setitem__(3, value))
    with pytest.raises(ModelUnusable, match=r"weights model.norm.weight .* have NaN or infinity"):
        load(folder)


@pytest.mark.parametrize("kept", [3, 500, 5000])
def test_a_weight_file_that_was_cut_off_is_refused(folder: Path, kept: int) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(ModelUnusable, match="are damaged"):
        load(folder)


@pytest.mark.parametrize(
    "fields",
    [
        {"model_type": "unheard_of"},
        {"model_type": "t5", "architectures": ["T5ForCausalLM"]},
        {"hidden_size": "many"},
        {"model_type": "own", "auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}},
    ],
    ids=lambda fields: next(iter(fields)) + "-" + str(next(iter(fields.values())))[:8],
)
def test_a_config_that_cannot_be_followed_is_said_in_a_sentence(folder: Path, fields: dict[str, object]) -> None:
    (folder / "code.py").write_text("raise SystemExit('code of a model ran')", encoding="utf-8")
    edit_config(folder / "config.json", **fields)
    with pytest.raises(ModelUnusable, match="cannot be loaded"):
        load(folder)


def test_pickled_weights_are_not_loaded_even_by_one_who_skips_resolving(folder: Path) -> None:
    spec = spec_of(folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    assert load_model(spec, "float32", "cpu") is not None  # the safetensors beside it
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelUnusable, match=r"cannot be loaded \("):
        load_model(replace(spec, weights_hash=hash_of_weights(folder)), "float32", "cpu")


# Tokenizers


@pytest.mark.parametrize("content", ["{", '{"version": "1.0"}', "[]", '{"added_tokens": [], "model": {"type": "?"}}'])
def test_a_damaged_tokenizer_is_refused(folder: Path, content: str) -> None:
    (folder / "tokenizer.json").write_text(content, encoding="utf-8")
    with pytest.raises(ModelUnusable, match=r"tokenizer of .* cannot be loaded"):
        load_tokenizer(spec_of(folder))


def test_a_loaded_tokenizer_keeps_its_bos_rule_and_template(saved: Path, tmp_path: Path) -> None:
    without = save_model_folder(tmp_path / "without", adds_bos=False, chat_template=None)
    ours, theirs = (load_tokenizer(spec_of(folder)) for folder in (saved, without))
    assert ours("a")["input_ids"] == [ours.bos_token_id, *theirs("a")["input_ids"]]
    assert ours.chat_template
    assert theirs.chat_template is None


# Adapters


def test_an_adapter_scores_otherwise_than_its_base(saved: Path, saved_adapter: Path) -> None:
    base, adapted = load(saved), load(saved_adapter)
    assert not adapted.training
    difference = np.abs(losses(adapted, saved) - losses(base, saved))
    assert difference.min() > 1e-3


def test_an_adapter_file_that_lacks_a_tensor_is_refused(adapter: Path) -> None:
    edit_weights(adapter / "adapter_model.safetensors", lambda weights: weights.pop(sorted(weights)[0]))
    with pytest.raises(ModelUnusable, match=r"The adapter .* lacks 1 of its weights, such as .*lora_A"):
        load(adapter)


def test_an_adapter_of_another_shape_does_not_fit(adapter: Path) -> None:
    edit_weights(
        adapter / "adapter_model.safetensors", lambda weights: weights.update({sorted(weights)[0]: torch.zeros(3, 3)})
    )
    with pytest.raises(ModelUnusable, match=r"does not fit its base .* needs weights of shape \(\d+, 3\)"):
        load(adapter)


def test_an_adapter_for_layers_that_the_base_lacks_does_not_fit(adapter: Path) -> None:
    edit_config(adapter / "adapter_config.json", target_modules=["warp_drive"])
    with pytest.raises(ModelUnusable, match=r"does not fit its base \(.*warp_drive"):
        load(adapter)


def test_a_damaged_adapter_is_refused(adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").write_bytes(b"abc")
    with pytest.raises(ModelUnusable, match=r"weights .*adapter_model.safetensors are damaged"):
        load(adapter)


def test_an_adapter_that_holds_nan_is_refused(adapter: Path) -> None:
    edit_weights(adapter / "adapter_model.safetensors", lambda weights: weights[sorted(weights)[0]].fill_(float("nan")))
    with pytest.raises(ModelUnusable, match=r"lora_A.* have NaN or infinity"):
        load(adapter)
