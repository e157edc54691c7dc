"""A model whose layers are spread over main memory and disk gives the losses that it gives whole on one device."""

import errno
import gc
import logging
import os
import shutil
import weakref
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM
from typer.testing import CliRunner

from core.cli.commands import app
from core.data import settings
from core.data.encoded import Encoded
from core.data.errors import ModelTooLarge, ModelUnusable, SettingInvalid
from core.data.examples import DatasetRow
from core.encoding.encode import encode_examples
from core.engine.embedding_engine import EmbeddingEngine
from core.engine.loss_engine import EngineOptions, LossEngine
from core.jobs.job import Job, all_jobs, create_job
from core.models import layer_places
from core.models.layer_places import DISK, MEMORY, Place, Placement
from core.models.loading import load_model, load_with_base
from core.models.quantizing import quantized
from core.models.resolving import ModelSpec
from core.models.spreading import Spread, attach, settle
from core.near_duplicates.jobs import create_near_duplicate_job
from core.scoring.generation.response_jobs import GenerateRequest
from core.scoring.job_spread import load_for
from core.scoring.planning import ScoreRequest, plan_scoring
from core.store import Store
from core.training.training_plan import TrainRequest
from core.workspace.embedding import embed_run
from core.workspace.generating import plan_pairs
from core.workspace.promptless import score_without_prompts
from core.workspace.running import score_dataset
from core.workspace.supervisor import begin_training
from core.workspace.training_estimate import begin_training_estimate
from tests.fake_gpu import fake_gpu
from tests.inline_executor import run_jobs_inline
from tests.tiny_adapters import KINDS, make_adapter
from tests.tiny_models import (
    MIXED_EXAMPLES,
    encoding_spec,
    make_model,
    make_tokenizer,
    save_lora_adapter,
    save_model_folder,
    spec_of,
)
from tests.trial_workspace import wait_quietly

NONE: dict[Place, int] = {MEMORY: 0}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model_folder(tmp_path_factory.mktemp("spread") / "base")


