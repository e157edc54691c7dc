"""What a trial has shown, as values: pages draw them and `--json` prints them."""

from dataclasses import asdict, dataclass
from typing import Any

from .trial_statistics import Difference


@dataclass(frozen=True, slots=True)
class Comparison:
    """An arm beside random on a slice of the held-out rows: `scope` is overall, domain or length, `part` names it.
    `loss` and `random_loss` are means over runs [nats per token]. `difference`: the first minus the second, with its
    interval; None where too little varies to tell. Its `p` is of this comparison alone."""

    scope: str
    part: str
    metric: str
    rows: int
    loss: float
    random_loss: float
    difference: Difference | None


@dataclass(frozen=True, slots=True)
class ArmResult:
    """One arm at one ratio. `comparisons`: all slices and metrics, that of the verdict first; none without runs of both
    arms. `objection`: why there is no verdict. `holm_p`: p adjusted for all arms and ratios."""

    arm: str
    kind: str
    ratio: float | None
    exploratory: bool
    runs: int
    random_runs: int
    planned_runs: int
    comparisons: tuple[Comparison, ...] = ()
    objection: str | None = None
    holm_p: float | None = None
    verdict: str | None = None
    sentence: str = ""

    @property
    def difference(self) -> Difference | None:
        """What the verdict rests on: by the planned metric, over all held-out rows."""
        return self.comparisons[0].difference if self.comparisons else None


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Mean held-out loss of an arm at a ratio [nats per token, planned metric]. The band, `low` to `high`, is a 95 %
    interval over training runs on these held-out rows; None with a single run or draw."""

    arm: str
    ratio: float | None
    runs: int
    loss: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class RunResult:
    """One model: its loss [nats per token, planned metric] and what its training took, None if it was elsewhere."""

    cell: str
    arm: str
    ratio: float | None
    draw: int
    seed: int | None
    loss: float
    steps: float | None
    input_tokens: float | None
    scored_tokens: float | None
    seconds: float | None
    passes: float | None = None


@dataclass(frozen=True, slots=True)
class TrialResults:
    """What a trial has shown so far. `baseline`: the random arm that the others are compared with. `skipped_rows`:
    held-out rows without a loss under every model. `failed_cells`: models without any finite loss."""

    trial: str
    fingerprint: str
    metric: str
    baseline: str
    rows: int
    tokens: int
    skipped_rows: int
    planned_cells: int
    missing_cells: tuple[str, ...]
    failed_cells: tuple[str, ...]
    arms: tuple[ArmResult, ...]
    curve: tuple[CurvePoint, ...]
    runs: tuple[RunResult, ...]
    sentences: tuple[str, ...] = ()

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields."""
        return asdict(self)
