"""The command line as a script would run it: a process of its own, its JSON, its exit code."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests import forked

ROOT = Path(__file__).resolve().parents[1]


def start(workspace: Path, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    """Start `python -m core ARGUMENTS --workspace WORKSPACE` without waiting.

    It hears Ctrl-C, also where the tests themselves run in the background of a shell and do not.
    """
    python = ["env", "--default-signal=INT", sys.executable]
    return subprocess.Popen(
        [*python, "-m", "core", *map(str, arguments), "--workspace", str(workspace)],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(workspace: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end. The process is forked from one that has imported the commands, where that is the same."""
    whole = {**os.environ, "COLUMNS": "200", **environment}
    if forked.may_fork(whole):
        return _run_forked([*map(str, arguments), "--workspace", str(workspace)], whole)
    process = start(workspace, *arguments, **environment)
    stdout, stderr = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def _run_forked(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    with open(os.devnull, "rb") as nothing, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
        files = (nothing.fileno(), out.fileno(), error.fileno())
        code = forked.fork("core", arguments, files, environment, session=False).wait()
        out.seek(0)
        error.seek(0)
        stdout, stderr = (file.read().decode().replace("\r\n", "\n") for file in (out, error))
    return subprocess.CompletedProcess(arguments, code, stdout, stderr)


def result(workspace: Path, *arguments: object, **environment: str) -> dict[str, Any]:
    """Its JSON; fails the test where it did not exit with 0."""
    done = run(workspace, *arguments, "--json", **environment)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def losses(workspace: Path, run_name: str, folder: Path) -> list[dict[str, Any]]:
    """A run's losses, in row order."""
    path = folder / "losses.jsonl"
    result(workspace, "losses", "--run", run_name, "--output", path)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_rows(path: Path, count: int) -> Path:
    """An Alpaca file of `count` different rows in two domains, about 40 tokens each."""
    rows = [
        {"instruction": f"Say {number}.", "output": f"The number is {number} and then {number + 1}.", "domain": domain}
        for number in range(count)
        for domain in ["odd" if number % 2 else "even"]
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
