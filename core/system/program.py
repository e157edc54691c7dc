"""Where this program lies, and how one of its modules is started as a process of its own."""

import sys
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
HOME = _PACKAGE.parent
"""The folder from which the package is imported: the checkout, or site-packages. Processes start there."""


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this package, named below it: `supervision.worker`.

    The package is called `core` in a checkout and `lobass` where it is installed; its folder tells which.
    """
    return [sys.executable, "-m", f"{_PACKAGE.name}.{module}", *arguments]
