"""A thread that makes a new run's first view ahead: of a million rows its queries take seconds."""

from contextlib import suppress

from ..data.errors import UserError
from ..data.filters import EVERYTHING
from ..exploring.distributions import domain_counts
from ..exploring.loss_plane import loss_plane
from ..selection import Selection, scored_run, selected_by_second, selection_coverage, selection_profile
from ..store import Store
from ..system.steady_thread import SteadyThread

_POLL_SECONDS = 1.0
_NEWEST = "SELECT name FROM run ORDER BY created_at DESC, run_id DESC LIMIT 1"


class FirstView(SteadyThread):
    """Asks what Curate asks when it opens on the newest run with the recipe's default settings, so that the store has
    the ranking and the figures by then. It asks again when there is a newer run, or its table was rebuilt."""

    does = "prepares the first view of a run"

    def __init__(self, store: Store) -> None:
        super().__init__("first view", _POLL_SECONDS)
        self._store = store
        self._seen: list[object] | None = None

    def run(self) -> None:
        """Until stopped. The first round waits for the page that was opened first."""
        if not self._stopped.wait(_POLL_SECONDS):
            super().run()

    def do_round(self) -> None:
        """Prepare the newest run, unless that was done."""
        if not (names := self._store.rows(_NEWEST)):
            return
        name = str(names[0][0])
        seen = [name, *self._store.table_state(str(self._store.run(name)["table"]))]
        if seen == self._seen:
            return
        self._seen = seen
        run = scored_run(self._store, name)
        with suppress(UserError):  # a run without a reference has no such ranking; the page says what is wrong
            for ask in (
                lambda: domain_counts(self._store, run.table, EVERYTHING),
                lambda: loss_plane(self._store, run.table, EVERYTHING),
                lambda: selection_profile(self._store, Selection(run.name), run, with_second=False),
                lambda: selected_by_second(self._store, Selection(run.name), run),
                lambda: selection_coverage(self._store, Selection(run.name), run),
            ):
                if self._stopped.is_set():
                    return
                ask()
