"""Drafts: the unsaved selection of a person and run, as a history of states that can be undone.

A state is several parts, each a JSON text; a part is written only when it changes, so that a slider's move does not
write thousands of hand picks again. Histories are kept in memory too and written behind: a move of a slider never waits
for an import that is being written.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import duckdb

from ..data.errors import NotFound
from .connection import fetch_all, fetch_first
from .store import Store

MOST_STEPS = 100
"""Changes of a draft that can be undone; older ones are dropped."""
_MOST_HISTORIES = 256
"""Histories in memory."""
State = Mapping[str, str]
"""The parts of a state: JSON texts by name. All states of a draft have the same parts."""
_OF_ONE = "WHERE person = $1 AND run_id = $2"
_RUN_THERE = "SELECT 1 FROM run WHERE run_id = ? AND epoch_us(created_at) = ?"
_DROP_OLD = f"""
    DELETE FROM draft_part {_OF_ONE} AND step < (
        SELECT max(later.step) FROM draft_part later
        WHERE later.person = $1 AND later.run_id = $2 AND later.part = draft_part.part AND later.step <= $3
    )
"""
"""Drops what no state from step $3 on needs."""


@dataclass(frozen=True, slots=True)
class Draft:
    """The current state of a draft, how many changes can be undone and redone, and when it was last changed (UTC)."""

    state: State
    undo_steps: int
    redo_steps: int
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class _Key:
    """`created` [microseconds since 1970]: a later run may get the id of a removed one."""

    person: str
    run_id: int
    created: int


@dataclass(frozen=True, slots=True)
class _History:
    """`states` from `first_step` on, without gaps; `step`: of the current one."""

    states: tuple[State, ...] = ()
    first_step: int = 0
    step: int = 0
    changed_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def last_step(self) -> int:
        return self.first_step + len(self.states) - 1

    def at(self, step: int) -> State:
        """The parts of the state at a step."""
        return self.states[step - self.first_step]

    def with_state(self, state: State) -> "_History":
        """This history with one more state in place of those that were undone; itself if that state is the current."""
        if self.states and self.at(self.step) == state:
            return self
        kept = (*self.states[: self.step - self.first_step + 1], state)[-MOST_STEPS - 1 :]
        step = self.step + 1
        return _History(kept, step - len(kept) + 1, step)

    def as_draft(self) -> Draft:
        """What callers see of it."""
        return Draft(self.at(self.step), self.step - self.first_step, self.last_step - self.step, self.changed_at)


@dataclass(slots=True)
class _Entry:
    """`is_sure`: the store holds the whole history as of the last write that ended."""

    history: _History
    is_sure: bool = True
    writing: "Future[None] | None" = None


class Drafts:
    """The drafts in an open store; one object for each store, used from any thread.

    Runs are given by name; a run that does not exist raises `NotFound`.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()
        self._lock = threading.Lock()

    def draft(self, person: str, run: str) -> Draft | None:
        """The draft of a person and run; None if there is none."""
        history = self._entry(self._key(person, run)).history
        return history.as_draft() if history.states else None

    def newest(self, person: str, dataset: str) -> Draft | None:
        """The draft that a person changed last, of the runs of a dataset."""
        sql = """
            SELECT run.name FROM draft JOIN run USING (run_id) JOIN dataset USING (dataset_id)
            WHERE draft.person = $1 AND dataset.name = $2
        """
        runs = self._store.arrow(sql, [person, dataset]).column("name").to_pylist()
        drafts = [draft for run in runs if (draft := self.draft(person, run))]
        return max(drafts, key=lambda draft: draft.changed_at, default=None)

    def save(self, person: str, run: str, state: State) -> Draft:
        """Add a state after the current one, in place of those that were undone, unless it equals the current one.

        The write is not waited for (`saved`).
        """
        return self._changed(person, run, lambda history: history.with_state(state))

    def undo(self, person: str, run: str) -> Draft:
        """Go back by one state, if there is one. Raises `NotFound` if there is no draft."""
        return self._changed(person, run, lambda history: _at(history, history.step - 1))

    def redo(self, person: str, run: str) -> Draft:
        """Go forward by one state, if there is one. Raises `NotFound` if there is no draft."""
        return self._changed(person, run, lambda history: _at(history, history.step + 1))

    def saved(self, person: str, run: str, seconds: float) -> bool:
        """Whether the store's file holds the draft, waiting at most so long for it. Raises what its last write raised,
        such as `WriteFailed`."""
        writing = self._entry(self._key(person, run)).writing
        if writing is None:
            return True
        try:
            writing.result(seconds)
        except TimeoutError:
            return False
        return True

    def _key(self, person: str, run: str) -> _Key:
        found = self._store.rows("SELECT run_id, epoch_us(created_at) FROM run WHERE name = ?", [run])
        if not found:
            raise NotFound(f"No run is named {run!r}.")
        return _Key(person, *found[0])

    def _entry(self, key: _Key) -> _Entry:
        # Read without the lock: a query may have to wait for this person's others.
        found = self._entries.get(key) or _Entry(self._read(key))
        with self._lock:
            found = self._entries.setdefault(key, found)
            self._entries.move_to_end(key)
            if len(self._entries) > _MOST_HISTORIES:
                oldest = next((old for old, entry in self._entries.items() if _is_written(entry)), key)
                self._entries.pop(oldest)
        return found

    def _changed(self, person: str, run: str, change: Callable[[_History], _History]) -> Draft:
        key = self._key(person, run)
        entry = self._entry(key)
        with self._lock:
            before = entry.history
            after = change(before)
            if not after.states:
                raise NotFound(f"The run {run!r} has no draft.")
            if after is not before:
                entry.history = after = replace(after, changed_at=datetime.now(UTC))
                entry.writing = self._write(key, entry, before, after)
        return after.as_draft()

    def _write(self, key: _Key, entry: _Entry, before: _History, after: _History) -> "Future[None]":
        """Write the difference, or everything if an earlier write failed. Writes end in the order of their calls."""

        def change(connection: duckdb.DuckDBPyConnection) -> None:
            known = _known(before if entry.is_sure else _History(), after)
            entry.is_sure = False
            if fetch_first(connection, _RUN_THERE, [key.run_id, key.created]):
                _put(connection, key, after, known)

        def ended(writing: "Future[None]") -> None:
            entry.is_sure = writing.exception() is None

        writing = self._store.write_behind(change)
        writing.add_done_callback(ended)
        return writing

    def _read(self, key: _Key) -> _History:
        # Not with `rows`, whose cached results a write behind does not clear.
        given = [key.person, key.run_id]
        head = self._store.arrow(f"SELECT first_step, step, last_step, changed_at FROM draft {_OF_ONE}", given)
        if not head.num_rows:
            return _History()
        found = head.to_pylist()[0]
        parts = self._store.arrow(f"SELECT part, step, content FROM draft_part {_OF_ONE} ORDER BY step", given)
        rows = parts.to_pylist()
        state: dict[str, str] = {}
        states = []
        for step in range(found["first_step"], found["last_step"] + 1):
            while rows and rows[0]["step"] <= step:
                row = rows.pop(0)
                state = state | {row["part"]: row["content"]}
            states.append(state)
        return _History(tuple(states), found["first_step"], found["step"], found["changed_at"])


