"""Keeping what a benchmark found, for `python -m bench --json` and for later comparison."""

import json
from pathlib import Path


def keep_figures(path: Path | None, figures: object) -> None:
    """Write a benchmark's figures, which must be JSON, to the file that was asked for, if one was."""
    if path:
        path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
