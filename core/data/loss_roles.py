"""Loss roles: what the losses of a run stand for, and which job computes them.

A run holds any number of loss sets, one for each role. A score names the roles that it needs (`scores.Score.roles`).
An imported score needs itself: its name is among the roles of the runs of its dataset.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from .errors import SelectionInvalid
from .version import COMMAND


@dataclass(frozen=True, slots=True)
class LossRole:
    """One role: `meaning` says what the losses are, `command` computes them.

    `was_trained`: the model may have been trained on rows of the run, which are then flagged `trained_on`.
    `is_partial`: it is natural that some rows have no such loss.
    """

    name: str
    meaning: str
    command: str
    was_trained: bool = False
    is_partial: bool = False


LOSS_ROLES = {
    role.name: role
    for role in (
        LossRole("base", "losses under the pretrained base model", f"{COMMAND} score"),
        LossRole("reference", "losses under the fine-tuned reference model", f"{COMMAND} score", was_trained=True),
        LossRole(
            "own",
            "losses under the models of a cross-fitted reference that were trained on the row",
            f"{COMMAND} score --own",
            is_partial=True,
        ),
        LossRole(
            "seed_spread",
            "the standard deviation of the reference's losses over its seeds",
            f"{COMMAND} train --folds 2 --seeds 2",
            is_partial=True,
        ),
        LossRole(
            "base_alone",
            "losses of the responses without their prompts under the base model",
            f"{COMMAND} promptless --run RUN",
            is_partial=True,
        ),
        LossRole(
            "reference_alone",
            "losses of the responses without their prompts under the reference model",
            f"{COMMAND} promptless --run RUN --reference",
            is_partial=True,
        ),
        LossRole(
            "null_reference",
            "losses of the responses under a reference trained without prompts",
            f"{COMMAND} promptless --run RUN --null-reference NAME",
            is_partial=True,
        ),
    )
}
"""Every role that a score can name. A cross-fitted reference of several seeds also has one for each (`seed_role`)."""


def seed_role(seed: int) -> str:
    """The role of the losses under one seed's models of a cross-fitted reference."""
    return f"reference_seed_{seed}"


PAIRS = "preference_pairs"
"""What the scores of preference pairs need besides losses: a dataset with pairs."""
IMPORTED = "imported_"
"""Beginning of the name of every imported score."""
_IMPORTED_NAME = re.compile(rf"{IMPORTED}[a-z0-9_]{{1,40}}")
IMPORT_COMMAND = f"{COMMAND} scores import FILE --run RUN"


def is_imported(name: str) -> bool:
    """Whether this is the name of an imported score, and so a column's name that is safe in SQL."""
    return bool(_IMPORTED_NAME.fullmatch(name))


def missing_roles_sentence(label: str, needed: Iterable[str], present: Collection[str]) -> str | None:
    """What a score of that label lacks in a run with the roles `present`, and which job brings it; None if nothing."""
    missing = [name for name in needed if name not in present]
    if not missing:
        return None
    if any(is_imported(name) for name in missing):
        return f"{label} is not in this run's dataset. Import it with: {IMPORT_COMMAND}"
    if PAIRS in missing:
        return f"{label} needs preference pairs, and this run's dataset has none. Import a file of pairs and score it."
    lacking = " and ".join(LOSS_ROLES[name].meaning for name in missing)
    commands = dict.fromkeys(LOSS_ROLES[name].command for name in missing)
    return f"{label} needs {lacking}, which this run lacks. Compute them with: {', then '.join(commands)}"


def require_roles(label: str, needed: Iterable[str], present: Collection[str]) -> None:
    """Raise `SelectionInvalid` if a score of that label cannot be computed from the roles `present`."""
    sentence = missing_roles_sentence(label, needed, present)
    if sentence:
        raise SelectionInvalid(sentence)
