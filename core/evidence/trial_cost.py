"""What a trial costs in time, before it starts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrialCost:
    """`seconds` of one model after another, and `gpu_hours` of them, 0 on a CPU."""

    runs: int
    seconds: float
    gpu_hours: float

    @property
    def sentence(self) -> str:
        """For a person, such as "18 runs take about 2 h 5 min (2.1 GPU-hours)."."""
        minutes = max(round(self.seconds / 60), 1)
        time = f"{minutes // 60:,} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
        runs = "1 run takes" if self.runs == 1 else f"{self.runs:,} runs take"
        hours = f" ({self.gpu_hours:,.1f} GPU-hours)" if self.gpu_hours else ""
        return f"{runs} about {time}{hours}."


def trial_cost(
    device: str,
    cells: int,
    budget_tokens: float,
    training_rate: float,
    held_out_tokens: float,
    scoring_rate: float,
    loading_seconds: float = 0.0,
    evaluated_only: int = 0,
) -> TrialCost:
    """Cost on a device, "cuda" or "cpu", of training `cells` models on `budget_tokens` each and scoring the held-out
    rows with each. Rates: tokens per second of one device, above 0. `loading_seconds`: of each model that is trained,
    before its first step. `evaluated_only`: further models, only scored."""
    training = cells * (loading_seconds + budget_tokens / training_rate)
    seconds = training + (cells + evaluated_only) * held_out_tokens / scoring_rate
    return TrialCost(cells + evaluated_only, seconds, seconds / 3600 if device == "cuda" else 0.0)