def _put(connection: duckdb.DuckDBPyConnection, key: _Key, history: _History, known: int) -> None:
    """Write a history of which the store has the states up to the step `known`."""
    given: list[Any] = [key.person, key.run_id]
    fetch_all(connection, f"DELETE FROM draft {_OF_ONE}", given)
    steps = [history.first_step, history.step, history.last_step, history.changed_at]
    fetch_all(connection, "INSERT INTO draft VALUES (?, ?, ?, ?, ?, ?)", [*given, *steps])
    if known == history.last_step:
        return
    fetch_all(connection, f"DELETE FROM draft_part {_OF_ONE} AND step > $3", [*given, known])
    for step in range(known + 1, history.last_step + 1):
        before = history.at(step - 1) if step > history.first_step else {}
        for part, content in history.at(step).items():
            if before.get(part) != content:
                fetch_all(connection, "INSERT INTO draft_part VALUES (?, ?, ?, ?, ?)", [*given, part, step, content])
    fetch_all(connection, _DROP_OLD, [*given, history.first_step])


def _known(before: _History, after: _History) -> int:
    """The last step of `after` that `before` has too."""
    if after.states is before.states:
        return after.last_step
    return before.step if before.states else after.first_step - 1


def _at(history: _History, step: int) -> _History:
    is_there = history.first_step <= step <= history.last_step
    return replace(history, step=step) if is_there else history


def _is_written(entry: _Entry) -> bool:
    return entry.is_sure and (entry.writing is None or entry.writing.done())
