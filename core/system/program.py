"""Locations of the program and its files, and how to start one of its modules as a process."""

import subprocess
import sys
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
HOME = _PACKAGE.parent
"""The folder from which the package is imported: the checkout, or site-packages. Processes start there."""

_IS_INSTALLED = (_PACKAGE / "dashboard").is_dir()
DASHBOARD = _PACKAGE / "dashboard" if _IS_INSTALLED else HOME
"""The folder of app.py, ui/ and pages/."""

DEMO = (_PACKAGE if _IS_INSTALLED else HOME) / "demo"
"""The folder of the demo's dataset and base model."""

_RUN = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module(sys.argv.pop(1), run_name='__main__')"


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this package, given its name in the package: `worker`.

    The package is named `core` in a checkout and `lobass` when installed; its folder shows which.
    """
    return [sys.executable, "-m", f"{_PACKAGE.name}.{module}", *arguments]


def dashboard_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of the dashboard, such as `ui.serve`, from any working directory.

    Only that process gets the dashboard's folder on its import path, not its child processes.
    """
    return [sys.executable, "-P", "-c", _RUN, str(DASHBOARD), module, *arguments]


def has_package(interpreter: str, package: str) -> bool:
    """Whether a Python interpreter finds a package. Raises `OSError` if the interpreter cannot be run."""
    program = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    return subprocess.run([interpreter, "-c", program], capture_output=True, check=False).returncode == 0