@pytest.fixture(scope="module")
def experts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose file has each expert apart, which transformers makes one tensor of."""
    folder = save_model_folder(tmp_path_factory.mktemp("spread") / "experts")
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "head_dim": 16, "vocab_size": 400}
    of_experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "num_key_value_heads": 1}
    torch.manual_seed(0)
    Qwen3MoeForCausalLM(Qwen3MoeConfig(**shape, **of_experts, initializer_range=0.2)).save_pretrained(folder)
    assert "model.layers.0.mlp.experts.0.up_proj.weight" in load_file(folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def rows() -> list[Encoded]:
    encoded = encode_examples(MIXED_EXAMPLES, make_tokenizer(), encoding_spec("chat"))
    return [row for row in encoded if row.reason is None]


def bytes_of(model: torch.nn.Module) -> int:
    return sum(part.numel() * part.element_size() for part in (*model.parameters(), *model.buffers()))


def is_mapped(tensor: torch.Tensor, folder: Path) -> bool:
    """Whether its memory is a file of that folder, also one that is deleted by now."""
    for line in Path("/proc/self/maps").read_text(encoding="ascii").splitlines():
        addresses, *_ = line.split()
        start, end = (int(text, 16) for text in addresses.split("-"))
        if start <= tensor.data_ptr() < end:
            return str(folder) in line
    return False


@pytest.mark.parametrize(
    ("family", "dtype", "options"),
    [
        ("llama", "float32", {}),
        ("llama", "bfloat16", {}),
        ("llama", "float32", {"packed": False}),
        ("gemma2", "float32", {}),  # padded
        ("llama-tied", "bfloat16", {}),
        ("gpt2", "float32", {"tiled": False}),
        ("experts", "float32", {}),
    ],
)
def test_a_model_with_a_layer_on_disk_has_the_losses_of_the_whole_one(
    family: str, dtype: str, options: dict[str, Any], experts: Path, rows: list[Encoded], tmp_path: Path
) -> None:
    folder = experts if family == "experts" else save_model_folder(tmp_path / "model", family)
    whole = load_model(spec_of(folder), dtype, "cpu")
    said: list[str] = []
    room: dict[Place, int] = {MEMORY: bytes_of(whole) - 1}
    spread: Any = load_model(spec_of(folder), dtype, "cpu", Spread(tmp_path / "placed", said.append, room))
    assert said == [
        "layers: 1 in main memory, 1 on disk; 1 of 2 layers are read from main memory or disk in every batch, which "
        "larger batches make cheaper"
    ]
    layers = spread.transformer.h if family == "gpt2" else spread.model.layers
    # What the model's own file holds as it is needed lies there; the rest in one that is gone when it is mapped.
    where = folder if dtype == "float32" else tmp_path / "placed"
    assert is_mapped(next(layers[1].parameters()), where)
    assert not (tmp_path / "placed").exists()
    engines = [LossEngine(model, EngineOptions(**options)) for model in (whole, spread)]
    assert engines[0].path == engines[1].path
    np.testing.assert_allclose(engines[1].nll_sums(rows), engines[0].nll_sums(rows), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["LoRA", "DoRA", "LoRA on parameters", "trained norms", "added tokens"])
def test_both_sides_of_an_adapter_have_their_losses_on_a_base_that_is_on_disk(
    name: str, base: Path, rows: list[Encoded], tmp_path: Path
) -> None:
    make_adapter(tmp_path / "adapter", base, KINDS[name])
    spec = spec_of(base, tmp_path / "adapter", "reference")
    whole, spread = (
        load_with_base(spec, "float32", "cpu", asked) for asked in (None, Spread(tmp_path / "x", room=NONE))
    )
    assert spread[1] == whole[1]
    for without in (False, True):
        one, other = (LossEngine(model, without_adapter=without).nll_sums(rows) for model, _ in (whole, spread))
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-6)


def test_its_memory_is_free_once_nobody_uses_it(base: Path, rows: list[Encoded], tmp_path: Path) -> None:
    """The next model of a job is loaded right after it."""
    gc.disable()
    try:
        model = load_model(spec_of(base), "float32", "cpu", Spread(tmp_path / "x", room=NONE))
        LossEngine(model).nll_sums(rows)
        weights = [weakref.ref(parameter) for parameter in model.parameters()]
        del model
        assert [weight for weight in weights if weight() is not None] == []
    finally:
        gc.enable()


def test_a_run_is_scored_embedded_and_scored_without_prompts_alike(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also with several processes asked for: each would take all GPUs."""
    caplog.set_level(logging.INFO, logger="worker")
    monkeypatch.setattr(layer_places, "free_memory", lambda: 0)
    monkeypatch.setenv("LOBASS_SCORING_PROCESSES", "2")
    run_jobs_inline(monkeypatch)
    adapter = save_lora_adapter(tmp_path / "adapter", base)
    rows = [DatasetRow(number, "chat", example, b"{}") for number, example in enumerate(MIXED_EXAMPLES, 1)]
    found = {}
    for placement in ("spread", "one"):
        with settings.chosen({"placement": placement}), Store.open(tmp_path / placement, "a test") as store:
            store.add_source("talk", "talk.jsonl", "jsonl", "a hash", {}, rows)
            request = ScoreRequest("talk", str(base), str(adapter), run="tiny", device="cpu")
            if placement == "spread":
                score_dataset(store, request, wait_quietly, lambda _: None)
                said = [record.getMessage() for record in caplog.records]
                assert any("2 on disk; 2 of 2 layers are read" in sentence for sentence in said)
                assert "both models share weights: every batch runs with the adapter and without" in said
                assert not any("processes on" in sentence for sentence in said)
                embed_run(store, "tiny", wait_quietly, "cpu")
                score_without_prompts(store, "tiny", wait_quietly, device="cpu")
                assert {job.placement for job in all_jobs(store.workspace)} == {"spread"}
                assert not list(store.workspace.glob("jobs/*/placed"))
                with settings.chosen({"placement": "one"}):
                    assert plan_scoring(store, request).is_complete, "the losses are those of a model on one device"
            else:
                monkeypatch.setenv("LOBASS_SCORING_PROCESSES", "1")
                score_dataset(store, request, wait_quietly, lambda _: None)
                score_without_prompts(store, "tiny", wait_quietly, device="cpu")
            columns = "base_loss, reference_loss, ifd"
            found[placement] = store.rows(f"SELECT {columns} FROM {store.run('tiny')['table']} ORDER BY row_number")
    assert found["spread"] == [pytest.approx(losses, abs=1e-6, nan_ok=True) for losses in found["one"]]


