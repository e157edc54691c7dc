"""How far a scoring job is: what each of its processes has done, and together what a person is shown."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..jobs.job_progress import Progress


@dataclass(slots=True)
class ProcessTally:
    """What one process has done of the pass that it is in, and how many tokens in all, by however many models.

    ahead_tokens, ahead_rows: those of its chunk that are still to be computed.
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
    """As shown to a person: the pace of all processes together, and what is left at it."""
    paces = [tally.pass_tokens / tally.elapsed_seconds for tally in tallies if tally.pass_tokens]
    ahead = sum(tally.ahead_tokens for tally in tallies)
    beyond = max(0, total - done - sum(tally.ahead_rows for tally in tallies))
    mean = max((tally.tokens_a_row for tally in tallies), default=0.0)
    left = (ahead + beyond * mean) / sum(paces) if paces else None
    elapsed = max((tally.elapsed_seconds for tally in tallies), default=0.0)
    return Progress(tallies[0].phase, done, total, "rows", sum(paces) or None, left, elapsed)
