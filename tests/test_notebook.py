"""The notebook runs from its first cell to its last, and is kept without outputs. test_wheel.py runs docs/python.md."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.documents import code_cells

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
BEFORE = """import sys

import core
from core.jobs.executors import EXECUTORS
from tests.inline_executor import InlineLocalExecutor

sys.modules["lobass"] = core
EXECUTORS["local"] = InlineLocalExecutor()
"""
"""As if installed; and jobs run in the notebook's process, since starting a worker takes longer than its job."""


def test_every_cell_of_the_notebook_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEFORE + "\n".join(code_cells(NOTEBOOK))],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "best" / "manifest.json").exists()


def test_the_notebook_is_kept_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []
