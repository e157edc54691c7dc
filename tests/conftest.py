"""What tests of several folders share."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def page_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A workspace that a page under test opens as its own; given back at the end."""
    from ui.session import close_sessions  # here, so that the core's tests do not import Streamlit

    monkeypatch.setenv("LOBASS_WORKSPACE", str(tmp_path / "workspace"))
    yield tmp_path / "workspace"
    close_sessions()


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a real tiny model."""
    from tests.tiny_models import save_model_folder  # here, so that other tests do not import torch

    return save_model_folder(tmp_path_factory.mktemp("models") / "tiny-base", "llama", seed=0)


@pytest.fixture(scope="session")
def tiny_reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of another tiny model with the same tokenizer."""
    from tests.tiny_models import save_model_folder

    return save_model_folder(tmp_path_factory.mktemp("models") / "tiny-reference", "llama", seed=1)
