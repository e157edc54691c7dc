"""Where this program and its files lie, and how one of its modules is started as a process of its own."""

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

_SERVE = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module('ui.serve', run_name='__main__')"


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this package, named below it: `supervision.worker`.

    The package is called `core` in a checkout and `lobass` where it is installed; its folder tells which.
    """
    return [sys.executable, "-m", f"{_PACKAGE.name}.{module}", *arguments]


def dashboard_command(*options: str) -> list[str]:
    """The command that serves the dashboard, in whatever folder it is started; `options` are those of `ui.serve`.

    Only that process gets the dashboard's folder on its path, not those that it starts.
    """
    return [sys.executable, "-P", "-c", _SERVE, str(DASHBOARD), *options]
