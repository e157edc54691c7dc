"""The program's version, and the command that people type to run it."""

from pathlib import Path

__version__ = "0.14.0"

COMMAND = "lobass" if Path(__file__).resolve().parents[1].name == "lobass" else "python -m core"
"""Installed, the package is called `lobass` and has a command of that name; in a checkout, it is `core`."""
