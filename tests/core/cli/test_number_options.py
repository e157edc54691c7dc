"""Numbers that nothing can mean are refused at the start, in one sentence."""

from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from core.cli.commands import app

BAD = ("inf", "-inf", "nan", "1e300", "1" + "0" * 30, "-" + "1" + "0" * 30)


def number_options() -> list[tuple[tuple[str, ...], str]]:
    """Every option of every command that takes a number."""
    found: list[tuple[tuple[str, ...], str]] = []

    def walk(command: Any, path: tuple[str, ...]) -> None:
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, (*path, name))
        for parameter in () if getattr(command, "commands", None) else command.params:
            kinds = str(parameter.type_descriptor.annotation)
            if "float" in kinds or "int'" in kinds or "int]" in kinds or kinds == "int | None":
                found.append((path, parameter.opts[0]))

    walk(get_command(app), ())
    return found


def test_the_commands_have_number_options() -> None:
    found = number_options()
    assert (("train",), "--epochs") in found
    assert (("trial", "plan"), "--ratio") in found
    assert len(found) > 25


@pytest.mark.parametrize(("command", "option"), number_options(), ids=lambda part: " ".join(part) if part else "")
def test_a_number_that_nothing_can_mean_is_a_usage_error(command: tuple[str, ...], option: str, tmp_path: Path) -> None:
    for value in BAD:
        done = CliRunner().invoke(app, [*command, option, value, "--workspace", str(tmp_path / "none")])
        assert done.exit_code == 2, (value, done.output)
        assert f"Invalid value for '{option}'" in done.output, (value, done.output)  # not of what else is missing
        assert done.exception is None or isinstance(done.exception, SystemExit)
    assert not (tmp_path / "none").exists()
