"""The engine of the token view on a GPU that holds one model at a time."""

import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from core.data.errors import ModelUnusable
from core.models.loading import load_model
from core.models.resolving import ModelSpec, resolve_model, tokenizer_fingerprint
from core.scoring.tokens.engine import TokenEngine
from tests.tiny_models import MIXED_EXAMPLES


def test_where_two_models_do_not_fit_together_each_is_computed_alone(
    tiny_base: Path, tiny_reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: weakref.WeakSet[Any] = weakref.WeakSet()

    def load(spec: ModelSpec, dtype: str, device: str) -> torch.nn.Module:
        if loaded:
            raise ModelUnusable("It does not fit.") from torch.cuda.OutOfMemoryError("CUDA out of memory.")
        model = load_model(spec, dtype, device)
        loaded.add(model)
        return model

    models = {
        role: resolve_model(str(path), tmp_path) for role, path in (("base", tiny_base), ("reference", tiny_reference))
    }
    request = {
        "conversation": MIXED_EXAMPLES[0].to_json(),
        "encoding": {
            "template": "alpaca",
            "max_length": 200,
            "tokenizer_fingerprint": tokenizer_fingerprint(models["base"]),
        },
        "dtype": "float32",
        "base": models["base"].to_fields(),
        "models": {role: spec.to_fields() for role, spec in models.items()},
    }
    together = TokenEngine().answer(request)["nlls"]
    monkeypatch.setattr("core.scoring.tokens.engine.load_model", load)
    assert TokenEngine().answer(request)["nlls"] == together
    another_program = torch.nn.Module()
    loaded.add(another_program)
    with pytest.raises(ModelUnusable, match="It does not fit"):
        TokenEngine().answer(request)
