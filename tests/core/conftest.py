"""What the core's tests share."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from core.jobs import local_executor
from core.store import Store
from tests import forked
from tests.core.embedded_rows import give_embeddings
from tests.fakes import ScoredRecord, build_scored_store
from tests.inline_executor import run_jobs_inline


@pytest.fixture(scope="module", autouse=True)
def forked_workers() -> Iterator[None]:
    """Workers that these tests start are forked from a process that has imported torch."""
    with forked.forked_workers():
        yield


@pytest.fixture
def slow_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are started, not forked: for tests that must find one at work before it has ended."""
    monkeypatch.setattr(local_executor, "subprocess", subprocess)


@pytest.fixture
def store(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A copy of the workspace that a module's fixture `made` has made, open; jobs run in the test's own process."""
    run_jobs_inline(monkeypatch)
    shutil.copytree(made, tmp_path / "workspace")
    with Store.open(tmp_path / "workspace", "a test") as opened:
        yield opened


@pytest.fixture
def scored_store(tmp_path: Path) -> Iterator[Store]:
    """The run "planets": ten rows of chat (10 tokens each) whose learnability is 0.9, 0.8 ... 0.0, then ten of math
    (20 tokens each) with 0.95, 0.85 ... 0.05, base losses falling from 2.0 to 1.1."""
    chat = [ScoredRecord("chat", 2 - i / 10, (2 - i / 10) * (0.1 + i / 10)) for i in range(10)]
    math = [ScoredRecord("math", 2 - i / 10, (2 - i / 10) * (0.05 + i / 10), 20) for i in range(10)]
    with build_scored_store(tmp_path / "workspace", [*chat, *math]) as store:
        yield store


@pytest.fixture
def embedded(scored_store: Store) -> Store:
    """The run "planets" with embeddings: rows 1 to 10 (chat) lie in three heaps, 11 to 20 (math) all on one point."""
    give_embeddings(
        scored_store, "planets", np.array([[1.0, 0, 0]] * 6 + [[0, 1, 0]] * 2 + [[0, 0, 1]] * 2 + [[1, 1, 1]] * 10)
    )
    return scored_store
