"""Whether an adapter belongs to a base: names of all systems, quantized copies, and shapes where names do not tell."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.data.errors import ModelUnusable
from core.models.adapter_base import base_notice, shape_conflict
from core.models.resolving import adapter_notice, resolve_model
from tests.tiny_models import make_model, save_lora_adapter, save_model_folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return save_model_folder(tmp_path_factory.mktemp("models") / "Comet-7B")


@pytest.fixture(scope="module")
def saved_adapter(base: Path) -> Path:
    return save_lora_adapter(base.parent / "adapter", base)


def rename_base(adapter: Path, named: str) -> None:
    path = adapter / "adapter_config.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**fields, "base_model_name_or_path": named}), encoding="utf-8")


@pytest.mark.parametrize(
    "named",
    [
        "/mnt/other/machine/Comet-7B",
        "/mnt/other/machine/Comet-7B/",
        "C:\\models\\Comet-7B",
        "C:\\models\\Comet-7B\\",
        "..\\models/Comet-7B",
        "maker/comet-7b",
        "/cache/hub/models--maker--Comet-7B/snapshots/0a1b2c3d",
        "",
    ],
)
def test_the_same_base_by_another_path_is_taken_without_a_word(named: str, base: Path) -> None:
    assert base_notice("tuned", named, str(base), base) is None


def test_a_base_in_the_hubs_cache_is_known_by_its_id(base: Path, tmp_path: Path) -> None:
    cached = tmp_path / "models--maker--Comet-7B" / "snapshots" / "0a1b2c3d"
    shutil.copytree(base, cached)
    assert base_notice("tuned", "D:/weights/comet-7b", "a label", cached) is None


@pytest.mark.parametrize(
    "named",
    [
        "unsloth/Comet-7B-bnb-4bit",
        "unsloth/comet-7b-unsloth-bnb-4bit",
        "maker/Comet-7B-GPTQ-Int4",
        "maker/Comet-7B-AWQ",
        "C:\\models\\Comet-7B-FP8",
        "maker/Comet-7B-8bit",
    ],
)
def test_a_quantized_copy_of_the_base_is_taken_and_said(named: str, base: Path) -> None:
    notice = base_notice("tuned", named, str(base), base)
    assert notice is not None
    assert "a quantized copy of the base" in notice
    assert repr(named) in notice


def test_another_name_is_said_with_both_names(adapter: Path, base: Path, tmp_path: Path) -> None:
    rename_base(adapter, "maker/Meteor-7B")
    spec = resolve_model(str(base), tmp_path)
    notice = adapter_notice(resolve_model(str(adapter), tmp_path, spec), spec)
    assert notice is not None
    assert "names 'maker/Meteor-7B' as its base" in notice
    assert "not '" + str(base) in notice


def test_a_model_that_is_no_adapter_has_no_notice(base: Path, tmp_path: Path) -> None:
    spec = resolve_model(str(base), tmp_path)
    assert adapter_notice(spec, spec) is None


def test_shapes_that_do_not_fit_are_refused_with_both_whatever_the_name(adapter: Path, tmp_path: Path) -> None:
    wide = tmp_path / "Comet-7B"
    model = make_model("llama")
    config = type(model.config)(**{**model.config.to_dict(), "hidden_size": 48, "head_dim": 24})
    save_model_folder(wide)
    type(model)(config).save_pretrained(wide)
    with pytest.raises(
        ModelUnusable, match=r"does not fit its base .*q_proj it needs weights of shape \(32, 32\), and .* \(48, 48\)"
    ):
        resolve_model(str(adapter), tmp_path, resolve_model(str(wide), tmp_path))


def test_layers_that_the_base_lacks_are_refused_by_name(adapter: Path, base: Path, tmp_path: Path) -> None:
    path = adapter / "adapter_model.safetensors"
    weights = load_file(path)
    deeper = {name.replace("layers.1.", "layers.7."): tensor for name, tensor in weights.items()}
    save_file(deeper, path, {"format": "pt"})
    with pytest.raises(
        ModelUnusable, match=r"weights for model\.layers\.7\.self_attn\.\w+, a layer that the base does"
    ):
        resolve_model(str(adapter), tmp_path, resolve_model(str(base), tmp_path))


@pytest.mark.parametrize("family", ["llama", "llama-tied", "gpt2", "gemma2", "gemma3"])
def test_every_linear_layer_of_a_family_fits_its_own_base(family: str, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    folder = save_model_folder(tmp_path / "base", family)
    config = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    get_peft_model(make_model(family), config).save_pretrained(tmp_path / "adapter")
    assert shape_conflict(tmp_path / "adapter", folder) is None


def test_files_that_name_their_layers_by_another_beginning_are_compared_all_the_same(
    base: Path, saved_adapter: Path, tmp_path: Path
) -> None:
    for size, conflicts in ((32, False), (40, True)):
        folder = tmp_path / str(size)
        folder.mkdir()
        part = {"language_model.layers.0.self_attn.q_proj.weight": torch.zeros(size, size)}
        save_file(
            {**part, "language_model.layers.1.self_attn.q_proj.weight": torch.zeros(size, size)},
            folder / "m.safetensors",
        )
        assert bool(shape_conflict(saved_adapter, folder)) == conflicts


def test_an_embedding_with_more_tokens_than_the_base_fits_it(base: Path, tmp_path: Path) -> None:
    prefix = "base_model.model."
    for rows, width, conflicts in ((410, 32, False), (410, 40, True)):
        folder = tmp_path / f"{rows}-{width}"
        folder.mkdir()
        pairs = {
            f"{prefix}model.embed_tokens.lora_embedding_A": torch.zeros(2, rows),
            f"{prefix}model.embed_tokens.lora_embedding_B": torch.zeros(width, 2),
            f"{prefix}lm_head.lora_A.weight": torch.zeros(2, width),
            f"{prefix}lm_head.lora_B.weight": torch.zeros(rows, 2),
        }
        save_file(pairs, folder / "adapter_model.safetensors")
        assert bool(shape_conflict(folder, base)) == conflicts
