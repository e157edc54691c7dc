"""The newest runs in short: figures, what trials say of them, and what to do next."""

from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from ..data.errors import UserError
from ..evidence.selection_evidence import NO_TRIAL, selection_evidence
from ..scoring.reference_kind import reference_kind, reference_label
from ..selection import saved_selection, selections_of_run
from ..store import Store

NEWEST = 6
"""Runs that are summarised; the others are counted."""


class NextStep(StrEnum):
    """What a run lacks."""

    SCORE = "score"
    """Some of its rows have no score."""
    SELECT = "select"
    """No selection of it is saved."""
    TRIAL = "trial"
    """No trial has compared its newest selection with random rows."""
    EXPORT = "export"
    """Nothing: its selection can be exported."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run in short. `scored` of its `rows` have a learnability, with this median; None if none has.

    `selection`: the newest saved selection of the run; `evidence`: what is known of it, in a sentence.
    """

    name: str
    dataset: str
    base: str
    reference: str
    reference_kind: str
    rows: int
    scored: int
    median_learnability: float | None
    selection: str | None
    evidence: str
    next_step: NextStep


def newest_runs(store: Store) -> tuple[list[RunSummary], int]:
    """Summaries of the newest runs, newest first, and the number of all runs.

    One query a run reads its scores, and the store caches its result.
    """
    names = [str(name) for (name,) in store.rows("SELECT name FROM run ORDER BY created_at DESC, run_id DESC")]
    newest = ((name, next(iter(selections_of_run(store, name)), None)) for name in names[:NEWEST])
    return [_summary(store, name, selection) for name, selection in newest], len(names)


def _summary(store: Store, name: str, selection: str | None) -> RunSummary:
    run = store.run(name)
    rows, scored, median = store.rows(
        f"SELECT count(*), count(learnability), median(learnability) FROM {run['table']}"
    )[0]  # fmt: skip
    found = None
    evidence = "No selection of this run is saved yet."
    if selection:
        evidence = NO_TRIAL
        with suppress(UserError):  # the Evidence page says what is wrong with a trial's files
            found = selection_evidence(store.workspace, saved_selection(store, selection))
        if found:
            # The verdict and how its p was adjusted; without the second, the interval seems to deny the first.
            evidence = "; ".join(found.sentence.removesuffix(".").split("; ")[:2]) + "."
    if not scored:
        step = NextStep.SCORE
    elif selection is None:
        step = NextStep.SELECT
    else:
        step = NextStep.EXPORT if found and found.verdict else NextStep.TRIAL
    return RunSummary(
        name=name,
        dataset=str(run["dataset"]),
        base=str(run["description"].get("models", {}).get("base", {}).get("label", "")),
        reference=reference_label(run["description"]) or "",
        reference_kind=reference_kind(store, run).sentence,
        rows=rows,
        scored=scored,
        median_learnability=median,
        selection=selection,
        evidence=evidence,
        next_step=step,
    )
