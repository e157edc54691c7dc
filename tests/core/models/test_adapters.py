"""Every kind of adapter is scored as it was trained, and its base as it is without one."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from core.data.errors import ModelUnusable
from core.data.examples import DatasetRow, Example
from core.encoding.encode import Encoded, EncodingSpec, encode_examples
from core.jobs.example_chunks import EXAMPLES_SCHEMA
from core.jobs.job import Job, create_job
from core.jobs.shards import read_shard
from core.models.base_probe import BaseProbe
from core.models.loading import load_model, load_tokenizer, load_with_base
from core.models.resolving import ModelSpec, resolve_model, tokenizer_fingerprint
from core.scoring.planning import ScoreRequest, plan_scoring
from core.scoring.scoring_job import score
from core.store import Store
from tests import command_line
from tests.tiny_adapters import KINDS, Kind, exact_losses, exact_model, give_biases, make_adapter
from tests.tiny_models import MIXED_EXAMPLES, make_model, make_tokenizer, save_model_folder, spec_of

SHARED = "both models share weights"
ENCODING = EncodingSpec("chat", 2048, "tiny tokenizer")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module", params=["llama", "llama-tied", "qwen2"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bases with their own head, with one that is the embeddings, and with biases."""
    folder = save_model_folder(tmp_path_factory.mktemp("bases") / "base", request.param)
    return give_biases(folder) if request.param == "qwen2" else folder


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model_folder(tmp_path_factory.mktemp("bases") / "base")


def specs_of(base: Path, adapter: Path) -> dict[str, ModelSpec]:
    base_spec = resolve_model(str(base), adapter.parent)
    return {"base": base_spec, "reference": resolve_model(str(adapter), adapter.parent, base_spec)}


def make_job(workspace: Path, specs: dict[str, ModelSpec], dtype: str = "float32") -> Job:
    """A job that computes both models' losses of the mixed examples."""
    request = {
        "kind": "score",
        "base": specs["base"].to_fields(),
        "encoding": {
            "template": "chat",
            "max_length": 2048,
            "tokenizer_fingerprint": tokenizer_fingerprint(specs["base"]),
            "version": 2,
        },
        "device": "cpu",
        "dtype": dtype,
        "asks_base": True,
        "parts": [{"role": role, "model": spec.to_fields(), "loss_set": 1} for role, spec in specs.items()],
    }
    ids, texts = [str(e.example_id) for e in MIXED_EXAMPLES], [e.to_json() for e in MIXED_EXAMPLES]
    table = pa.table([ids, texts, [""] * len(ids)], schema=EXAMPLES_SCHEMA)
    return create_job(workspace, request, dict.fromkeys(specs, table))


def losses_of(job: Job, role: str) -> NDArray[np.float64]:
    """Mean loss of each of the mixed examples [nats] as the job wrote it; NaN where nothing is scored."""
    rows = {row["example_id"]: row for path in job.shards_of(role) for row in read_shard(path).to_pylist()}
    found = [rows[str(example.example_id)] for example in MIXED_EXAMPLES]
    return np.array([np.nan if row["reason"] else row["nll_sum"] / row["token_count"] for row in found])


def encoded(base: Path) -> list[Encoded]:
    return encode_examples(MIXED_EXAMPLES, load_tokenizer(spec_of(base)), ENCODING)


def rewrite(adapter: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    path = adapter / "adapter_model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, {"format": "pt"})


@pytest.mark.parametrize("name", KINDS)
def test_base_and_reference_have_the_losses_of_base_and_merged_model_in_float64(
    name: str, base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="worker")
    merged = make_adapter(tmp_path / "adapter", base, KINDS[name])
    job = make_job(tmp_path, specs_of(base, tmp_path / "adapter"))
    score(job)
    rows = encoded(base)
    own, trained = exact_losses(exact_model(base), rows), exact_losses(merged, rows)
    np.testing.assert_allclose(losses_of(job, "base"), own, rtol=0, atol=1e-4)
    np.testing.assert_allclose(losses_of(job, "reference"), trained, rtol=0, atol=1e-4)
    assert (SHARED in caplog.text) == KINDS[name].keeps_base
    assert ("scored in separate passes" in caplog.text) != KINDS[name].keeps_base


@pytest.mark.parametrize("name", ["PiSSA", "OLoRA"])
def test_what_an_adapter_takes_from_its_base_is_taken_before_the_base_is_rounded(
    name: str, llama: Path, tmp_path: Path
) -> None:
    merged = make_adapter(tmp_path / "adapter", llama, KINDS[name])
    spec = specs_of(llama, tmp_path / "adapter")["reference"]
    loaded = load_model(spec, "bfloat16", "cpu")
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.bfloat16}
    frequencies = dict(loaded.get_base_model().named_buffers())["model.rotary_emb.inv_freq"]
    assert frequencies.dtype == torch.float32
    exact = dict(load_model(spec, "float32", "cpu").named_parameters())
    assert all(torch.equal(parameter, exact[name].bfloat16()) for name, parameter in loaded.named_parameters())
    trained = {name: parameter.double() for name, parameter in merged.named_parameters()}
    for name, parameter in loaded.double().merge_and_unload().named_parameters():
        assert (parameter - trained[name]).norm() < 2**-7 * trained[name].norm(), name


