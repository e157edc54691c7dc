"""LoBaSS Explorer's core: learnability scores, their cache, and the selections made from them.

Installed it is called `lobass`, and this is what notebooks and programs import (docs/python.md):

    with lobass.open("workspace") as workspace: ...

Names are imported when they are first asked for, so that `import lobass` takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .data.version import __version__

if TYPE_CHECKING:
    from .data import errors
    from .data.errors import UserError
    from .workspace.saved_selection import SavedSelection
    from .workspace.workspace import Workspace, open, print_progress

__all__ = ["SavedSelection", "UserError", "Workspace", "__version__", "errors", "open", "print_progress"]

_MODULES = {
    "SavedSelection": ".workspace.saved_selection",
    "UserError": ".data.errors",
    "Workspace": ".workspace.workspace",
    "open": ".workspace.workspace",
    "print_progress": ".workspace.workspace",
}


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module(".data.errors", __name__)
    if name in _MODULES:
        return getattr(import_module(_MODULES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
