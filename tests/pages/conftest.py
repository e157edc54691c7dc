"""What all tests of pages share."""

import pytest

from core.workspace.first_view import FirstView


@pytest.fixture(autouse=True)
def _nothing_made_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the page under test asks the store: some tests count what it asks."""
    monkeypatch.setattr(FirstView, "run", lambda _: None)
