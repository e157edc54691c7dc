"""What tests of several folders share."""

import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SIDE_BY_SIDE = "PYTEST_XDIST_WORKER" in os.environ
if SIDE_BY_SIDE:
    # Two models on all cores each are slower than one after the other. Before torch is imported, and for the
    # processes that tests start.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

LONGEST = (
    "tests/test_demo.py",
    "tests/core/workspace/test_ray_cluster.py",
    "tests/core/workspace/test_trials.py",
    "tests/core/workspace/test_interruptions.py",
    "tests/core/training/test_several_processes.py",
    "tests/core/models/test_adapters.py",
    "tests/browser/test_hostile_text.py",
    "tests/browser/test_selecting.py",
    "tests/browser/test_trial.py",
    "tests/browser/test_whole_line.py",
    "tests/browser/test_page_weight.py",
    "tests/core/scoring/test_scoring_worker.py",
    "tests/core/workspace/test_beside_a_job.py",
    "tests/core/evidence/test_known_answers.py",
    "tests/core/workspace/test_generated_pairs.py",
    "tests/core/test_soak.py",
    "tests/core/test_disk_faults.py",
    "tests/core/cli/test_folds_commands.py",
    "tests/core/cli/test_command_line.py",
    "tests/core/models/test_hostile_models.py",
    "tests/browser/test_three_files.py",
    "tests/browser/test_brushed_chart.py",
    "tests/core/exporting/test_bundle_loaders.py",
    "tests/pages/test_score_page.py",
    "tests/pages/test_kinds_of_run.py",
    "tests/test_wheel.py",
    "tests/browser/test_linked_views.py",
    "tests/browser/test_closed_defaults.py",
    "tests/browser/test_login.py",
    "tests/browser/test_cut_drag.py",
    "tests/browser/test_kept_drafts.py",
    "tests/test_supply_chain.py",
    "tests/pages/test_beside_the_dashboard.py",
    "tests/pages/test_demo_page.py",
    "tests/test_notebook.py",
    "tests/browser/test_curation.py",
    "tests/browser/test_sessions.py",
)
"""Files that take longest, longest first: side by side they are begun first, so that none is left alone at the end.
A file that is missing here costs time and nothing else."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not SIDE_BY_SIDE:
        return
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.nodeid.partition("::")[0], len(LONGEST)))


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """A folder that `make` fills once for the whole session, however many processes run it; read it, do not change it.

    Gives the function (name, make) -> folder; `make` gets the folder's path, where nothing is yet.
    """
    shared = tmp_path_factory.getbasetemp()
    if SIDE_BY_SIDE:
        shared = shared.parent  # each worker's folder lies in that of the session

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = shared / f"made-{name}", shared / f"made-{name}.done"
        with open(shared / f"made-{name}.lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(autouse=True)
def _packages_are_found_again() -> Iterator[None]:
    """A worker that ran in the test's own process hid packages that its job did not need (`left_out_packages`)."""
    yield
    for name in [name for name, module in sys.modules.items() if module is None]:
        del sys.modules[name]


@pytest.fixture(scope="session", autouse=True)
def allowed_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Pages under test, and dashboards that tests serve, may name the files that tests make."""
    shared = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LOBASS_ALLOWED_FOLDERS", str(shared.parent if SIDE_BY_SIDE else shared))
        yield


@pytest.fixture
def page_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A workspace that a page under test opens as its own; given back at the end."""
    from ui.shell.session import close_sessions  # here, so that the core's tests do not import Streamlit

    monkeypatch.setenv("LOBASS_WORKSPACE", str(tmp_path / "workspace"))
    yield tmp_path / "workspace"
    close_sessions()


@pytest.fixture(scope="session")
def tiny_base(made_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """Folder of a real tiny model."""
    return made_once("tiny-base", lambda folder: _save_tiny_model(folder, seed=0))


@pytest.fixture(scope="session")
def tiny_reference(made_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """Folder of another tiny model with the same tokenizer."""
    return made_once("tiny-reference", lambda folder: _save_tiny_model(folder, seed=1))


@pytest.fixture(scope="session")
def cross_fitted(made_once: Callable[[str, Callable[[Path], object]], Path], tiny_base: Path) -> Path:
    """Folder of a workspace with a real cross-fitted run, and of its file of folds; see `tests.cross_fitted`."""
    from tests.cross_fitted import make_cross_fitted

    return made_once("cross-fitted", lambda folder: make_cross_fitted(folder, tiny_base))


def _save_tiny_model(folder: Path, seed: int) -> None:
    from tests.tiny_models import save_model_folder  # here, so that other tests do not import torch

    save_model_folder(folder, "llama", seed=seed)
