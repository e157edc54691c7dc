"""Findings: all evidence about a run, with one verdict for each question that a reader of its scores should ask."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..data.errors import TrialInvalid
from ..data.filters import EVERYTHING
from ..exploring.length_bias import length_bias
from ..scoring.reference_kind import CROSS_FITTED, ReferenceKind, reference_kind
from ..store import Store
from .end_of_turn import end_of_turn
from .memory import memory_by_domain, memory_sentences, trained_in_top
from .order_effect import OrderEffect, order_effect
from .reference_health import Health, fall_sentences, health_of, health_warnings
from .result_fields import TrialResults
from .selection_evidence import trials_of_run
from .stability import Agreement, own_agreement, run_agreements, seed_agreement, spread_by_domain
from .training_records import TrainedModel, trained_models
from .trial_folder import Trial
from .verdicts import (
    Verdict,
    length_verdict,
    memory_verdict,
    stability_sentences,
    stability_verdict,
    trial_details,
    trial_verdict,
)


@dataclass(frozen=True)
class Evidence:
    """All evidence about a run. `trained_top` is of runs with one reference; `memory` is empty without own losses,
    `spread` with one seed. `trials`: names of the run's trials against random rows, newest first; `trial`: results of
    the newest that has a verdict."""

    run: str
    kind: ReferenceKind
    memory: pd.DataFrame
    trained_top: pd.DataFrame
    health: Health
    length: pd.DataFrame
    end_of_turn: pd.DataFrame
    seeds: Agreement | None
    own: Agreement | None
    other_runs: list[Agreement]
    spread: pd.DataFrame
    order: OrderEffect | None
    trials: list[str]
    trial: TrialResults | None = None

    @property
    def verdicts(self) -> list[Verdict]:
        """Memory, length, stability, trials: one each."""
        return [
            memory_verdict(self.kind, self.memory, self.trained_top, self.health),
            length_verdict(self.length, self.end_of_turn),
            stability_verdict(self.seeds, self.other_runs),
            trial_verdict(self.trial, self.run),
        ]

    @property
    def stability_unknown(self) -> bool:
        """Whether there is no second reference to compare with."""
        return self.seeds is None and not self.other_runs

    @property
    def stability_details(self) -> list[str]:
        """What is known of stability beside the verdict."""
        others = self.other_runs if self.seeds else self.other_runs[1:]
        found = stability_sentences(self.own, others, self.spread)
        return [*found, *([self.order.sentence()] if self.order else [])]

    @property
    def memory_details(self) -> list[str]:
        """What the verdict on memory rests on, by domain."""
        return [*memory_sentences(self.memory), *fall_sentences(self.health), *health_warnings(self.health)]

    def sentences(self) -> list[str]:
        """The verdicts, each followed by what it rests on."""
        details = [self.memory_details, [], self.stability_details, trial_details(self.trial)]
        found = []
        for verdict, more in zip(self.verdicts, details, strict=True):
            found += [f"{verdict.question} {verdict.answer}", *(f"  {sentence}" for sentence in more)]
        return found

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields; tables as lists of objects."""
        return {
            "run": self.run,
            "reference_kind": self.kind.to_fields(),
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
            "sentences": self.sentences(),
            "memory": _records(self.memory),
            "trained_top": _records(self.trained_top),
            "reference": {
                "models": self.health.models,
                "steps": self.health.steps,
                "rose_after_pass": self.health.rose_after,
                "falls": _records(self.health.falls),
                "by_pass": _records(self.health.by_pass),
            },
            "length": _records(self.length),
            "end_of_turn": _records(self.end_of_turn),
            "stability": {
                "seeds": _agreement_fields(self.seeds),
                "own_against_cross_fitted": _agreement_fields(self.own),
                "other_runs": [_agreement_fields(agreement) for agreement in self.other_runs],
                "spread": _records(self.spread),
            },
            "order_effect": asdict(self.order) if self.order else None,
            "trials": self.trials,
        }


def evidence_of(store: Store, run: str, workspace: Path | None = None) -> Evidence:
    """All evidence about a run, from its losses, what training recorded, and the trials in the workspace.

    `workspace`: where they lie, if the store is a copy of its own. Raises `NotFound`.
    """
    known = store.run(run)
    table = str(known["table"])
    kind = reference_kind(store, known)
    models = trained_models(known)
    trials = trials_of_run(workspace or store.workspace, run)
    return Evidence(
        run=run,
        kind=kind,
        memory=memory_by_domain(store, table),
        trained_top=trained_in_top(store, table).iloc[: 0 if kind.kind == CROSS_FITTED else None],
        health=health_of(models),
        length=length_bias(store, table, EVERYTHING),
        end_of_turn=end_of_turn(store, table),
        seeds=seed_agreement(store, known),
        own=own_agreement(store, known),
        other_runs=run_agreements(store, known),
        spread=spread_by_domain(store, table),
        order=_order_effect(store, known, models),
        trials=[trial.name for trial in trials],
        trial=_telling(trials),
    )


def _order_effect(store: Store, run: Mapping[str, Any], models: list[TrainedModel]) -> OrderEffect | None:
    """Among the models of the run; of a run with one reference, among those of the other runs of its data too."""
    description = run["description"]
    if "cross_fitted" not in description:
        names = store.rows("SELECT name FROM run WHERE name <> ? ORDER BY run_id", [run["name"]])
        others = [store.run(name) for (name,) in names]
        same = [other for other in others if other["dataset"] == run["dataset"]]
        models = [*models, *(model for other in same for model in trained_models(other) if model.fold is None)]
    unique = {model.fingerprint: model for model in models}
    return order_effect(store, list(unique.values()), str(description.get("encoding_fingerprint", "")))


def _telling(trials: Sequence[Trial]) -> TrialResults | None:
    """Results of the newest trial with a verdict, else of the newest that can be read."""
    found = []
    for trial in trials:
        with suppress(TrialInvalid):  # its card says what is wrong
            found.append(trial.results())
    return next((results for results in found if any(arm.verdict for arm in results.arms)), next(iter(found), None))


def _agreement_fields(agreement: Agreement | None) -> dict[str, Any] | None:
    if agreement is None:
        return None
    fields = {"label": agreement.label, "pairs": agreement.pairs}
    return fields | {"ranks": _records(agreement.ranks), "tops": _records(agreement.tops)}


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as objects; NaN becomes null, which JSON has."""
    return list(json.loads(frame.to_json(orient="records", double_precision=15)))
