"""Names that are not valid UTF-8, in every text and path that a command takes: one sentence before any work."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from core.cli.commands import app
from core.data import settings
from core.data.errors import PathRefused, SettingInvalid, SourceUnreadable
from core.importing.sources import files_at
from core.system.paths import named_path

NAME = os.fsdecode(b"caf\xe9")
"""As Python gives an argument whose bytes are Latin-1."""
NUMBERS = {int: "2", float: "0.5"}


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands of the command line, by the words that name them."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def given(parameter: Any, value: str) -> list[str]:
    return [value] if parameter.param_type_name == "argument" else [parameter.opts[0], value]


def kind_of(parameter: Any) -> Any:
    """The type of one value of a parameter."""
    annotation = parameter.type_descriptor.annotation
    return next(iter(get_args(annotation)), annotation)


def cases() -> Iterator[Any]:
    """The arguments of each command with the name in one of its text or path parameters, the needed ones beside it."""
    for path, command in commands(get_command(app)):
        parameters = [found for found in command.params if not getattr(found, "is_flag", False)]
        for tried in parameters:
            if kind_of(tried) in NUMBERS or tried.name == "help":
                continue
            arguments = list(path)
            for needed in parameters:
                if needed is tried:
                    arguments += given(needed, NAME)
                elif needed.required:
                    arguments += given(needed, NUMBERS.get(kind_of(needed), "x"))
            yield pytest.param(arguments, id=f"{' '.join(path)}: {tried.name}")


CASES = list(cases())


def test_every_command_is_tried() -> None:
    assert len(CASES) > 80
    tried = {" ".join(case.values[0][: len(path)]) for case in CASES for path, _ in commands(get_command(app))}
    without_text = {"version"}
    assert {" ".join(path) for path, _ in commands(get_command(app))} - tried <= without_text


@pytest.mark.parametrize("arguments", CASES)
def test_a_name_that_is_no_text_is_one_sentence(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOBASS_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("the command went on"))
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, SystemExit)
    assert done.exit_code in (1, 2)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "'caf\\udce9'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_other_letters_are_names(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["status", "--workspace", str(tmp_path / "Übung 🎉 données")])
    assert done.exit_code == 0


def test_the_folder_of_the_start_and_the_settings_may_be_such_names_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = tmp_path / NAME
    start.mkdir()
    monkeypatch.chdir(start)
    with pytest.raises(PathRefused, match="Start in another folder"):
        named_path("losses.csv")
    with pytest.raises(PathRefused, match="not valid UTF-8"):
        named_path(NAME)
    with pytest.raises(SettingInvalid, match="in a folder whose name is not valid UTF-8"):
        settings.workspace_path()
    monkeypatch.setenv("LOBASS_WORKSPACE", NAME)
    with pytest.raises(SettingInvalid, match=r"LOBASS_WORKSPACE is 'caf.udce9', which is not valid UTF-8"):
        settings.check_settings()
    done = CliRunner().invoke(app, ["status"])
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)


def test_a_workspace_that_can_be_no_path_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for name in ("~nobody_of_this_name", str(tmp_path / "circle")):
        done = CliRunner().invoke(app, ["status", "--workspace", name])
        assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1), done.output


def test_a_folder_with_such_a_file_name_is_not_imported(tmp_path: Path) -> None:
    """As json writes the name of a file that is there."""
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / f"{NAME}.arrow").write_bytes(b"")
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": f"{NAME}.arrow"}]}), encoding="ascii")
    with pytest.raises(SourceUnreadable, match="has a file whose name is not valid UTF-8"):
        files_at(folder, tmp_path)
