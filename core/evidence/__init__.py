"""Evidence: what a run's scores mean, and trials, which train on a selection and on control rows at an equal budget and
compare held-out losses.

memory, reference_health, stability, order_effect -> findings, with verdicts
trial (the plan, fixed before it starts) -> arms (the rows of each) -> trial_results, with trial_statistics
downstream: benchmark tasks on a model, by lm-evaluation-harness
"""

from .arm_kinds import ARMS, METRICS
from .arms import arm_rows
from .result_fields import TrialResults
from .trial import BUDGET_KINDS, Arm, Cell, TrialBudget, TrialPlan, TrialTraining, cells
from .trial_cost import TrialCost, trial_cost
from .trial_results import trial_results

__all__ = [
    "ARMS",
    "BUDGET_KINDS",
    "METRICS",
    "Arm",
    "Cell",
    "TrialBudget",
    "TrialCost",
    "TrialPlan",
    "TrialResults",
    "TrialTraining",
    "arm_rows",
    "cells",
    "trial_cost",
    "trial_results",
]
