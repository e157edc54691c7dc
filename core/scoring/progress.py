"""Progress of a scoring job: per process, and combined for display."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..jobs.job_progress import Progress


@dataclass(slots=True)
class ProcessTally:
    """One process's progress in its current pass, and its total tokens over all models.

    ahead_tokens, ahead_rows: remaining work in its current chunk.
    """

    pass_index: int = 0
    phase: str = ""
    rows: int = 0
    pass_tokens: int = 0
    ahead_rows: int = 0
    ahead_tokens: int = 0
    tokens_a_row: float = 0.0
    tokens: int = 0
    elapsed_seconds: float = 0.0


def progress_of(done: int, total: int, tallies: Sequence[ProcessTally]) -> Progress:
    """Progress for display: combined speed of all processes, and the time left."""
    paces = [tally.pass_tokens / tally.elapsed_seconds for tally in tallies if tally.pass_tokens]
    ahead = sum(tally.ahead_tokens for tally in tallies)
    beyond = max(0, total - done - sum(tally.ahead_rows for tally in tallies))
    mean = max((tally.tokens_a_row for tally in tallies), default=0.0)
    left = (ahead + beyond * mean) / sum(paces) if paces else None
    elapsed = max((tally.elapsed_seconds for tally in tallies), default=0.0)
    return Progress(tallies[0].phase, done, total, "rows", sum(paces) or None, left, elapsed)
