"""How fast a job of gradients goes: its progress, and how many rows it takes at once."""

import time

from ...jobs.job_progress import Progress

_BLOCK_SECONDS = 10.0
_LOADING_SHARE = 0.05
_FIRST_BLOCK, _MOST_ROWS = 4, 4096
_REPORT_SECONDS = 0.5


class Pace:
    """Counts gradients, of which there are `total`."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._tokens = total, 0, 0
        self._skipped = 0
        self._began = self._reported = time.monotonic()
        self.block = _FIRST_BLOCK
        """Rows of the next block."""

    @property
    def tokens(self) -> int:
        """Tokens of all gradients so far."""
        return self._tokens

    def begin(self) -> None:
        """The time from now on counts."""
        self._began = time.monotonic()

    def skip(self, gradients: int) -> None:
        """Count gradients that need not be computed."""
        self._skipped += gradients

    def progress(self, phase: str, tokens: int) -> Progress | None:
        """Count a gradient of a row of so many tokens; the progress, where it is time to report it."""
        self._done, self._tokens, now = self._done + 1, self._tokens + tokens, time.monotonic()
        if now - self._reported < _REPORT_SECONDS:
            return None
        self._reported, elapsed, done = now, now - self._began, self._done + self._skipped
        left = (self._total - done) * elapsed / self._done
        return Progress(phase, done, self._total, "gradients", self._tokens / elapsed, left, elapsed)

    def end_block(self, rows: int, seconds: float, loading_seconds: float) -> None:
        """Size the next block by the one that ended: long enough that changing the checkpoints takes a small part of
        it, and not longer than it must be, because a worker that is killed loses it."""
        row_seconds = max(1e-6, seconds - loading_seconds) / rows
        wanted = max(_BLOCK_SECONDS, loading_seconds / _LOADING_SHARE) / row_seconds
        self.block = max(1, min(int(wanted), 4 * rows, _MOST_ROWS))
