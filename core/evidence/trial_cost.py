"""What a trial costs in time, before it starts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrialCost:
    """`seconds` of wall-clock time on all devices together, and `gpu_hours`, the sum over devices."""

    runs: int
    seconds: float
    gpu_hours: float

    @property
    def sentence(self) -> str:
        """For a person, such as "18 runs take about 2 h 5 min (4.2 GPU-hours)."."""
        minutes = max(round(self.seconds / 60), 1)
        time = f"{minutes // 60:,} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
        runs = "1 run takes" if self.runs == 1 else f"{self.runs:,} runs take"
        return f"{runs} about {time} ({self.gpu_hours:,.1f} GPU-hours)."


def trial_cost(
    cells: int,
    budget_tokens: float,
    training_rate: float,
    held_out_tokens: float,
    scoring_rate: float,
    evaluated_only: int = 0,
    devices: int = 1,
) -> TrialCost:
    """Cost of training `cells` models on `budget_tokens` each and scoring the held-out rows with each. Rates: tokens
    per second of one device, above 0. `evaluated_only`: further models, only scored. A model uses one device."""
    training = cells * budget_tokens / training_rate
    scoring = (cells + evaluated_only) * held_out_tokens / scoring_rate
    device_seconds = training + scoring
    return TrialCost(cells + evaluated_only, device_seconds / devices, device_seconds / 3600)
