"""The thread of the dashboard that ingests finished work and advances trials while pages are used."""

import logging
from collections.abc import Callable

from ..data.errors import UserError
from ..jobs.job import Job
from ..jobs.queue import start_next
from ..store import Store
from ..system.steady_thread import SteadyThread
from .maintenance.kept_shards import notices_of
from .supervisor import intake_of
from .trial_supervision import advance_trials

log = logging.getLogger(__name__)


class Supervisor(SteadyThread):
    """Takes in finished jobs, starts the next one of the queue and calls `advance_trials` every half second while the
    dashboard runs, and `make_room` when a job starts to run, because it may need all the memory of a GPU."""

    does = "takes in finished jobs"

    def __init__(
        self,
        store: Store,
        report: Callable[[str], None] = log.warning,
        make_room: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__("supervisor", 0.5)
        self._store, self._report, self._make_room = store, report, make_room
        self._intake = intake_of(store)
        self._running: set[str] = set()
        self._found: tuple[str, ...] | None = None
        self._failing: tuple[str, ...] = ()

    @property
    def notices(self) -> tuple[str, ...]:
        """What people must know: what opening found, the jobs that cannot be taken in, and whether this thread works
        at all."""
        found = self._store.opened.notices if self._found is None else self._found
        return tuple(dict.fromkeys([*found, *self._failing, *filter(None, [self.trouble])]))

    def do_round(self) -> None:
        """What cannot be done is reported once and left for the next round."""
        failing: list[str] = []
        unexpected: list[Exception] = []
        if self._found is None:
            self._look_around()
        for step in (self._look_for_begun_jobs, self._intake.take_in, self._start_next, self._advance):
            try:
                step()
            except (UserError, OSError) as error:
                failing.append(str(error))
            # The other steps are done all the same; `SteadyThread` tells of what is raised below.
            except Exception as error:  # noqa: BLE001
                unexpected.append(error)
        failing += map(str, self._intake.problems)
        for sentence in failing:
            if sentence not in self._failing:
                self._report(sentence)
        self._failing = tuple(failing)
        if unexpected:
            raise unexpected[0]

    def _start_next(self) -> None:
        start_next(self._intake.open_jobs())

    def _advance(self) -> None:
        advance_trials(self._store)

    def _look_for_begun_jobs(self) -> None:
        running = {job.job_id for job in self._intake.open_jobs() if _runs(job)}
        if running - self._running:
            self._make_room()
        self._running = running

    def _look_around(self) -> None:
        """What opening found, and what became of kept shards, said once."""
        self._found = self._store.opened.notices
        try:
            self._found = tuple(notices_of(self._store))
            for notice in self._found:
                self._report(notice)
        except (UserError, OSError) as error:
            self._report(str(error))


def _runs(job: Job) -> bool:
    try:
        return job.state == "running"
    except (UserError, OSError):  # the intake says what is wrong with it
        return False
