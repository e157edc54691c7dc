"""What an export's readers are told about the evidence: the run's four verdicts and the trial of the selection."""

from pathlib import Path

from ..data.errors import UserError
from ..selection import Selection
from ..store import Store
from .findings import evidence_of
from .selection_evidence import NO_TRIAL, selection_evidence


def export_sentences(store: Store, workspace: Path, selection: Selection) -> list[str]:
    """The sentences, with their intervals where something was measured. None of those that cannot be read, so that
    they hinder no export."""
    try:
        verdicts = evidence_of(store, selection.run, workspace).verdicts
        own = selection_evidence(workspace, selection)
    except UserError:
        return []
    return [*(f"{verdict.question} {verdict.answer}" for verdict in verdicts), own.sentence if own else NO_TRIAL]
