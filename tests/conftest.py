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
