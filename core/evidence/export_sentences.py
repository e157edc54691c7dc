"""What an export's readers are told about the evidence: the run's verdicts, and the trial of the selection."""

from pathlib import Path

from ..data.errors import UserError
from ..selection import Selection
from ..store import Store
from .findings import evidence_of
from .selection_evidence import NO_TRIAL, selection_evidence


def export_sentences(store: Store, workspace: Path, selection: Selection) -> list[str]:
    """One sentence or two for each question, with intervals where something was measured. Nothing if a trial's files
    do not fit, so that they hinder no export."""
    try:
        *of_the_run, beats_random = evidence_of(store, selection.run, workspace).verdicts
        trial = selection_evidence(workspace, selection)
    except UserError:
        return []
    found = [f"{verdict.question} {verdict.answer}" for verdict in of_the_run]
    return [*found, f"{beats_random.question} {trial.sentence if trial else NO_TRIAL}"]
