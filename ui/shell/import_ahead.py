"""Imports the pages' modules while the server starts, so that the first visitor does not wait for them."""

import gc
import importlib
import threading

_MODULES = (
    "ui.shell.session",
    "core.importing",
    "ui.home.run_cards",
    "ui.home.welcome",
    "ui.kit.status_line",
    "ui.data.dataset_view",
    "ui.data.demo_view",
    "ui.data.import_report",
    "ui.kit.job_view",
    "ui.kit.widgets",
)
"""The imports of the pages that are opened first, Home and Data. They include the slow imports of the others."""


def import_ahead() -> threading.Thread:
    """Import in a background thread. A failed import is ignored here; the page that needs the module reports it."""
    thread = threading.Thread(target=_import_all, name="import-ahead", daemon=True)
    thread.start()
    return thread


def _import_all() -> None:
    for module in _MODULES:
        try:
            importlib.import_module(module)
        except ImportError:
            return
    # Streamlit collects garbage after every page run, with all threads stopped. Imported objects are never garbage,
    # and scanning them takes longer than a rerun for a slider.
    gc.freeze()