def test_embeddings_are_those_of_the_whole_model(base: Path, rows: list[Encoded], tmp_path: Path) -> None:
    asked = (None, Spread(tmp_path / "x", room=NONE))
    one, other = (EmbeddingEngine(load_model(spec_of(base), "float32", "cpu", spread)) for spread in asked)
    np.testing.assert_allclose(other.vectors(rows), one.vectors(rows), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("family", "places", "path"),
    [
        ("llama", (1, MEMORY), "variable-length attention"),
        ("gemma2", (1, 2), "its attention is soft-capped"),  # padded
    ],
)
def test_paths_only_layers_are_computed_where_they_are_or_copied_for_as_long_as_that_takes(
    family: str, places: tuple[Place, ...], path: str, rows: list[Encoded]
) -> None:
    model: Any = make_model(family).to(torch.bfloat16)
    placement = Placement("model.layers", places, 0, ())
    homes = ["cpu" if isinstance(place, str) else f"cuda:{place}" for place in places]
    with fake_gpu() as gpu:
        attach(placement, model)
        settle(placement, model)
        engine = LossEngine(model)
        assert path in engine.path
        gpu.looks = 0
        assert len(engine.row_sums(rows)[0]) == len(rows)
        assert [str(next(layer.parameters()).device) for layer in model.model.layers] == homes
        assert {str(part.device) for part in model.lm_head.parameters()} == {"cuda:0"}
        model.model.layers[1].mlp.forward = _out_of_memory
        with pytest.raises(torch.cuda.OutOfMemoryError):
            engine.row_sums(rows)
        assert [str(next(layer.parameters()).device) for layer in model.model.layers] == homes


def _out_of_memory(states: torch.Tensor) -> None:
    raise torch.cuda.OutOfMemoryError


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        # In layers of the tiny model, beside its embeddings, norm and head: GPUs that hold all get equal shares.
        ({0: 40, 1: 40, MEMORY: 40}, {0: 5, 1: 5}),
        ({0: 10, 1: 40, MEMORY: 40}, {0: 2, 1: 8}),
        # The first GPU keeps room for one that is copied to it.
        ({0: 4, 1: 2, MEMORY: 40}, {0: 3, 1: 2, MEMORY: 5}),
        ({0: 4, 1: 2, MEMORY: 1}, {0: 3, 1: 2, MEMORY: 1, DISK: 4}),
        ({0: 0, MEMORY: 0}, {DISK: 10}),
    ],
)
def test_layers_go_to_gpus_then_to_main_memory_then_to_disk(room: dict[Place, int], expected: dict[Place, int]) -> None:
    config: Any = make_model("llama").config
    config.num_hidden_layers = 10
    with torch.device("meta"):
        empty: Any = type(make_model("llama"))(config)
    layer = bytes_of(empty.model.layers[0])
    others = bytes_of(empty) - 10 * layer
    found = Placement.of(
        empty, "tiny", "cuda", {place: size * layer + (others if place == 0 else 0) for place, size in room.items()}
    )
    assert Counter(found.places) == expected
    assert list(found.places) == sorted(found.places, key=[0, 1, MEMORY, DISK].index)
    beside = {"model.embed_tokens": 0, "model.norm": 0, "model.rotary_emb": 0, "lm_head": 0}
    layers = {f"model.layers.{number}": place for number, place in enumerate(found.places)}
    assert found.device_map == beside | layers


def refused(spec: ModelSpec, folder: Path, dtype: str = "float32") -> str:
    with pytest.raises(ModelUnusable) as caught:
        load_model(spec, dtype, "cpu", Spread(folder, room=NONE))
    return str(caught.value)


def test_weights_on_disk_are_checked_as_any(base: Path, tmp_path: Path) -> None:
    name = "model.layers.1.mlp.up_proj.weight"

    def spoilt(weights: torch.Tensor | None) -> ModelSpec:
        folder = Path(shutil.copytree(base, tmp_path / "model", dirs_exist_ok=True))
        stored = load_file(base / "model.safetensors")
        others = {key: value for key, value in stored.items() if key != name}
        save_file(
            others if weights is None else others | {name: weights}, folder / "model.safetensors", {"format": "pt"}
        )
        return spec_of(folder)

    whole = load_file(base / "model.safetensors")[name]
    assert "lacks 1 of its weights, such as " + name in refused(spoilt(None), tmp_path / "x")
    assert f"{name} is (4, 32), not (64, 32)" in refused(spoilt(whole[:4].clone()), tmp_path / "x")
    assert f"The weights {name} of model" in refused(spoilt(torch.full_like(whole, torch.nan)), tmp_path / "x")


def test_a_disk_that_is_too_small_is_refused_only_for_weights_that_must_be_written(
    base: Path, experts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**10))
    assert f"on the disk of {tmp_path}, which has 0.0 GiB free" in refused(spec_of(base), tmp_path / "x", "bfloat16")
    assert "Layers of the model 'base' need 0.0 GiB" in refused(spec_of(experts), tmp_path / "x")
    load_model(spec_of(base), "float32", "cpu", Spread(tmp_path / "x", room=NONE))


