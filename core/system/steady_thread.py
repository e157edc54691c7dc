"""A thread that does its rounds until it is stopped, whatever fails in one of them, and tells when it does not."""

import logging
import threading
import time

from ..data.errors import UserError
from .worker_log import in_short

log = logging.getLogger(__name__)
_SLOW_SECONDS = 300.0
"""A round that takes longer is told: the largest known, a model of 15 GB to be hashed and published, takes a minute."""


class SteadyThread(threading.Thread):
    """Calls `do_round` again and again, with a pause [seconds] between. `does`: its work as part of a sentence."""

    does = "does its work"

    def __init__(self, name: str, pause: float) -> None:
        super().__init__(name=name, daemon=True)
        self._pause = pause
        self._stopped = threading.Event()
        self._began: float | None = None
        self._failed: str | None = None

    def do_round(self) -> None:
        """One round. Whatever it raises is logged, and the next round comes all the same."""
        raise NotImplementedError

    def run(self) -> None:
        """Until stopped."""
        while not self._stopped.is_set():
            self._began = time.monotonic()
            try:
                self.do_round()
                self._failed = None
            # The outermost loop: a thread that ended here would leave all its work undone without a word. So any
            # error is logged once with its traceback, `trouble` says it, and the thread goes on.
            except Exception as error:
                sentence = str(error) if isinstance(error, UserError) else in_short(error)
                if sentence != self._failed:
                    self._failed = sentence
                    log.warning("The %s thread failed in a round:", self.name, exc_info=True)
            self._began = None
            self._stopped.wait(self._pause)

    @property
    def trouble(self) -> str | None:
        """A sentence if the thread has ended, is late, or failed in its last round; else None."""
        began, failed = self._began, self._failed
        if self.ident is not None and not self.is_alive() and not self._stopped.is_set():
            return f"The part of this program that {self.does} has ended. Stop the program and start it again."
        if began is not None and (late := time.monotonic() - began) > _SLOW_SECONDS:
            return (
                f"The part of this program that {self.does} has been busy for {late / 60:,.0f} minutes. If nothing "
                "large is being taken in, stop the program and start it again."
            )
        if failed is not None:
            return f"The part of this program that {self.does} fails ({failed}). It tries again; the log says more."
        return None

    def stop(self) -> None:
        """Stop after the current round."""
        self._stopped.set()
        self.join()
