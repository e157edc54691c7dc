"""How the code is laid out: a module can be told from every other by the name of its file."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED_NAMES: dict[str, str] = {}
"""File names that several modules of core may have, and why."""


def test_no_two_modules_of_core_have_the_same_file_name() -> None:
    places = defaultdict(list)
    for path in sorted((ROOT / "core").rglob("*.py")):
        places[path.name].append(str(path.relative_to(ROOT)))
    shared = {name: found for name, found in places.items() if len(found) > 1 and name != "__init__.py"}
    assert {name: found for name, found in shared.items() if name not in SHARED_NAMES} == {}
    assert SHARED_NAMES.keys() <= shared.keys(), "a name that is not shared any more"


def test_no_two_test_files_have_the_same_name() -> None:
    """pytest imports them by their names alone, and refuses the second one."""
    places = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        places[path.name].append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_core_shows_at_most_twenty_entries() -> None:
    entries = [path.name for path in (ROOT / "core").iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 20, sorted(entries)


def test_no_room_imports_the_face_of_the_library() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (ROOT / "core").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and not node.module
        if node.level == len(path.relative_to(ROOT / "core").parts) > 1
        if not all((ROOT / "core" / alias.name).exists() for alias in node.names)
    ]
    assert found == []
