"""Two programs on one workspace: the second says who holds it, and what the first holds stays whole."""

import json
from pathlib import Path

import pytest

from core.store import Store
from core.workspace.maintenance.checking import check_workspace
from tests import command_line


@pytest.mark.parametrize("command", [("check",), ("restore", "backup")], ids=" ".join)
def test_a_command_says_that_the_dashboard_holds_the_workspace(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "backup").write_bytes(b"any file")
    arguments = [tmp_path / part if part == "backup" else part for part in command]
    with Store.open(tmp_path / "w", "the dashboard") as store:
        store.ensure_loss_set("weights", "encoding", "a model")
        done = command_line.run(tmp_path / "w", *arguments)
        assert done.returncode == 1
        assert "is in use by the dashboard (process " in done.stderr
        assert "Use it there, stop it, or choose another --workspace." in done.stderr
        assert check_workspace(store, lambda _: None) == []


def test_two_commands_at_once_are_done_one_after_the_other_or_refused(tmp_path: Path) -> None:
    files = [command_line.write_rows(tmp_path / f"rows-{number}.jsonl", 300 + number) for number in range(4)]
    commands = [command_line.start(tmp_path / "w", "import", file, "--dataset", file.stem, "--json") for file in files]
    done = 0
    for command in commands:
        stdout, stderr = command.communicate()
        if command.returncode == 0:
            done += int(json.loads(stdout)["rows"])
        else:
            assert command.returncode == 1
            assert "is in use by python -m core import (process " in stderr
    with Store.open(tmp_path / "w", "a test") as store:
        assert store.rows("SELECT count(*) FROM dataset_row") == [(done,)]
        assert done > 0
        assert check_workspace(store, lambda _: None) == []
