"""The training benchmark: each way trains the same rows from the same weights, so their first losses agree."""

import argparse
import json
from pathlib import Path

import pytest

from bench.training import WAYS, measure
from tests.tiny_models import save_model_folder


def test_every_way_trains_the_same_rows_and_begins_with_the_same_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.training._TRL_BATCH", 2)
    model, rows = save_model_folder(tmp_path / "model"), tmp_path / "rows.json"
    answers = ["The Thames.", "A river is the Severn, in England.", "Reykjavik", "12 apples"]
    rows.write_text(json.dumps([{"instruction": "Name one.", "input": "", "output": text} for text in answers]))
    arguments = argparse.Namespace(model=str(model), rows=[rows], limit=4, max_length=256, batch_tokens=4096)
    found = [measure(argparse.Namespace(**vars(arguments), measure=name)) for name in WAYS]
    assert len({one["tokens"] for one in found}) == 1
    for one in found:
        assert one["loss"] == pytest.approx(found[0]["loss"], abs=1e-4)
        assert one["peak"] > 0.1
