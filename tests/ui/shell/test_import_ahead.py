"""What the server imports ahead is there before anybody asks, and a module that is missing is left to its page."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
IMPORTED = """
import sys
from ui.shell import import_ahead
import_ahead.import_ahead().join()
print(*set(import_ahead._MODULES) - set(sys.modules))
"""
LEFT_ALONE = """
import gc
from ui.shell import import_ahead
import_ahead.import_ahead().join()
print(gc.get_freeze_count() > len(gc.get_objects()))
"""
MISSING = """
from ui.shell import import_ahead
import_ahead._MODULES = ("ui.no_such_page",)
import_ahead.import_ahead().join()
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)


def test_every_module_of_the_first_page_is_imported_before_anybody_asks() -> None:
    assert run(IMPORTED).stdout.split() == []


def test_what_was_imported_is_no_longer_looked_through_for_garbage() -> None:
    assert run(LEFT_ALONE).stdout.split() == ["True"]


def test_a_module_that_is_missing_is_left_to_the_page_that_wants_it() -> None:
    assert "Traceback" not in run(MISSING).stderr
