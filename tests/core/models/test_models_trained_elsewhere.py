"""Models that were trained elsewhere and named as one cross-fitted reference stay those models, one for each fold."""

from pathlib import Path
from uuid import UUID

import pandas as pd
import pytest

from core.data.errors import FoldsUnusable, ModelUnusable
from core.models.cross_fitted import add_cross_fitted, cross_fitted
from tests.tiny_models import save_model_folder, spec_of


def folds() -> pd.DataFrame:
    ids = [str(UUID(int=number)) for number in range(4)]
    return pd.DataFrame({"example_id": ids, "fold": [0, 0, 1, 1], "held_out": [False] * 4, "group": range(4)})


def test_one_model_for_two_folds_is_refused(tmp_path: Path) -> None:
    base = spec_of(save_model_folder(tmp_path / "base", seed=0))
    model = str(save_model_folder(tmp_path / "model", seed=1))
    with pytest.raises(FoldsUnusable, match=r"^Two of the models are the same"):
        add_cross_fitted(tmp_path, "joined", [model, model], folds(), base)
    assert not (tmp_path / "models" / "joined").exists()


def test_models_that_changed_places_are_refused(tmp_path: Path) -> None:
    base = spec_of(save_model_folder(tmp_path / "base", seed=0))
    first, second = (save_model_folder(tmp_path / f"model-{seed}", seed=seed) for seed in (1, 2))
    made = add_cross_fitted(tmp_path, "joined", [str(first), str(second)], folds(), base)
    assert cross_fitted("joined", tmp_path, base).models == made.models
    first.rename(tmp_path / "aside")
    second.rename(first)
    (tmp_path / "aside").rename(second)
    with pytest.raises(ModelUnusable, match=r"model-1' of the reference 'joined' is not the one that was named"):
        cross_fitted("joined", tmp_path, base)
