"""The target's side of gradient similarity: its usable rows, and the mean unit gradient of each subtask."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ...data.encoded import Encoded
from ...data.errors import NoUsableRows
from ...data.listing import counted
from ...jobs.example_chunks import ExampleFile
from ...jobs.job import Job
from ...models.vocabulary import ReadableIds, without_unreadable
from ...scoring.encoding_ahead import ChunkEncoder
from .features import RowGradients, unit


@dataclass(frozen=True)
class Target:
    """Usable rows with their domains, which are the subtasks, and how many others there are, by reason."""

    rows: list[tuple[str, Encoded]]
    reasons: dict[str, int]

    @property
    def subtasks(self) -> dict[str, int]:
        """Number of usable rows by domain, in the order of the means."""
        return dict(sorted(Counter(domain for domain, _ in self.rows).items()))


def read_target_rows(job: Job, readable: ReadableIds, check: Callable[[], None]) -> Target:
    """The rows of a job's `target.parquet`, encoded. Raises `NoUsableRows` if none has a scored token."""
    file = ExampleFile(job.folder / "target.parquet")
    encoder, reasons = ChunkEncoder(job, file, check), Counter[str]()
    found: list[tuple[str, Encoded]] = []
    for chunk in file.chunks():
        domains = file.table(chunk.start, chunk.end)["domain"].to_pylist()
        for domain, row in zip(domains, without_unreadable(encoder.encode(chunk), readable), strict=True):
            if row.reason is None:
                found.append((domain, row))
            else:
                reasons[row.reason] += 1
    if not found:
        raise NoUsableRows(
            f"No row of the target has a token to learn from ({counted(reasons)}). Give rows whose replies fit the "
            "run's maximum length."
        )
    return Target(found, dict(reasons))


def mean_directions(
    target: Target, gradients: RowGradients, gradient: Callable[[Encoded], torch.Tensor]
) -> tuple[torch.Tensor, int]:
    """The mean unit gradient of each subtask [subtasks x weights], and the number of rows without a gradient (zero, or
    not finite), which count as zero in it."""
    subtasks, without = target.subtasks, 0
    means = gradients.zeros(len(subtasks))
    for domain, row in target.rows:
        direction = unit(gradient(row))
        if direction is None:
            without += 1
        else:
            means[list(subtasks).index(domain)].add_(direction, alpha=1 / subtasks[domain])
    return means, without