def test_a_fast_singular_value_decomposition_is_refused_since_nobody_can_make_it_again(
    llama: Path, tmp_path: Path
) -> None:
    make_adapter(tmp_path / "adapter", llama, Kind({"init_lora_weights": "pissa_niter_4"}))
    specs = specs_of(llama, tmp_path / "adapter")
    refusal = r"pissa_niter_4.*cannot be restored\. Convert it .*path_initial_model_for_weight_conversion"
    with pytest.raises(ModelUnusable, match=refusal):
        load_model(specs["reference"], "float32", "cpu")
    with pytest.raises(ModelUnusable, match=refusal):
        load_with_base(specs["reference"], "float32", "cpu")
    with Store.open(tmp_path / "workspace", "a test") as store:
        row = DatasetRow(1, "numbers", MIXED_EXAMPLES[0], b"{}")
        store.add_source("d", "rows.jsonl", "jsonl", "a hash", {}, [row])
        with pytest.raises(ModelUnusable, match=refusal):
            plan_scoring(store, ScoreRequest("d", str(llama), str(tmp_path / "adapter"), device="cpu"))


def test_an_adapter_that_was_converted_is_a_plain_one(llama: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(llama, dtype=torch.float32)
    options = {"r": 2, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}
    adapted = get_peft_model(model, LoraConfig(init_lora_weights="pissa_niter_4", **options)).eval()
    adapted.peft_config["default"].init_lora_weights = True
    adapted.save_pretrained(tmp_path / "begun")
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    trained = exact_losses(adapted, encoded(llama))
    adapted.peft_config["default"].init_lora_weights = "pissa_niter_4"
    adapted.save_pretrained(tmp_path / "adapter", path_initial_model_for_weight_conversion=str(tmp_path / "begun"))
    job = make_job(tmp_path, specs_of(llama, tmp_path / "adapter"))
    score(job)
    np.testing.assert_allclose(losses_of(job, "base"), exact_losses(exact_model(llama), encoded(llama)), atol=1e-4)
    np.testing.assert_allclose(losses_of(job, "reference"), trained, rtol=0, atol=1e-4)


def test_an_adapter_for_fewer_rows_than_a_padded_base_has_fits(tmp_path: Path) -> None:
    base = tmp_path / "base"
    make_model("llama", vocabulary_size=448).save_pretrained(base)
    make_tokenizer().save_pretrained(base)
    merged = make_adapter(tmp_path / "adapter", base, Kind({"modules_to_save": ["embed_tokens", "lm_head"]}, rows=404))
    job = make_job(tmp_path, specs_of(base, tmp_path / "adapter"))
    score(job)
    np.testing.assert_allclose(losses_of(job, "base"), exact_losses(exact_model(base), encoded(base)), atol=1e-4)
    np.testing.assert_allclose(losses_of(job, "reference"), exact_losses(merged, encoded(base)), atol=1e-4)


def test_tokens_of_the_tokenizer_beside_an_adapter_get_rows_as_peft_gives_them(llama: Path, tmp_path: Path) -> None:
    from peft import AutoPeftModelForCausalLM

    make_adapter(tmp_path / "adapter", llama, KINDS["LoRA"])
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["<one>", "<two>", "<three>"])
    tokenizer.save_pretrained(tmp_path / "adapter")
    expected = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "adapter", dtype=torch.float64).eval()
    assert expected.get_input_embeddings().weight.shape[0] == 403
    job = make_job(tmp_path, specs_of(llama, tmp_path / "adapter"))
    score(job)
    np.testing.assert_allclose(losses_of(job, "reference"), exact_losses(expected, encoded(llama)), atol=1e-4)
    np.testing.assert_allclose(losses_of(job, "base"), exact_losses(exact_model(llama), encoded(llama)), atol=1e-4)


def test_rows_that_cannot_be_mended_are_told_by_both_numbers(llama: Path, tmp_path: Path) -> None:
    make_adapter(tmp_path / "adapter", llama, Kind({"modules_to_save": ["lm_head"]}, rows=390))
    with pytest.raises(ModelUnusable, match=r"rows for 390 tokens, its base for 400, of which .* uses 400"):
        load_model(specs_of(llama, tmp_path / "adapter")["reference"], "float32", "cpu")


