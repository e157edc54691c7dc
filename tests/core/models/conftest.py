"""A tiny model and an adapter on it, as they were saved and as copies that a test may spoil."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder, never changed; its name is `saved`."""
    from tests.tiny_models import save_model_folder  # here, so that other tests do not import torch

    return save_model_folder(tmp_path_factory.mktemp("models") / "saved")


@pytest.fixture(scope="session")
def saved_adapter(saved: Path) -> Path:
    from tests.tiny_models import save_lora_adapter

    return save_lora_adapter(saved.parent / "adapter", saved)


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of the model."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


@pytest.fixture
def adapter(saved_adapter: Path, tmp_path: Path) -> Path:
    """A copy of the adapter."""
    return Path(shutil.copytree(saved_adapter, tmp_path / "adapter"))
