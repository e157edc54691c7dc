"""Verdicts: the answer to each question that a reader of a run's scores should ask, in a sentence or two."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import pandas as pd

from ..data.version import COMMAND
from ..scoring.reference_kind import CROSS_FITTED, IN_SAMPLE, OUT_OF_SAMPLE, ReferenceKind
from .end_of_turn import end_sentence
from .memory import in_sample_sentence
from .reference_health import Health, moved
from .result_fields import ArmResult, TrialResults
from .result_sentences import named_arm
from .stability import Agreement
from .trial_statistics import BETTER

_TRAIN = f"{COMMAND} train --folds 2 --held-out 0.1"
_STRONG = 0.3
"""A rank correlation with length of this size changes which rows are selected."""
_MUCH = 0.5
_NAMED = 3
"""The most domains or trials that a verdict names."""


class Standing(StrEnum):
    """Whether an answer supports the scores."""

    FINE = "fine"
    CAUTION = "caution"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one question, in a sentence or two."""

    question: str
    standing: Standing
    answer: str


def memory_verdict(kind: ReferenceKind, memory: pd.DataFrame, trained_top: pd.DataFrame, health: Health) -> Verdict:
    """Is it memory? From `memory_by_domain`, and of a run with one reference from `trained_in_top` and its health."""
    question = "Is it memory?"
    if kind.kind == CROSS_FITTED:
        judged = "No: each row was judged by models that never saw it."
        return Verdict(question, Standing.FINE, f"{judged} {_avoided(memory)}")
    if kind.kind == OUT_OF_SAMPLE:
        return Verdict(question, Standing.FINE, "No: the reference was trained on none of these rows.")
    falls, by_domain = health.falls[health.falls["overall"]], health.falls[~health.falls["overall"]]
    top = in_sample_sentence(trained_top)
    if not falls["memory_share"].notna().any():
        return Verdict(question, *_unmeasured_memory(kind, top))
    held_out, own = falls[["held_out_fall", "own_fall"]].iloc[0]
    measured = f"on unseen rows the loss {moved(held_out)}, on the reference's own rows it {moved(own)}"
    named = [str(name) for name in by_domain.loc[by_domain["memory_share"] > _MUCH, "domain"]]
    if len(named) == len(by_domain):
        return Verdict(question, Standing.CAUTION, f"Mostly: {measured}.{f' {top}' if top else ''}")
    if named:
        where = _listed(named, "domains")
        return Verdict(question, Standing.CAUTION, f"Mostly in {where}; over all domains {measured}.")
    return Verdict(question, Standing.FINE, f"To a smaller part: {measured}.")


def length_verdict(found: pd.DataFrame, end: pd.DataFrame) -> Verdict:
    """Is it length or the end token? From `length_bias` and `end_of_turn`."""
    question = "Is it length or the end token?"
    said = end_sentence(end)
    more = f" {said}" if said else ""
    by_end = bool((end.loc[end["overall"], "end_share"] > _MUCH).any())
    within = found[~found["overall"]]["spearman_learnability"].dropna()
    if within.empty:
        answer = "No domain has rows of different lengths and scores."
        return Verdict(question, Standing.CAUTION if by_end else Standing.UNKNOWN, f"{answer}{more}")
    low, high = float(within.min()), float(within.max())
    figures = f"{low:+.2f}" if len(within) == 1 else f"{low:+.2f} to {high:+.2f}"
    measured = f"Spearman of learnability with response length is {figures} within domains"
    strongest = max((low, high), key=abs)
    if abs(strongest) < _STRONG:
        how, standing = ("Mostly the end token", Standing.CAUTION) if by_end else ("Hardly", Standing.FINE)
        return Verdict(question, standing, f"{how}: {measured}.{more}")
    which = "short" if strongest < 0 else "long"
    answer = f"Partly: {measured}, so the top has more {which} rows than the data.{more}"
    return Verdict(question, Standing.CAUTION, answer)


def stability_verdict(seeds: Agreement | None, other_runs: Sequence[Agreement]) -> Verdict:
    """Is it stable? By the seeds of the reference, else by another run of the dataset."""
    question = "Is it stable?"
    agreements = [seeds] if seeds else other_runs
    if not agreements:
        several = f"{COMMAND} train --folds 2 --seeds 2"
        answer = f"Not measured: there is no second reference to compare with. To train two: {several}"
        return Verdict(question, Standing.UNKNOWN, answer)
    said = agreements[0].said
    steady = (said[1] if said else agreements[0].spearman) > _MUCH
    answer = agreement_sentence(agreements[0], "two references" if seeds else "the references of two runs")
    return Verdict(question, Standing.FINE if steady else Standing.CAUTION, answer)


