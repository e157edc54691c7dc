"""What a report of a run says, as values: what was scored, scores, evidence, trials, and a selection."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from ..data.errors import SelectionInvalid, UserError
from ..data.filters import EVERYTHING
from ..data.scores import DEFAULT_SCORE, FLAGS
from ..data.version import __version__
from ..evidence.findings import Evidence, evidence_of
from ..evidence.result_fields import TrialResults
from ..evidence.trial import TrialPlan
from ..evidence.trial_folder import load_trial, trial_names
from ..exploring.distributions import Histogram, histogram, summary
from ..exporting.manifest import manifest, sources_of
from ..scoring.reference_kind import ReferenceKind, reference_kind
from ..selection import Selection, Summary, saved_selection, select_summary
from ..store import Store

_WITHOUT_SCORE = ("no_scored_token", "non_finite", "zero_base_loss", "not_scored")
"""Flags of rows without a score, by which those without a reason of their own are counted."""


@dataclass(frozen=True)
class ReportedTrial:
    """A trial of the run; `results` are as far as there are. `objection`: why its files cannot be read; the rest is
    then empty."""

    name: str
    plan: TrialPlan | None = None
    fixed: Mapping[str, Any] | None = None
    held_out_rows: int = 0
    results: TrialResults | None = None
    objection: str = ""


@dataclass(frozen=True)
class ReportedSelection:
    """A saved selection as it selects now. `manifest`: what an export would record of it, without the file."""

    name: str
    recipe: Selection
    summary: Summary
    scores: Histogram
    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class RunReport:
    """A run with all that is known of it. `description`: as scoring recorded it. `sources`: files of the dataset, with
    counts. `left_out`: reason, rows, of rows without a score, most first. `scores`: binned, `score_summary`: by domain,
    both of the default score. `noise_floors` [nats per token]: by role. `scored_at`, `made_at`: UTC."""

    run: str
    dataset: str
    description: Mapping[str, Any]
    reference_kind: ReferenceKind
    sources: list[dict[str, Any]]
    rows: int
    left_out: pd.DataFrame
    scores: Histogram
    score_summary: pd.DataFrame
    noise_floors: Mapping[str, float | None]
    evidence: Evidence
    trials: list[ReportedTrial]
    selection: ReportedSelection | None
    scored_at: datetime
    made_at: datetime
    version: str = __version__


def run_report(store: Store, run: str, selection: str | None = None, workspace: Path | None = None) -> RunReport:
    """Gather a report. `selection`: name of a saved selection of the run; `workspace`: where the trials lie, if the
    store is a copy.

    Raises `NotFound` for an unknown run or selection, `SelectionInvalid` for a selection of another run.
    """
    known = store.run(run)
    table = str(known["table"])
    chosen = _selection(store, run, selection) if selection is not None else None
    trials = trials_of_run(workspace or store.workspace, run)
    ((rows, scored_at),) = store.rows(
        f"SELECT (SELECT count(*) FROM {table}), epoch(created_at) FROM run WHERE run_id = ?", [known["run_id"]]
    )
    return RunReport(
        run=run,
        dataset=str(known["dataset"]),
        description=known["description"],
        reference_kind=reference_kind(store, known),
        sources=sources_of(store, str(known["dataset"])),
        rows=rows,
        left_out=_left_out(store, table),
        scores=histogram(store, table, DEFAULT_SCORE, EVERYTHING),
        score_summary=summary(store, table, DEFAULT_SCORE, EVERYTHING),
        noise_floors=known["noise_floors"],
        evidence=evidence_of(store, run, workspace),
        trials=trials,
        selection=chosen,
        scored_at=datetime.fromtimestamp(scored_at, UTC),
        made_at=datetime.now(UTC),
    )


def trials_of_run(workspace: Path, run: str) -> list[ReportedTrial]:
    """The trials of a run, and those that cannot be read, of which nothing tells the run."""
    found = [_trial(workspace, name) for name in trial_names(workspace)]
    return [trial for trial in found if trial.plan is None or trial.plan.run == run]


def _trial(workspace: Path, name: str) -> ReportedTrial:
    try:
        trial = load_trial(workspace, name)
    except UserError as error:
        return ReportedTrial(name, objection=str(error))
    found = ReportedTrial(name, trial.plan, trial.fixed, len(trial.held_out))
    try:
        return replace(found, results=trial.results())
    except UserError as error:
        return replace(found, objection=str(error))


def _left_out(store: Store, table: str) -> pd.DataFrame:
    meanings = " ".join(f"WHEN {flag} THEN '{FLAGS[flag]}'" for flag in _WITHOUT_SCORE)
    return store.frame(
        f"""
        SELECT coalesce(reason, CASE {meanings} END) AS reason, count(*) AS rows
        FROM {table} WHERE {DEFAULT_SCORE} IS NULL GROUP BY ALL ORDER BY rows DESC, 1
        """
    )


def _selection(store: Store, run: str, name: str) -> ReportedSelection:
    recipe = saved_selection(store, name)
    if recipe.run != run:
        raise SelectionInvalid(
            f"The selection {name!r} selects from the run {recipe.run!r}, not from {run!r}. Give a selection of the "
            "reported run, or report the other run."
        )
    found = select_summary(store, recipe)
    table = str(store.run(run)["table"])
    scores = histogram(store, table, recipe.score, store.searched(recipe.filter))
    fields = manifest(store, recipe, found, {}, name)
    del fields["output"]
    return ReportedSelection(name, recipe, found, scores, fields)
