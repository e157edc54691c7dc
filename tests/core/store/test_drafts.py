"""Drafts: every change is kept, undone and redone, by person and run, and none is lost."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from core.data.errors import NotFound, UserError
from core.store import Store
from core.store.drafts import MOST_STEPS, Draft, Drafts
from core.workspace.maintenance.backups import back_up
from core.workspace.maintenance.checking import check_workspace
from tests.fakes import ScoredRecord, build_scored_store

RUN, ANNE, BERT = "planets", "anne@example.org", "bert@example.org"
ROWS = [ScoredRecord("chat", 2.0, number / 10, 10, f"chat {number}") for number in range(10)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with build_scored_store(tmp_path / "workspace", ROWS) as store:
        yield store


@pytest.fixture
def drafts(store: Store) -> Drafts:
    return Drafts(store)


def state(number: int, picks: str = "[]") -> dict[str, str]:
    return {"recipe": f'{{"seed": {number}}}', "picks": picks}


def save(drafts: Drafts, numbers: range, person: str = ANNE) -> None:
    for number in numbers:
        drafts.save(person, RUN, state(number))


def current(drafts: Drafts, person: str = ANNE) -> Draft:
    found = drafts.draft(person, RUN)
    assert found is not None
    return found


def reread(drafts: Drafts, store: Store, person: str = ANNE) -> Drafts:
    """The drafts as a new process finds them in the store, once all was written."""
    assert drafts.saved(person, RUN, 60)
    return Drafts(store)


def test_sixty_changes_are_undone_and_redone(drafts: Drafts, store: Store) -> None:
    save(drafts, range(61))
    for given in (reread(drafts, store), drafts):
        for number in range(59, -1, -1):
            assert given.undo(ANNE, RUN).state == state(number)
        assert given.undo(ANNE, RUN).undo_steps == 0
        for number in range(1, 61):
            assert given.redo(ANNE, RUN).state == state(number)
        assert (given.redo(ANNE, RUN).undo_steps, given.redo(ANNE, RUN).redo_steps) == (60, 0)


def test_the_position_is_kept_too(drafts: Drafts, store: Store) -> None:
    save(drafts, range(5))
    drafts.undo(ANNE, RUN)
    drafts.undo(ANNE, RUN)
    found = current(reread(drafts, store))
    assert (found.state, found.undo_steps, found.redo_steps) == (state(2), 2, 2)
    assert found.changed_at == current(drafts).changed_at


def test_a_change_after_an_undo_takes_the_place_of_what_was_undone(drafts: Drafts, store: Store) -> None:
    save(drafts, range(5))
    drafts.undo(ANNE, RUN)
    drafts.undo(ANNE, RUN)
    drafts.save(ANNE, RUN, state(9))
    for given in (reread(drafts, store), drafts):
        found = current(given)
        assert (found.state, found.undo_steps, found.redo_steps) == (state(9), 3, 0)
        assert given.undo(ANNE, RUN).state == state(2)
        given.redo(ANNE, RUN)


def test_older_steps_are_dropped_and_parts_that_never_changed_stay(drafts: Drafts, store: Store) -> None:
    for number in range(MOST_STEPS + 20):
        drafts.save(ANNE, RUN, state(number, '["first"]' if number < 30 else '["second"]'))
    again = reread(drafts, store)
    assert current(again).undo_steps == MOST_STEPS
    for _ in range(MOST_STEPS):
        again.undo(ANNE, RUN)
    assert current(again).state == state(19, '["first"]')
    assert store.rows("SELECT count(*) FROM draft_part WHERE part = 'picks'") == [(2,)]
    assert store.rows("SELECT count(*) FROM draft_part WHERE part = 'recipe'") == [(MOST_STEPS + 1,)]


def test_the_same_state_twice_is_one_step(drafts: Drafts) -> None:
    save(drafts, range(2))
    drafts.save(ANNE, RUN, state(1))
    assert current(drafts).undo_steps == 1


def test_two_people_have_two_drafts(drafts: Drafts, store: Store) -> None:
    save(drafts, range(3))
    save(drafts, range(7, 9), BERT)
    again = reread(drafts, store, BERT)
    assert current(again).state == state(2)
    assert again.undo(BERT, RUN).state == state(7)
    assert current(again).redo_steps == 0


def test_nothing_is_undone_without_a_draft(drafts: Drafts) -> None:
    assert drafts.draft(ANNE, RUN) is None
    assert drafts.newest(ANNE, "planets") is None
    with pytest.raises(NotFound):
        drafts.undo(ANNE, RUN)
    with pytest.raises(NotFound):
        drafts.save(ANNE, "no such run", state(1))


def test_the_newest_draft_of_a_dataset_is_the_one_that_was_changed_last(drafts: Drafts, store: Store) -> None:
    dataset = str(store.run(RUN)["dataset"])
    store.save_run("other", dataset, store.run(RUN)["loss_sets"])
    drafts.save(ANNE, "other", state(1))
    save(drafts, range(2, 4))
    drafts.save(BERT, "other", state(5))
    assert drafts.saved(BERT, "other", 60)
    found = reread(drafts, store).newest(ANNE, dataset)
    assert found is not None
    assert found.state == state(3)


def test_drafts_go_with_their_dataset_and_a_later_run_of_that_name_has_none(tmp_path: Path) -> None:
    with build_scored_store(tmp_path / "workspace", ROWS) as store:
        drafts = Drafts(store)
        save(drafts, range(3))
        store.remove_dataset(str(store.run(RUN)["dataset"]))
        assert store.rows("SELECT (SELECT count(*) FROM draft), (SELECT count(*) FROM draft_part)") == [(0, 0)]
    with build_scored_store(tmp_path / "workspace", ROWS) as store:
        assert Drafts(store).draft(ANNE, RUN) is None


def test_a_draft_of_no_run_is_found_by_check(drafts: Drafts, store: Store) -> None:
    save(drafts, range(3))
    store.write(lambda connection: connection.execute("UPDATE draft SET run_id = 77"))
    assert any("1 drafts of no run" in str(finding) for finding in check_workspace(store, lambda _: None))


def test_saving_waits_for_no_write_before_it_and_keeps_cached_results(drafts: Drafts, store: Store) -> None:
    assert store.rows("SELECT count(*) FROM run") == [(1,)]
    may_end = threading.Event()
    importing = threading.Thread(target=lambda: store.write(lambda _: may_end.wait(60)))
    cached = store._results._results.copy()
    importing.start()
    try:
        save(drafts, range(2))
        assert current(drafts).state == state(1)
        assert not drafts.saved(ANNE, RUN, 0.01)
        assert drafts.undo(ANNE, RUN).state == state(0)
        assert cached.keys() <= store._results._results.keys()
    finally:
        may_end.set()
        importing.join()
    assert current(reread(drafts, store)).redo_steps == 1


def test_after_a_write_that_failed_the_next_one_writes_everything(
    drafts: Drafts, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(drafts, range(2))
    with monkeypatch.context() as patched:

        def fail(*_: object) -> None:
            raise duckdb.IOException("IO Error: Could not write file: No space left on device")

        patched.setattr("core.store.drafts._put", fail)
        drafts.save(ANNE, RUN, state(2, '["picked"]'))
        with pytest.raises(UserError, match="No space left"):
            drafts.saved(ANNE, RUN, 60)
    drafts.save(ANNE, RUN, state(3, '["picked"]'))
    again = reread(drafts, store)
    assert current(again).state == state(3, '["picked"]')
    assert again.undo(ANNE, RUN).state == state(2, '["picked"]')
    assert current(again).undo_steps == 2


def test_a_backup_holds_the_drafts(drafts: Drafts, store: Store, tmp_path: Path) -> None:
    save(drafts, range(3))
    back_up(store, tmp_path / "backup.duckdb")
    with duckdb.connect(str(tmp_path / "backup.duckdb"), read_only=True) as copy:
        assert copy.execute("SELECT person, step FROM draft").fetchall() == [(ANNE, 3)]


_KILLED = f"""
import sys
from pathlib import Path
from core.store import Store
from core.store.drafts import Drafts
drafts = Drafts(Store.open(Path(sys.argv[1]), "a test"))
for number in range(3):
    drafts.save("{ANNE}", "{RUN}", {{"recipe": str(number), "picks": "[]"}})
assert drafts.saved("{ANNE}", "{RUN}", 60)
print("saved", flush=True)
sys.stdin.read()
"""


def test_a_draft_that_was_saved_survives_a_kill(tmp_path: Path) -> None:
    build_scored_store(tmp_path / "workspace", ROWS).close()
    command = [sys.executable, "-c", _KILLED, str(tmp_path / "workspace")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "saved\n"
        process.send_signal(signal.SIGKILL)
    with Store.open(tmp_path / "workspace", "a test") as store:
        found = current(Drafts(store))
        assert (found.state["recipe"], found.undo_steps) == ("2", 2)
