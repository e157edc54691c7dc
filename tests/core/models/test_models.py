"""Which weights exactly: names become folders, fingerprints follow content, and what must not be loaded is refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.data.errors import ModelUnusable
from core.encoding.template_choice import chat_template_text
from core.models.resolving import (
    ModelSpec,
    adapter_notice,
    resolve_model,
    tokenizer_fingerprint,
    trained_references,
)


def edit_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    fields = json.loads(path.read_text(encoding="utf-8"))
    change(fields)
    path.write_text(json.dumps(fields), encoding="utf-8")


def flip_last_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def resolve(name: str | Path, workspace: Path, base: ModelSpec | None = None) -> ModelSpec:
    return resolve_model(str(name), workspace, base)


# Names


def test_a_folder_a_relative_path_and_a_link_mean_the_same_model(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(folder)
    specs = [resolve(name, tmp_path) for name in (folder, "./model", "link")]
    assert {(spec.path, spec.weights_hash) for spec in specs} == {(str(folder), specs[0].weights_hash)}


def test_a_trained_reference_goes_before_a_folder_of_its_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trained = tmp_path / "workspace" / "models" / "model"
    shutil.copytree(folder, trained)
    assert resolve("model", tmp_path / "workspace").path == str(folder)  # not finished: no provenance yet
    assert trained_references(tmp_path / "workspace") == []
    (trained / "provenance.json").write_text("{}", encoding="utf-8")
    assert resolve("model", tmp_path / "workspace").path == str(trained)
    assert trained_references(tmp_path / "workspace") == ["model"]


def test_an_unknown_name_is_answered_with_the_references_there_are(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match=r"No model 'saturn': .* No reference has been trained here yet\."):
        resolve("saturn", tmp_path)
    (tmp_path / "models" / "jupiter").mkdir(parents=True)
    (tmp_path / "models" / "jupiter" / "provenance.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelUnusable, match=r"References trained here: jupiter\."):
        resolve("saturn", tmp_path)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "one/two/three"])
def test_a_path_that_is_not_there_is_not_looked_for_elsewhere(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match="it is neither a folder"):
        resolve(name, tmp_path)


def test_an_empty_name_does_not_mean_the_current_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(ModelUnusable, match="No model was given"):
        resolve("", tmp_path)


def test_a_hub_id_that_cannot_be_fetched_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelUnusable, match="could not be downloaded from the Hugging Face Hub"):
        resolve("nobody/no-such-model", tmp_path)


# Refusals


def test_a_file_is_no_model(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match=r"is a file\. A model is a folder"):
        resolve(folder / "model.safetensors", tmp_path)


def test_a_folder_without_config_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(ModelUnusable, match=r"has no config\.json"):
        resolve(folder, tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '"llama"', "7"])
def test_a_config_that_is_no_json_object_is_refused(folder: Path, tmp_path: Path, text: str) -> None:
    (folder / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelUnusable, match=r"config\.json is not a JSON object"):
        resolve(folder, tmp_path)


def test_a_folder_with_pickled_weights_alone_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelUnusable, match="Other weight formats are not loaded: they can run code"):
        resolve(folder, tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        {"_attn_implementation": "stranger/kernel"},
        {"attn_implementation": "stranger/kernel:entry"},
        {"text_config": {"_attn_implementation": "stranger/kernel"}},
        {"_attn_implementation": {"text_config": "stranger/kernel"}},
        {"_experts_implementation": "stranger/kernel"},
    ],
)
def test_a_config_that_names_code_to_download_is_refused(
    folder: Path, tmp_path: Path, fields: dict[str, object]
) -> None:
    edit_json(folder / "config.json", lambda config: config.update(fields))
    with pytest.raises(ModelUnusable, match="refers to code to download"):
        resolve(folder, tmp_path)


def test_a_config_that_names_a_built_in_attention_is_accepted(folder: Path, tmp_path: Path) -> None:
    edit_json(folder / "config.json", lambda config: config.update(_attn_implementation="sdpa"))
    assert resolve(folder, tmp_path).path == str(folder)


# Fingerprints


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_a_fingerprint_changes_with_one_byte_of_weights_or_config(folder: Path, tmp_path: Path, file: str) -> None:
    before = resolve(folder, tmp_path).fingerprint("float32")
    if file == "config.json":
        edit_json(folder / file, lambda config: config.update(rms_norm_eps=0.5))
    else:
        flip_last_byte(folder / file)
    assert resolve(folder, tmp_path).fingerprint("float32") != before


def test_a_fingerprint_does_not_hang_on_name_place_or_time(saved: Path, folder: Path, tmp_path: Path) -> None:
    (folder / "README.md").write_text("about", encoding="utf-8")
    one, other = resolve(saved, tmp_path), resolve(folder, tmp_path)
    assert one.label != other.label
    assert one.fingerprint("float32") == other.fingerprint("float32")


def test_a_fingerprint_holds_the_dtype_and_the_adapter(saved: Path, adapter: Path, tmp_path: Path) -> None:
    base = resolve(saved, tmp_path)
    adapted = resolve(adapter, tmp_path, base)
    fingerprints = {spec.fingerprint(dtype) for spec in (base, adapted) for dtype in ("float32", "bfloat16")}
    assert len(fingerprints) == 4
    flip_last_byte(adapter / "adapter_model.safetensors")
    assert resolve(adapter, tmp_path, base).fingerprint("float32") not in fingerprints


def test_one_adapter_on_two_bases_has_two_fingerprints(
    saved: Path, folder: Path, adapter: Path, tmp_path: Path
) -> None:
    flip_last_byte(folder / "model.safetensors")
    edit_json(adapter / "adapter_config.json", lambda config: config.update(base_model_name_or_path=""))
    one, other = (resolve(adapter, tmp_path, resolve(base, tmp_path)) for base in (saved, folder))
    assert one.fingerprint("float32") != other.fingerprint("float32")


def test_a_tokenizer_fingerprint_follows_its_files(folder: Path, tmp_path: Path) -> None:
    spec = resolve(folder, tmp_path)
    before = tokenizer_fingerprint(spec)
    flip_last_byte(folder / "model.safetensors")
    assert tokenizer_fingerprint(spec) == before
    with open(folder / "chat_template.jinja", "a", encoding="utf-8") as file:
        file.write(" ")
    assert tokenizer_fingerprint(spec) != before


def test_a_model_without_tokenizer_is_said(folder: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / name).unlink()
    with pytest.raises(ModelUnusable, match="has no tokenizer in"):
        tokenizer_fingerprint(resolve(folder, tmp_path))


# Adapters


def test_an_adapter_finds_its_base_by_the_name_in_its_config(saved: Path, saved_adapter: Path, tmp_path: Path) -> None:
    spec = resolve(saved_adapter, tmp_path)
    assert (spec.path, spec.adapter) == (str(saved), str(saved_adapter))
    assert spec == resolve(saved_adapter, tmp_path, resolve(saved, tmp_path))


def test_an_adapter_trained_here_is_told_by_its_bases_weights_not_their_name(
    adapter: Path, saved: Path, folder: Path, tmp_path: Path
) -> None:
    provenance = {"base_weights_hash": resolve(folder, tmp_path).weights_hash}
    (adapter / "provenance.json").write_text(json.dumps(provenance), encoding="utf-8")
    assert resolve(adapter, tmp_path, resolve(folder, tmp_path)).path == str(folder)
    assert adapter_notice(resolve(adapter, tmp_path, resolve(folder, tmp_path)), resolve(folder, tmp_path)) is None
    flip_last_byte(folder / "model.safetensors")
    with pytest.raises(ModelUnusable, match="not on the base"):
        resolve(adapter, tmp_path, resolve(folder, tmp_path))


def test_an_adapter_without_safetensors_is_refused(adapter: Path, tmp_path: Path) -> None:
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(ModelUnusable, match=r"has no adapter_model\.safetensors"):
        resolve(adapter, tmp_path)


@pytest.mark.parametrize("kind", ["PROMPT_TUNING", "PREFIX_TUNING", None])
def test_an_adapter_that_is_no_lora_is_refused(adapter: Path, tmp_path: Path, kind: str | None) -> None:
    edit_json(adapter / "adapter_config.json", lambda config: config.update(peft_type=kind))
    with pytest.raises(ModelUnusable, match=f"has type {kind}; only LORA is supported"):
        resolve(adapter, tmp_path)


def test_an_adapter_that_names_no_base_needs_one_given(adapter: Path, saved: Path, tmp_path: Path) -> None:
    edit_json(adapter / "adapter_config.json", lambda config: config.update(base_model_name_or_path=None))
    with pytest.raises(ModelUnusable, match="does not say which base"):
        resolve(adapter, tmp_path)
    assert resolve(adapter, tmp_path, resolve(saved, tmp_path)).path == str(saved)


def test_an_adapter_on_an_adapter_is_refused(adapter: Path, saved_adapter: Path, tmp_path: Path) -> None:
    edit_json(adapter / "adapter_config.json", lambda config: config.update(base_model_name_or_path=str(saved_adapter)))
    with pytest.raises(ModelUnusable, match="is an adapter itself"):
        resolve(adapter, tmp_path)
    with pytest.raises(ModelUnusable, match="is an adapter itself"):
        resolve(adapter, tmp_path, resolve(saved_adapter, tmp_path))


def test_an_adapter_that_names_itself_as_base_is_refused(adapter: Path, tmp_path: Path) -> None:
    edit_json(adapter / "adapter_config.json", lambda config: config.update(base_model_name_or_path=str(adapter)))
    with pytest.raises(ModelUnusable, match="is an adapter itself"):
        resolve(adapter, tmp_path)


# Facts read without loading


def test_whether_there_is_a_chat_template_is_read_from_either_file(folder: Path, tmp_path: Path) -> None:
    spec = resolve(folder, tmp_path)
    assert "message.role" in (chat_template_text(Path(spec.path)) or "")
    (folder / "chat_template.jinja").unlink()
    assert chat_template_text(Path(spec.path)) is None
    edit_json(folder / "tokenizer_config.json", lambda config: config.update(chat_template="{{ messages }}"))
    assert chat_template_text(Path(spec.path)) == "{{ messages }}"


def test_a_spec_survives_the_job_file(saved: Path, saved_adapter: Path, tmp_path: Path) -> None:
    spec = resolve(saved_adapter, tmp_path)
    assert ModelSpec(**json.loads(json.dumps(spec.to_fields()))) == spec
    assert replace(spec, label="another name").fingerprint("float32") == spec.fingerprint("float32")


def test_weights_that_were_cut_off_are_refused_before_any_worker_starts(folder: Path, tmp_path: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ModelUnusable, match=r"it has [\d,]+ of [\d,]+ bytes"):
        resolve(folder, tmp_path)
