"""The cost of a trial, by hand."""

from core.evidence.trial_cost import TrialCost, trial_cost


def test_every_model_is_loaded_and_trained_and_scores_the_held_out_rows() -> None:
    cost = trial_cost("cuda", 18, 100_000, 1000, held_out_tokens=20_000, scoring_rate=4000, loading_seconds=2)
    assert cost.seconds == 18 * (2 + 100 + 5)
    assert cost.gpu_hours == cost.seconds / 3600
    assert cost.sentence == "18 runs take about 32 min (0.5 GPU-hours)."


def test_a_cpu_has_no_gpu_hours() -> None:
    cost = trial_cost("cpu", 36, 1_000_000, 1000, 0, 1)
    assert (cost.seconds, cost.gpu_hours) == (36_000, 0)
    assert cost.sentence == "36 runs take about 10 h 0 min."


def test_models_trained_elsewhere_are_only_scored() -> None:
    assert trial_cost("cuda", 0, 1e6, 1, 3600, 1, evaluated_only=1) == TrialCost(1, 3600, 1)
    assert trial_cost("cpu", 0, 1e6, 1, 36, 1, evaluated_only=1).sentence == "1 run takes about 1 min."
