"""The documents say what the program does: a command, setting or score that is not written down fails here."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from core.__main__ import app
from core.settings import SETTINGS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "version"])
def test_every_command_is_in_the_readme(command: str) -> None:
    assert f"python -m core {command}" in README or f"make {command}" in README


def test_every_setting_is_in_the_readme_with_its_default_and_help() -> None:
    table = README.split("<!-- settings -->")[1].split("<!-- /settings -->")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", table, flags=re.M)
    expected = [
        (
            setting.variable,
            setting.default if isinstance(setting.default, str) else f"{setting.default:,}",
            setting.help,
        )
        for setting in SETTINGS
    ]
    assert rows == expected


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("d*/*.md")), ids=lambda path: path.name)
def test_every_link_and_picture_in_the_documents_is_there(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8"))
    missing = [target for target in targets if "://" not in target and not (path.parent / target).exists()]
    assert missing == []


def test_requirements_are_pinned_exactly_and_imported() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w-]+(\[\w+\])?==[\w.]+", pin) for pin in pins)
    code = "".join(
        path.read_text(encoding="utf-8") for folder in ("core", "ui", "pages") for path in (ROOT / folder).rglob("*.py")
    )
    # transformers' Trainer needs accelerate and imports it itself.
    unused = [
        name
        for name in (re.split(r"\[|==", pin)[0] for pin in pins)
        if name != "accelerate" and f"import {name}" not in code and f"from {name}" not in code
    ]
    assert unused == []


def test_the_dashboard_starts_without_torch() -> None:
    """Importing torch takes seconds: the first page must not wait for it."""
    program = (
        "import sys, ui.serve, ui.session, ui.charts, ui.widgets, ui.job_view, ui.recipe_form, core.exporting\n"
        "import ui.row_dialog, ui.guide, ui.near_duplicates_view\n"
        "sys.exit(', '.join({'torch', 'transformers', 'peft'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
