"""The documents say what the program does: a command, setting or score that is not written down fails here."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from core.cli.commands import app
from core.data.settings import SETTINGS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "demo" / "README.md", *sorted(ROOT.glob("docs/*.md"))]
FOLDERS = ("core", "ui", "pages", "bench", "demo", "docs", "tests")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def options_of(command: Any) -> set[str]:
    """The options of a command, and of the commands below it."""
    below = getattr(command, "commands", {}).values()
    return {option for each in (command, *below) for parameter in each.params for option in parameter.opts}


@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - {"version"}))
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


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_and_option_that_the_documents_name_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    places = re.findall(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./-]*\w", text)
    missing = [place for place in places if "NAME" not in place and not (ROOT / place).exists()]
    modules = {found.name for folder in FOLDERS for found in (ROOT / folder).rglob("*.py")} | {"app.py"}
    missing += [name for name in re.findall(r"`(\w+\.py)\b", text) if name not in modules]
    for command, rest in re.findall(r"python -m core ([a-z-]+)([^`\n]*)", text):
        known = options_of(COMMANDS[command])
        missing += [f"{command} {option}" for option in OPTION.findall(rest) if option not in {*known, "--help"}]
    for module, rest in re.findall(r"python -m ((?:bench|tests)[\w.]*)([^`\n]*)", text):
        place = ROOT / module.replace(".", "/")
        code = (place / "__main__.py" if place.is_dir() else place.with_suffix(".py")).read_text(encoding="utf-8")
        missing += [f"{module} {option}" for option in OPTION.findall(rest) if f'"{option}"' not in code]
    assert missing == []


def test_every_option_in_the_readme_is_one_of_some_command() -> None:
    known = {option for command in COMMANDS.values() for option in options_of(command)}
    assert set(OPTION.findall(README)) - known == {"--help"}


def test_every_target_that_the_documents_name_is_in_the_makefile() -> None:
    named = {name for path in DOCUMENTS for name in re.findall(r"`make ([a-z-]+)", path.read_text(encoding="utf-8"))}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M))
    assert named
    assert named <= targets


def test_the_map_in_contributing_has_every_module_of_core_and_ui_and_no_other() -> None:
    drawn = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("```")[1]
    named = set(re.findall(r"(\w+)(?:\.py|/)", drawn)) - {"core", "ui"}
    found = [path for folder in ("core", "ui") for path in (ROOT / folder).iterdir()]
    modules = {path.stem for path in found if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert named == modules - {"__init__"}


def test_requirements_are_pinned_exactly_and_imported() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w-]+(\[\w+\])?==[\w.]+", pin) for pin in pins)
    code = "".join(
        path.read_text(encoding="utf-8") for folder in ("core", "ui", "pages") for path in (ROOT / folder).rglob("*.py")
    )
    modules = {"pyyaml": "yaml"}
    unused = [
        name
        for name in (modules.get(found, found) for found in (re.split(r"\[|==", pin)[0] for pin in pins))
        if f"import {name}" not in code and f"from {name}" not in code
    ]
    assert unused == []


def test_the_dashboard_starts_without_torch() -> None:
    """Importing torch takes seconds: the first page must not wait for it."""
    program = (
        "import sys, ui.serve, ui.shell.session, ui.charts, ui.kit.widgets, ui.kit.job_view, core.exporting\n"
        "import ui.curate.recipe_form, ui.curate.row_panel, ui.kit.guide, ui.curate.near_duplicates_view\n"
        "import ui.curate.distribution_view, ui.curate.map_view\n"
        "sys.exit(', '.join({'torch', 'transformers', 'peft', 'scipy'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