def test_an_adapter_whose_own_rows_differ_is_refused(llama: Path, tmp_path: Path) -> None:
    make_adapter(tmp_path / "adapter", llama, KINDS["trained embeddings and head"])

    def cut(weights: dict[str, torch.Tensor]) -> None:
        name = "base_model.model.lm_head.weight"
        weights[name] = weights[name][:399].clone()

    rewrite(tmp_path / "adapter", cut)
    with pytest.raises(ModelUnusable, match=r"400 rows in .*embed_tokens.weight but 399 in .*lm_head.weight"):
        load_model(specs_of(llama, tmp_path / "adapter")["reference"], "float32", "cpu")


OVERWRITTEN = {
    "one row of the embeddings": ("model.embed_tokens.weight", lambda weight: weight[237:238]),
    "a norm": ("model.norm.weight", lambda weight: weight[5:6]),
    "a layer beside its own": ("model.layers.1.mlp.up_proj.weight", lambda weight: weight[:2]),
}


@pytest.mark.parametrize(("name", "processes"), [*((name, 1) for name in OVERWRITTEN), ("a norm", 2)])
def test_an_adapter_that_overwrites_its_base_without_saying_so_is_found_out(
    name: str, processes: int, llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOBASS_SCORING_PROCESSES", str(processes))
    merged = make_adapter(tmp_path / "adapter", llama, KINDS["LoRA"])
    tensor, part = OVERWRITTEN[name]
    own = load_file(llama / "model.safetensors")[tensor].clone()
    part(own).add_(0.25)
    rewrite(tmp_path / "adapter", lambda weights: weights.update({f"base_model.model.{tensor}": own}))
    with torch.no_grad():
        dict(merged.named_parameters())[tensor].copy_(own)
    job = make_job(tmp_path, specs_of(llama, tmp_path / "adapter"))
    score(job)
    rows = encoded(llama)
    np.testing.assert_allclose(losses_of(job, "base"), exact_losses(exact_model(llama), rows), rtol=0, atol=1e-4)
    np.testing.assert_allclose(losses_of(job, "reference"), exact_losses(merged, rows), rtol=0, atol=1e-4)
    assert (job.folder / "apart.txt").exists()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", [name for name in KINDS if KINDS[name].rows is None])
def test_the_probe_tells_which_adapters_keep_their_base(name: str, dtype: str, base: Path, tmp_path: Path) -> None:
    make_adapter(tmp_path / "adapter", base, KINDS[name])
    has_biases = any("bias" in key for key in load_file(base / "model.safetensors"))
    keeps = KINDS[name].keeps_base or ("bias" in KINDS[name].options and not has_biases)
    assert load_with_base(specs_of(base, tmp_path / "adapter")["reference"], dtype, "cpu")[1] == keeps


def test_the_probe_sees_a_layer_that_stays_on(llama: Path, tmp_path: Path) -> None:
    make_adapter(tmp_path / "adapter", llama, KINDS["LoRA"])
    spec = specs_of(llama, tmp_path / "adapter")["reference"]
    probe = BaseProbe.of(load_model(spec_of(llama), "float32", "cpu"))
    model = load_model(spec, "float32", "cpu")
    assert probe.agrees(model)
    query = model.get_base_model().model.layers[1].self_attn.q_proj
    query.enable_adapters = lambda _on: None
    assert not probe.agrees(model)


def test_a_job_with_an_adapter_that_changes_its_base_leaves_losses_that_others_can_use(
    llama: Path, tmp_path: Path
) -> None:
    workspace = tmp_path / "workspace"
    merged = {name: make_adapter(tmp_path / name, llama, KINDS[name]) for name in ("PiSSA", "LoRA")}
    command_line.write_rows(tmp_path / "rows.jsonl", 4)
    command_line.result(workspace, "import", tmp_path / "rows.jsonl", "--dataset", "numbers")
    computed = {}
    for name in merged:
        options = ("--dataset", "numbers", "--base", llama, "--reference", tmp_path / name, "--run", name)
        computed[name] = command_line.result(workspace, "score", *options)["computed"]
    assert computed == {"PiSSA": {"base": 4, "reference": 4}, "LoRA": {"base": 0, "reference": 4}}
    with Store.open(workspace, "a test") as store:
        texts = store.rows("SELECT conversation FROM dataset_row JOIN example USING (example_id) ORDER BY row_number")
    tokenizer = load_tokenizer(spec_of(llama))
    rows = encode_examples([Example.from_json(text) for (text,) in texts], tokenizer, ENCODING)
    own = exact_losses(exact_model(llama), rows)
    for name, model in merged.items():
        found = command_line.losses(workspace, name, tmp_path)
        np.testing.assert_allclose([row["base_loss"] for row in found], own, rtol=0, atol=1e-4)
        expected = exact_losses(model, rows)
        np.testing.assert_allclose([row["reference_loss"] for row in found], expected, rtol=0, atol=1e-4)
    (log, _) = sorted(workspace.glob("jobs/*/worker.log"))
    assert "scored in separate passes: the adapter" in log.read_text(encoding="utf-8")