def test_what_a_load_wrote_is_removed_when_it_fails_and_what_a_killed_one_wrote_before_the_disk_is_measured(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "placed"
    spread = Spread(folder, room=NONE)
    written: list[Path] = []

    def full(*_: int) -> None:
        written.extend(folder.iterdir())
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(OSError, match="No space left"):
            load_model(spec_of(base), "bfloat16", "cpu", spread)
    assert written
    assert not folder.exists()
    folder.mkdir()
    (folder / "of a killed load").touch()
    free = 2**40
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0 if folder.exists() else free))
    load_model(spec_of(base), "bfloat16", "cpu", spread)
    assert not folder.exists()
    folder.mkdir()
    Job(tmp_path).clear()
    assert not folder.exists()


def test_spreading_is_advised_only_where_it_helps(base: Path, tmp_path: Path) -> None:
    def load(*_: object) -> None:
        raise ModelTooLarge("Too large.")

    def advice(spec: ModelSpec, **chosen: str) -> str:
        with settings.chosen(chosen):
            job = create_job(tmp_path, {"kind": "score", "dtype": "float32"}, {})
        with pytest.raises(ModelTooLarge) as caught:
            load_for(job, load, spec, "cpu")
        return str(caught.value).removeprefix("Too large.")

    assert advice(spec_of(base)) == " Or spread its layers over all memory, with --placement spread."
    assert advice(spec_of(base), placement="spread") == ""
    assert advice(spec_of(base), executor="ray") == ""
    assert advice(replace(spec_of(base), quantization="int8")) == ""
    make_adapter(tmp_path / "adapter", base, KINDS["PiSSA"])
    assert advice(spec_of(base, tmp_path / "adapter")) == ""


def test_what_cannot_be_spread_is_refused_in_a_sentence(base: Path, tmp_path: Path) -> None:
    assert "are quantized, so its layers cannot be spread" in refused(
        replace(spec_of(base), quantization="int8"), tmp_path / "x"
    )
    make_adapter(tmp_path / "adapter", base, KINDS["PiSSA"])
    assert "takes a part out of its base's weights" in refused(spec_of(base, tmp_path / "adapter"), tmp_path / "x")
    config: Any = make_model("llama").config
    twice: Any = type(make_model("llama"))(config)
    twice.model.layers[1] = twice.model.layers[0]
    with pytest.raises(ModelUnusable, match="Layers of the model 'tiny' share weights"):
        Placement.of(twice, "tiny", "cpu", NONE)
    config.num_hidden_layers = 5
    with pytest.raises(ModelUnusable, match="The layers of the model 'tiny' are not in one list"):
        Placement.of(twice, "tiny", "cpu", NONE)


def test_work_that_needs_models_on_one_device_is_refused_before_it_is_planned(base: Path, tmp_path: Path) -> None:
    rows = [DatasetRow(number, "chat", example, b"{}") for number, example in enumerate(MIXED_EXAMPLES, 1)]
    with Store.open(tmp_path / "workspace", "a test") as store:
        store.add_source("talk", "talk.jsonl", "jsonl", "a hash", {}, rows)

        def sentence(work: Any, **chosen: str) -> str:
            with pytest.raises(SettingInvalid) as caught, settings.chosen({"placement": "spread"} | chosen):
                work()
            return str(caught.value)

        request = TrainRequest("talk", str(base), "any", device="cpu")
        training = sentence(lambda: begin_training(store, request))
        assert sentence(lambda: begin_training_estimate(store, request)) == training
        assert training == "Training needs each model on one device. Set LOBASS_PLACEMENT (--placement) to one."
        assert "Quantization needs" in sentence(lambda: quantized(spec_of(base), "int8"))
        generating = GenerateRequest("talk", str(base), "pairs", device="cpu")
        assert "Generating responses needs" in sentence(lambda: plan_pairs(store, generating))
        scored = ScoreRequest("talk", str(base), str(base), run="tiny", device="cpu")

        def scoring() -> None:
            score_dataset(store, scored, wait_quietly, lambda _: None)

        assert "a worker of a cluster has one GPU" in sentence(scoring, executor="ray")
        assert sentence(scoring, placement="moon") == "Unknown placement 'moon'. Must be one of: one, spread."
        assert not list(all_jobs(store.workspace))
        with settings.chosen({"placement": "spread", "executor": "ray"}):  # it loads no model
            assert create_near_duplicate_job(store, "talk", 0.8).placement == "one"


def test_benchmark_tasks_are_refused_to_a_model_that_is_to_be_spread(base: Path, tmp_path: Path) -> None:
    command = ["evaluate", "--model", str(base), "--tasks", "any", "--workspace", str(tmp_path)]
    for more, environment in (["--placement", "spread"], {}), ([], {"LOBASS_PLACEMENT": "spread"}):
        result = CliRunner().invoke(app, command + more, env=environment)
        assert result.exit_code == 1
        assert "A benchmark task needs each model on one device." in result.output
