"""Plans a scoring job as passes over its examples, each with one model, or with two that share weights.

If the examples that one model lacks include those of the other, both read the same file. A reference that is an adapter
on exactly this base then needs no separate pass: the weights are loaded once, and every batch is computed with the
adapter and without. If disabling the adapter does not restore the base, each model gets its own pass.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..jobs.example_chunks import ExampleFile
from ..jobs.job import Job
from ..models.adapter_facts import base_change
from ..models.resolving import ModelSpec
from ..system.atomic_files import write_durably
from .loss_shards import CompletionMask

_APART = "apart.txt"


@dataclass(frozen=True, slots=True)
class ModelTask:
    """One model's task in a pass: the rows of the file that it must score, and which of them are finished."""

    role: str
    spec: ModelSpec
    wanted: NDArray[np.bool_]
    finished: CompletionMask

    def waiting(self, start: int = 0, end: int | None = None) -> NDArray[np.bool_]:
        """Mask of the rows [start, end) still to compute, as of the last `refresh`."""
        part = slice(start, end)
        waiting: NDArray[np.bool_] = self.wanted[part] & ~self.finished.mask[part]
        return waiting


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over a file's chunks. `keeps`: a later pass reads its encoded rows again."""

    examples: ExampleFile
    sides: tuple[ModelTask, ...]
    keeps: bool

    @property
    def name(self) -> str:
        """Base, reference, or both, for use in file names."""
        return "-".join(side.role for side in self.sides)

    @property
    def models(self) -> str:
        """For messages: "the base model"."""
        return "both models" if len(self.sides) > 1 else f"the {self.sides[0].role} model"

    @property
    def loaded(self) -> ModelSpec:
        """The model to load, with its adapter if there is one."""
        return next((side.spec for side in self.sides if side.spec.adapter), self.sides[0].spec)

    def refresh(self) -> None:
        """Read new shards."""
        for side in self.sides:
            side.finished.refresh()

    def waiting_rows(self) -> NDArray[np.bool_]:
        """Mask of the rows that at least one model still has to compute."""
        waiting: NDArray[np.bool_] = np.logical_or.reduce([side.waiting() for side in self.sides])
        return waiting

    def count(self) -> tuple[int, int]:
        """Rows finished by all models that need them, and the total number of rows."""
        wanted = int(np.logical_or.reduce([side.wanted for side in self.sides]).sum())
        return wanted - int(self.waiting_rows().sum()), wanted


def is_adapter_on(base: ModelSpec, reference: ModelSpec) -> bool:
    """Whether the reference is an adapter on exactly this base."""
    return bool(reference.adapter and not base.adapter and reference.path == base.path)


def share_weights(base: ModelSpec, reference: ModelSpec) -> bool:
    """Whether both models can share weights: the reference is an adapter on this base, and according to its files,
    disabling it restores the base."""
    return is_adapter_on(base, reference) and base_change(reference) is None


def keep_apart(job: Job) -> None:
    """Record that the job's models need separate passes: disabling the adapter did not restore the base's losses."""
    write_durably(job.folder / _APART, [b"With its adapter off, the reference did not give the base's own losses."])


def are_apart(job: Job) -> bool:
    """Whether `keep_apart` was called for the job."""
    return (job.folder / _APART).exists()


def why_apart(job: Job) -> str | None:
    """Why base and reference need separate passes although one is an adapter on the other; None if they do not."""
    specs = {part["role"]: ModelSpec(**part["model"]) for part in job.request["parts"]}
    if specs.keys() != {"base", "reference"} or not is_adapter_on(specs["base"], specs["reference"]):
        return None
    change = base_change(specs["reference"])
    if change is None and are_apart(job):
        change = "does not restore the base's losses when it is disabled"
    return (
        change
        and f"base and reference are scored in separate passes: the adapter {specs['reference'].label!r} {change}"
    )


def plan_passes(job: Job) -> list[Pass]:
    """The job's passes, in order."""
    request: dict[str, Any] = job.request
    specs = {part["role"]: ModelSpec(**part["model"]) for part in request["parts"]}
    files = {role: ExampleFile(job.folder / f"{role}.parquet") for role in specs}
    largest = max(files.values(), key=len, default=None)
    if largest is None:
        return []
    is_of_largest = {role: np.isin(file.ids, largest.ids, assume_unique=True) for role, file in files.items()}
    together = all(inside.all() for inside in is_of_largest.values())
    sides = []
    for role, spec in specs.items():
        examples = largest if together else files[role]
        wanted = np.isin(examples.ids, files[role].ids, assume_unique=True)
        sides.append((examples, ModelTask(role, spec, wanted, CompletionMask(job, role, examples.ids))))
    base, *others = specs.values()
    alike = len(others) == 1 and "base" in specs and share_weights(base, others[0])
    if together and alike and not are_apart(job):
        return [Pass(largest, tuple(side for _, side in sides), False)]
    last = len(sides) - 1
    return [Pass(examples, (side,), together and turn < last) for turn, (examples, side) in enumerate(sides)]
