"""The thread of the dashboard that ingests finished work and advances trials while pages are used."""

import logging
import threading
from collections.abc import Callable

from ..data.errors import UserError
from ..jobs.job import all_jobs
from ..store import Store
from .maintenance.kept_shards import notices_of
from .supervisor import ingest_finished_jobs
from .trial_supervision import advance_trials

log = logging.getLogger(__name__)


class Supervisor(threading.Thread):
    """Calls `ingest_finished_jobs` and `advance_trials` every half second while the dashboard runs, and `make_room`
    when a job starts to run, because it may need all the memory of a GPU. `notices`: what opening found, for people."""

    def __init__(
        self,
        store: Store,
        report: Callable[[str], None] = log.warning,
        make_room: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(name="supervisor", daemon=True)
        self._store, self._report, self._make_room = store, report, make_room
        self._running: set[str] = set()
        self._reported: dict[str, str] = {}
        self._stopped = threading.Event()
        self.notices: tuple[str, ...] = store.opened.notices

    def run(self) -> None:
        """Until stopped. What cannot be done is reported once and left for the next round."""
        self._look_around()
        while not self._stopped.wait(0.5):
            for step in (self._look_for_begun_jobs, self._ingest, self._advance):
                try:
                    step()
                except (UserError, OSError) as error:
                    if self._reported.get(step.__name__) != str(error):
                        self._reported[step.__name__] = str(error)
                        self._report(str(error))

    def _ingest(self) -> None:
        ingest_finished_jobs(self._store)

    def _advance(self) -> None:
        advance_trials(self._store)

    def _look_for_begun_jobs(self) -> None:
        jobs = (job for job in all_jobs(self._store.workspace) if not job.is_settled)
        running = {job.job_id for job in jobs if job.state == "running"}
        if running - self._running:
            self._make_room()
        self._running = running

    def _look_around(self) -> None:
        """What opening found, and what became of kept shards, said once."""
        try:
            self.notices = tuple(notices_of(self._store))
            for notice in self.notices:
                self._report(notice)
        except (UserError, OSError) as error:
            self._report(str(error))

    def stop(self) -> None:
        """Stop after the current round."""
        self._stopped.set()
        self.join()
