"""Does it beat random? The results of the run's trials."""

from collections.abc import Sequence

from core.evidence.result_fields import TrialResults
from core.evidence.verdicts import Verdict
from ui.evidence.verdict_card import show_sentences, verdict_card


def show_trials(verdict: Verdict, results: Sequence[TrialResults] = ()) -> None:
    """The card: the sentences of each trial; without a trial, the verdict alone."""
    with verdict_card(verdict):
        for trial in results:
            show_sentences([f"{trial.trial}: {sentence}" for sentence in trial.sentences])
