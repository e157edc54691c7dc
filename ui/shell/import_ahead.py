"""Imports what the pages need while the server starts and a browser loads its files, not once somebody waits."""

import gc
import importlib
import threading

_MODULES = (
    "ui.shell.session",
    "core.importing",
    "ui.data.dataset_view",
    "ui.data.demo_view",
    "ui.kit.guide",
    "ui.data.import_report",
    "ui.kit.job_view",
    "ui.kit.widgets",
)
"""What the Data page, where everybody begins, imports; the slow ones of the other pages are among what these import."""


def import_ahead() -> threading.Thread:
    """Import in a thread of its own; a module that cannot be imported is left to the page that wants it."""
    thread = threading.Thread(target=_import_all, name="import-ahead", daemon=True)
    thread.start()
    return thread


def _import_all() -> None:
    for module in _MODULES:
        try:
            importlib.import_module(module)
        except ImportError:
            return
    # Streamlit collects garbage after every run of a page, with all threads halted. What was imported is never
    # garbage, and to look through it takes longer than a page does to follow a slider.
    gc.freeze()
