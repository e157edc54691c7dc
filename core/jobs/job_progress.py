"""How far a job is, as its worker reports it."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Progress:
    """A worker's progress: rows or steps done of total, and the speed."""

    phase: str = "Starting..."
    done: int = 0
    total: int = 0
    unit: str = "rows"
    tokens_per_second: float | None = None
    seconds_left: float | None = None
    elapsed_seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Share done, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def sentence(self) -> str:
        """The progress in one line, for a terminal or a page."""
        parts = [f"{self.phase}: {self.done:,} of {self.total:,} {self.unit}" if self.total else self.phase]
        if self.tokens_per_second:
            parts.append(f"{self.tokens_per_second:,.0f} tokens per second")
        if self.seconds_left is not None:
            parts.append(f"{duration(self.seconds_left)} left")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """A duration as text: "42 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