def stability_sentences(own: Agreement | None, other_runs: Sequence[Agreement], spread: pd.DataFrame) -> list[str]:
    """What is known beside the verdict: other runs, own against cross-fitted scores, and the spread over seeds."""
    found = [agreement_sentence(other, f"this run and {other.label}") for other in other_runs]
    if own:
        found.append(agreement_sentence(own, "own and cross-fitted scores"))
    for seeds, rows in spread.loc[spread["overall"], ["seed_spread", "row_spread"]].itertuples(index=False):
        found.append(
            f"From seed to seed a row's learnability varies by {seeds:.3f} (median standard deviation), from row "
            f"to row by {rows:.3f}."
        )
    return found


def agreement_sentence(agreement: Agreement, who: str) -> str:
    """The overlap of the tops, and the rank correlation within domains."""
    ranks = f"Spearman within domains: {agreement.spearman:.2f}."
    said = agreement.sentence(who)
    return f"{said} {ranks}" if said else f"Rankings of {who}: {ranks}"


def trial_verdict(newest: TrialResults | None, run: str) -> Verdict:
    """Does it beat random? What the run's newest trial says of its selections."""
    question = "Does it beat random?"
    if newest is None:
        answer = (
            "No trial has been run: only training on a selection and on random rows with the same budget shows whether "
            f"selecting helps. Plan one with: {COMMAND} trial plan --run {run}"
        )
        return Verdict(question, Standing.UNKNOWN, answer)
    selections = [arm for arm in newest.arms if arm.kind == "selection"]
    verdicts = {arm.verdict for arm in selections}
    standing = Standing.UNKNOWN if None in verdicts else Standing.CAUTION
    if verdicts == {BETTER}:
        standing = Standing.FINE
    if len(selections) == 1:
        return Verdict(question, standing, f"Trial {newest.trial!r}. {_arm_sentence(selections[0])}")
    return Verdict(question, standing, f"Trial {newest.trial!r}: {_counted(selections)}")


def trial_details(newest: TrialResults | None) -> list[str]:
    """What the verdict on several selections counts: a sentence for each."""
    selections = [arm for arm in newest.arms if arm.kind == "selection"] if newest else []
    return [_arm_sentence(arm) for arm in selections] if len(selections) > 1 else []


def _arm_sentence(arm: ArmResult) -> str:
    return f"{named_arm(arm.arm, arm.ratio)}: {arm.sentence}."


def _counted(selections: Sequence[ArmResult]) -> str:
    """How many selections have which verdict, and the one with the lowest loss, with its interval."""
    verdicts = [arm.verdict or "without a verdict" for arm in selections]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in sorted(set(verdicts)))
    said = f"of {len(selections):,} selections, {counts}."
    measured = {named_arm(arm.arm, arm.ratio): found for arm in selections if (found := arm.difference)}
    if not measured:
        return said
    best = min(measured, key=lambda name: measured[name].value)
    found = measured[best]
    interval = f"[{found.low:+.3f}, {found.high:+.3f}]"
    return f"{said} Lowest loss: {best}, {found.value:+.3f} nats per token from random {interval}."


def _unmeasured_memory(kind: ReferenceKind, top: str | None) -> tuple[Standing, str]:
    how = f"To measure it: {_TRAIN}, then {COMMAND} score --own"
    if kind.kind == IN_SAMPLE:
        seen = top or "The reference was trained on all of these rows."
        return Standing.CAUTION, f"Partly, but how much is not known. {seen} {how}"
    return Standing.UNKNOWN, f"Not known: there is no record of what the reference was trained on. {how}"


def _avoided(memory: pd.DataFrame) -> str:
    share = memory.loc[memory["overall"], "memory_share"].dropna().tolist()
    if not share:
        return f"To see how much memory that avoids: {COMMAND} score --own"
    return f"{min(max(share[0], 0), 1):.0%} of what models gained on their own rows is memory; it is not in the score."


def _listed(names: Sequence[str], what: str) -> str:
    more = f" and {len(names) - _NAMED:,} other {what}" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
