"""The program's location, and how to start one of its modules as a process."""

import sys
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
HOME = _PACKAGE.parent
"""The folder from which the package is imported: the checkout, or site-packages. Processes start there."""


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this package, given its name in the package: `supervision.worker`.

    The package is named `core` in a checkout and `lobass` when installed; its folder shows which.
    """
    return [sys.executable, "-m", f"{_PACKAGE.name}.{module}", *arguments]
