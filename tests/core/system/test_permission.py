"""Who may only look is refused where things are written or started, whichever page asks for it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.data.errors import NotPermitted
from core.data.filters import RowFilter, TextSearch
from core.jobs.job import Job, create_job, start_worker
from core.scoring.tokens.token_process import TokenProcess
from core.selection import Selection, save_selection
from core.store import Store
from core.system import permission
from core.system.atomic_files import write_durably
from core.system.durable_file import DurableFile
from core.system.permission import check_changes_with, on_own_account
from tests.core.scored_rows import ScoredRow, add_scored_run


def refuse() -> None:
    """What the dashboard does for somebody who may only look."""
    raise NotPermitted("You may only look.")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A scored store, made by somebody who may run; from here on nobody may."""
    with Store.open(tmp_path / "workspace", "a test") as store:
        add_scored_run(store, [ScoredRow("chat", 10.0, 9.0 - number) for number in range(4)])
        save_selection(store, "kept", Selection("first"))
        # Put back afterwards what was asked before: pages that were tested in this process have put in their own check.
        monkeypatch.setattr(permission, "_check", permission._check)
        check_changes_with(refuse)
        yield store


CHANGES: dict[str, Callable[[Store], object]] = {
    "relabel a domain": lambda store: store.relabel_domain("data", "chat", "talk"),
    "remove a dataset": lambda store: store.remove_dataset("data"),
    "save a selection": lambda store: save_selection(store, "other", Selection("first")),
    "make a job": lambda store: create_job(store.workspace, {"kind": "score"}, {}),
    "start a worker": lambda store: start_worker(Job(store.workspace)),
    "cancel a job": lambda store: Job(store.workspace).cancel(),
    "compute tokens": lambda store: TokenProcess(store.workspace).ask({}),
    "write a file": lambda store: write_durably(store.workspace / "new", [b"bytes"]),
    "write an export": lambda store: DurableFile(store.workspace / "new"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_refused_and_leaves_nothing_behind(store: Store, change: str) -> None:
    files = sorted(store.workspace.rglob("*"))
    with pytest.raises(NotPermitted):
        CHANGES[change](store)
    assert sorted(store.workspace.rglob("*")) == files
    assert store.rows("SELECT DISTINCT domain FROM dataset_row") == [("chat",)]
    assert store.rows("SELECT name FROM selection") == [("kept",)]


def test_a_text_search_is_looking_and_is_allowed(store: Store) -> None:
    found = store.searched(RowFilter(search=TextSearch("answer", "words", "either")))
    condition, values = found.where()
    assert store.rows(f"SELECT count(*) FROM scored_1 WHERE {condition}", values) == [(4,)]


def test_what_the_program_does_on_its_own_account_is_allowed(store: Store) -> None:
    with on_own_account():
        store.relabel_domain("data", "chat", "talk")
    with pytest.raises(NotPermitted):
        store.relabel_domain("data", "talk", "chat")
