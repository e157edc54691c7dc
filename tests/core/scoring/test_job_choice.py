"""A job's choice of how the engine computes: one for all its models and processes."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from core.engine.engine_choice import ONEDNN, TILES, TORCH, EngineChoice
from core.jobs.job import ENGINE_CHOICE, Job
from core.scoring import job_choice
from core.scoring.job_choice import choice_of_job
from tests.tiny_models import make_model


def test_the_second_model_of_a_job_gets_the_first_ones_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = choice_of_job(Job(tmp_path), make_model("llama"))
    monkeypatch.setattr(job_choice, "choice_for", lambda _: pytest.fail("chosen again"))
    assert choice_of_job(Job(tmp_path), make_model("gemma3")) == first


def test_a_job_that_comes_from_another_machine_keeps_its_choice(tmp_path: Path) -> None:
    theirs = EngineChoice(ONEDNN, TORCH, TILES[-1], "measured there")
    (tmp_path / ENGINE_CHOICE).write_text(json.dumps(asdict(theirs)))
    assert choice_of_job(Job(tmp_path), make_model("llama")) == theirs


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"products": "abacus"}', '{"tile_tokens": -1}'])
def test_a_damaged_choice_is_made_again(tmp_path: Path, damaged: str) -> None:
    (tmp_path / ENGINE_CHOICE).write_text(damaged)
    made = choice_of_job(Job(tmp_path), make_model("llama"))
    assert made.is_known
    assert EngineChoice(**json.loads((tmp_path / ENGINE_CHOICE).read_text())) == made
