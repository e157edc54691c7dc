"""The engine's choice: measured on the machine, kept by shapes and processor, taken only if it is known and faster."""

import json
import time
from pathlib import Path

import pytest
import torch

from core.engine import kept_choice, measured_choice
from core.engine.engine_choice import BLOCKS, ONEDNN, TILE_TOKENS, TILES, TORCH, EngineChoice
from core.engine.kept_choice import FILE, choice_for
from core.engine.loss_engine import EngineOptions, LossEngine
from core.models import known_hashes
from core.system.workspace_files import LOCK
from tests.tiny_models import make_model


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_choice, "_in_this_process", {})


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A worker's workspace."""
    (tmp_path / LOCK).touch()
    monkeypatch.setattr(known_hashes, "_workers_workspace", tmp_path)
    return tmp_path


@pytest.mark.parametrize("family", ["llama", "gpt2", "mamba"])
def test_each_kind_of_model_gets_a_known_choice_within_half_a_second_of_processor_time(family: str) -> None:
    model = make_model(family)
    measured_choice.measured_choice(model)
    began = time.process_time()
    found = measured_choice.measured_choice(model)
    assert time.process_time() - began < 0.5
    assert found.is_known
    assert "measured in" in found.sentence


@pytest.mark.parametrize("slow", [TORCH, ONEDNN])
def test_the_faster_library_is_chosen(slow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured_choice, "_by_turns", lambda ways: {way: 2.0 if way == slow else 1.0 for way in ways})
    monkeypatch.setattr(measured_choice, "has_onednn", lambda: True)
    assert measured_choice.measured_choice(make_model("llama")).products == (ONEDNN if slow == TORCH else TORCH)


def test_a_way_that_is_hardly_faster_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    hardly = {ONEDNN: 0.99, TORCH: 0.99, TILES[0]: 0.99, TILES[-1]: 0.99}
    monkeypatch.setattr(
        measured_choice, "_by_turns", lambda ways: {way: 1.0 if not n else hardly[way] for n, way in enumerate(ways)}
    )
    assert measured_choice.measured_choice(make_model("llama")) == EngineChoice(TORCH, BLOCKS, TILE_TOKENS)


def test_a_choice_is_kept_in_the_workspace_and_not_measured_again(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = choice_for(make_model("llama"))
    monkeypatch.setattr(kept_choice, "_in_this_process", {})
    monkeypatch.setattr(kept_choice, "measured_choice", lambda _: pytest.fail("measured again"))
    again = choice_for(make_model("llama"))
    assert (again, again.measured) == (first, first.measured)
    (key,) = json.loads((workspace / FILE).read_text())
    assert torch.__version__ in key
    assert kept_choice.processor() in key


@pytest.mark.parametrize("changed", ["processor", "threads", "shapes"])
def test_another_processor_or_model_is_measured_anew(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    choice_for(make_model("llama"))
    if changed == "processor":
        monkeypatch.setattr(kept_choice, "processor", lambda: "another one")
    if changed == "threads":
        monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    choice_for(make_model("gpt2" if changed == "shapes" else "llama"))
    assert len(json.loads((workspace / FILE).read_text())) == 2


@pytest.mark.parametrize(
    "damage", ["{", '{"products": "abacus"}', '{"tile_tokens": 0}', '{"tile_tokens": "many"}', "[]"]
)
def test_a_kept_choice_that_makes_no_sense_is_measured_again(workspace: Path, damage: str) -> None:
    choice_for(make_model("llama"))
    (key,) = json.loads((workspace / FILE).read_text())
    (workspace / FILE).write_text(damage if damage == "{" else f"{{{json.dumps(key)}: {damage}}}")
    kept_choice._in_this_process.clear()
    assert choice_for(make_model("llama")).is_known
    assert json.loads((workspace / FILE).read_text())[key]["products"] in (TORCH, ONEDNN)


def test_in_another_precision_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_choice, "measured_choice", lambda _: pytest.fail("measured"))
    assert choice_for(make_model("llama").to(torch.bfloat16)) == EngineChoice()


def test_a_forced_choice_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_choice, "measured_choice", lambda _: pytest.fail("measured"))
    forced = EngineChoice(ONEDNN, TORCH, TILES[-1])
    engine = LossEngine(make_model("llama"), EngineOptions(choice=forced))
    assert engine.choice == forced
    assert engine._head is not None
    assert engine._head.tile_tokens == TILES[-1]
