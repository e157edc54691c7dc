"""The edges of a terminal: one that lacks letters, one that is closed or that nobody reads, a store without memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.store import Store
from tests.command_line import ROOT

NAME = "données 🎉"
TERMINALS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "strict ascii": {"PYTHONIOENCODING": "ascii:strict"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
}
UNREAD = 'exec 3> >(:); wait $!; "$@" >&3'
"""A line of bash in which the reader of stdout has ended before anything is written."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a dataset whose name has letters that not every terminal has."""
    folder = tmp_path_factory.mktemp("edges")
    rows = folder / "rows.jsonl"
    rows.write_text(json.dumps({"instruction": "Say.", "output": "Said."}) + "\n", encoding="utf-8")
    done = shell('"$@"', "import", rows, "--dataset", NAME, "--workspace", folder / "workspace")
    assert done.returncode == 0, done.stderr
    return folder / "workspace"


def shell(line: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m core ARGUMENTS` as "$@" of a line of bash."""
    command = [sys.executable, "-m", "core", *map(str, arguments)]
    return subprocess.run(
        ["bash", "-c", line, "bash", *command],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", "PYTHONUNBUFFERED": "", **environment},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


@pytest.mark.parametrize("terminal", TERMINALS)
def test_a_terminal_that_lacks_letters_shows_escapes(terminal: str, workspace: Path) -> None:
    done = shell('"$@"', "status", "--workspace", workspace, **TERMINALS[terminal])
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\U0001f389: 1 rows" in done.stdout
    done = shell('"$@"', "status", "--json", "--workspace", workspace, **TERMINALS[terminal])
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["datasets"][0]["name"] == NAME
    done = shell(
        '"$@"', "losses", "--run", "none", "--output", "x.csv", "--workspace", workspace, **TERMINALS[terminal]
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


def test_a_name_that_the_terminals_encoding_lacks_is_said_with_what_to_do(workspace: Path) -> None:
    done = shell('"$@"', "status", "--workspace", workspace.parent / NAME, **TERMINALS["C"])
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "set LC_ALL=C.UTF-8" in done.stderr


@pytest.mark.parametrize("arguments", [["status", "--json"], ["--help"], ["version"]])
def test_a_stdout_that_nobody_reads_or_that_is_closed_ends_quietly(arguments: list[str], workspace: Path) -> None:
    options = [*arguments, "--workspace", workspace] if arguments[0] == "status" else arguments
    for line, expected in ((UNREAD, 1), ('"$@" >&-', 0), ('"$@" <&- >&- 2>&-', 0), ('"$@" 2>&-', 0)):
        done = shell(line, *options)
        assert done.returncode == expected, (line, done.stderr)
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
        assert len([text for text in done.stderr.splitlines() if not text.startswith("checking")]) == 0


def test_a_result_that_a_full_disk_does_not_take_is_one_sentence(workspace: Path) -> None:
    done = shell('"$@" > /dev/full', "status", "--workspace", workspace)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "No space left on device" in done.stderr


def test_no_file_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    """Else what a library prints would be written into the store."""
    program = (
        "import os, sys; from core.cli.command_group import prepare_streams; prepare_streams(); "
        "sys.exit(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT))"
    )
    line = 'exec "$0" -c "$1" "$2" <&- >&- 2>&-'
    done = subprocess.run(["bash", "-c", line, sys.executable, program, str(tmp_path / "file")], cwd=ROOT, check=False)
    assert done.returncode > 2


@pytest.mark.parametrize("memory", ["1MB", "8MB", "lots"])
def test_a_store_without_memory_is_one_sentence_and_harms_nothing(memory: str, workspace: Path) -> None:
    demo = ROOT / "demo" / "dataset.jsonl"
    for options in (["status"], ["import", demo, "--dataset", f"demo {memory}"], ["check"]):
        done = shell('"$@"', *options, "--workspace", workspace, LOBASS_STORE_MEMORY=memory)
        assert done.returncode in (0, 1)
        said = [text for text in done.stderr.splitlines() if not text.startswith("checking")]
        assert done.returncode == 0 or len(said) == 1, done.stderr
        assert "Traceback" not in done.stderr
        assert done.returncode == 0 or "LOBASS_STORE_MEMORY" in said[0]
    done = shell('"$@"', "check", "--workspace", workspace)
    assert done.returncode == 0, done.stdout


def test_a_query_that_needs_more_memory_than_there_is_names_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.data.errors import SettingInvalid

    Store.open(tmp_path, "a test").close()
    monkeypatch.setenv("LOBASS_STORE_MEMORY", "12MB")
    with Store.open(tmp_path, "a test") as store:
        with pytest.raises(SettingInvalid, match="more memory than LOBASS_STORE_MEMORY allows"):
            store.rows("SELECT list(random()::VARCHAR) FROM range(3000000)")
        assert store.rows("SELECT count(*) FROM run") == [(0,)]


def test_a_report_whose_sentence_nobody_reads_is_written(scored_store: Store, tmp_path: Path) -> None:
    """It is another program, which the command becomes."""
    scored_store.close()
    for line, expected in ((UNREAD, 1), ('"$@" >&-', 0)):
        path = tmp_path / f"{expected}.html"
        done = shell(line, "report", "--run", "planets", "--output", path, "--workspace", scored_store.workspace)
        assert (done.returncode, done.stderr) == (expected, "")
        assert path.stat().st_size
