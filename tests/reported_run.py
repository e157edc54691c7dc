"""A run with everything that a report shows: own and cross-fitted losses of two seeds, recorded passes, a trial of two
ratios, a saved selection; its names are given."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from core.data.examples import Rejected
from core.evidence.trial import Arm, TrialPlan, cells
from core.evidence.trial_folder import save_trial
from core.importing.records import REASONS
from core.selection import Amount, Selection, save_selection
from core.store import Store
from tests.core.evidence.test_trial_results import HELD_OUT, PLAN, write_cell
from tests.cross_fitted_rows import JudgedRow, add_judged_run, write_model

EFFECT = {"top": -0.08, "longest": 0.05}
"""True differences of the trial's arms from random [nats per token]."""


def add_reported_run(
    store: Store, folder: Path, domains: Sequence[str] = ("chat", "code", "math"), run: str = "first", rows: int = 240
) -> None:
    """Save the run with its models in `folder`, the trial "tenth" and the selection "curated", whose names follow the
    run's if it is another."""
    judged = _judged_rows(domains, rows)
    models = {}
    for fold in range(2):
        for seed in range(2):
            losses = {
                (which, domain): [2.0, 2 - fall - 0.05 * seed, 2 - 1.2 * fall]
                for which, fall in (("held_out", 0.1), ("own", 0.5))
                for domain in domains
            }
            role = f"fold-{fold}-seed-{seed}"
            models[role] = write_model(folder / role, losses, steps=40)
    add_judged_run(store, judged, run, "data" if run == "first" else run, models)
    left_out = [Rejected(number, next(iter(REASONS)), domain) for number, domain in enumerate(domains, 1)]
    store.add_source("data" if run == "first" else run, f"{run} more.jsonl", "jsonl", "more", {}, left_out)
    add_trial(store, run)
    recipe = Selection(run, amount=Amount("ratio", 0.1))
    save_selection(store, "curated" if run == "first" else run, recipe)


def add_trial(store: Store, run: str) -> TrialPlan:
    """A finished trial of the run: its recipe beside random and longest rows at two ratios."""
    arms = (Arm("top", "selection", Selection(run)), *PLAN.arms[1:])
    plan = replace(PLAN, run=run, arms=arms, ratios=(0.06, 0.167), created_at="2026-01-02T03:04:05+00:00")
    fixed = {"cost": {"sentence": "42 models, about 2 minutes."}}
    trial = save_trial(store.workspace, plan, fixed, HELD_OUT)
    for cell in cells(plan):
        write_cell(trial.folder, cell, EFFECT.get(cell.arm, 0.0) * (1 if cell.ratio == 0.167 else 0.5))
    return plan


def _judged_rows(domains: Sequence[str], rows: int) -> list[JudgedRow]:
    random = np.random.default_rng(0)
    found = []
    for number in range(rows):
        tokens = int(random.integers(5, 400))
        place = number % len(domains)
        base = tokens * float(random.normal(2.5, 0.4))
        gain = float(np.clip(random.normal(0.1 + 0.05 * place - 0.0002 * tokens, 0.08), -0.2, 0.8))
        seeds = tuple(base * (1 - gain + float(random.normal(0, 0.03))) for _ in range(2))
        found.append(JudgedRow(domains[place], base, seeds, base * (0.8 - gain), tokens))
    return found
