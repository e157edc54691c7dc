"""Programs that the soak kills: python -m tests.soak_victims PROGRAM WORKSPACE [ARGUMENT...]. Each prints a line when
it has done something once more, so that whoever kills it counts events and not seconds."""

import json
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

from core.exporting import export_bundle, export_selection
from core.scoring.planning import ScoreRequest
from core.selection import saved_selection
from core.store import Store
from core.workspace.maintenance.backups import back_up
from core.workspace.supervisor import begin_scoring
from core.workspace.supervisor_thread import Supervisor

EXPORTS = ("kept.jsonl", "kept.csv.gz", "kept.zip", "kept")


def dashboard(workspace: Path, request: str) -> None:
    """What the dashboard does with its store: its supervisor runs, and a scoring is begun."""
    with Store.open(workspace, "the dashboard") as store:
        supervisor = Supervisor(store)
        supervisor.start()
        begin_scoring(store, ScoreRequest(**json.loads(request)))
        _say("begun")
        supervisor.join()


def exporter(workspace: Path) -> None:
    """Exports one selection again and again, to a file, a compressed one, a zip and a folder."""
    with Store.open(workspace, "an exporter") as store:
        for number in count():
            name = EXPORTS[number % len(EXPORTS)]
            recipe, path = saved_selection(store, "kept"), workspace / "exports" / name
            if number % len(EXPORTS) < 2:
                export_selection(store, recipe, path, None, True, False, "kept")
            else:
                export_bundle(store, recipe, path, "trl", "kept")
            _say(name)


def backups(workspace: Path) -> None:
    """Backs the store up again and again, with a change between."""
    with Store.open(workspace, "a program that makes backups") as store:
        for _ in count():
            store.ensure_loss_set(f"model {store.changes}", "encoding", "a model")
            _say(back_up(store, workspace.parent / "backups" / f"{store.changes}.duckdb").path)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


PROGRAMS: dict[str, Callable[..., None]] = {"dashboard": dashboard, "exporter": exporter, "backups": backups}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
