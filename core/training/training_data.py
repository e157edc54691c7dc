"""What a training job trains on: its encoded rows, the models that it makes, and the rows of each."""

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import pandas as pd

from ..data.encoded import Encoded
from ..data.folds import trained_rows
from ..encoding.encode import encode_examples
from ..encoding.encoding_spec import EncodingSpec
from ..jobs.job import Job, read_examples_file
from ..models.loading import load_tokenizer
from ..models.resolving import ModelSpec
from ..models.vocabulary import readable_ids, without_unreadable
from .folding import folds_of

HELD_OUT = "held_out"
"""Name of the file of examples that are only evaluated, in jobs that bring them along."""
_LARGEST_SAMPLE = 512

log = logging.getLogger("worker")


@dataclass(frozen=True, slots=True)
class Member:
    """One model of a job: the seed of its training, the fold that it never sees (None: trained on all), its name below
    the reference (empty: it is the reference), and folders for the finished model and for what is only needed while it
    trains."""

    label: str
    seed: int
    fold: int | None
    folder: Path
    work: Path

    def to_fields(self) -> dict[str, Any]:
        """What is recorded of it beside the job's settings."""
        return {"seed": self.seed} | ({} if self.fold is None else {"fold": self.fold})


def members_of(job: Job) -> list[Member]:
    """The models that a job makes, in order."""
    request, folder = job.request, job.folder
    if not request.get("members"):
        return [Member(request["name"], request["seed"], None, folder / "model", folder)]
    finished = folder / "members" if not (folder / "model").exists() else folder / "model"
    return [
        Member(f"{request['name']}/{one['model']}", one["seed"], one["fold"], finished / one["model"],
               folder / "work" / one["model"])
        for one in request["members"]
    ]  # fmt: skip


@dataclass(frozen=True)
class HeldOutRow:
    """An encoded row with its id and domain, to be evaluated."""

    example_id: str
    domain: str
    encoded: Encoded


@dataclass(frozen=True)
class TrainingData:
    """A job's rows in their order, encoded, with the folds if there are any; `apart`: rows that are only evaluated."""

    tokenizer: Any
    example_ids: list[str]
    domains: list[str]
    encoded: list[Encoded]
    folds: pd.DataFrame | None
    apart: list[HeldOutRow]

    @classmethod
    def of(cls, job: Job) -> Self:
        """Read and encode a job's examples, and make its folds."""
        base = ModelSpec(**job.request["base"])
        tokenizer = load_tokenizer(base, EncodingSpec(**job.request["encoding"]).tokenizer_fingerprint)
        example_ids, domains, encoded = _encoded(job, "examples", tokenizer, base)
        apart: list[HeldOutRow] = []
        if (job.folder / f"{HELD_OUT}.parquet").exists():
            found = zip(*_encoded(job, HELD_OUT, tokenizer, base), strict=True)
            apart = [HeldOutRow(*row) for row in found if row[2].reason is None]
        return cls(tokenizer, example_ids, domains, encoded, folds_of(job, example_ids, domains), apart)

    @cached_property
    def _by_example(self) -> pd.DataFrame | None:
        return None if self.folds is None else self.folds.set_index("example_id").reindex(self.example_ids)

    def rows_of(self, member: Member) -> list[int]:
        """Numbers of the rows that a model is trained on: those of the other folds, not held out, with a response.

        Examples without a fold, added after the folds were made elsewhere, are trained on by no model.
        """
        if self._by_example is None:
            return [row for row, item in enumerate(self.encoded) if item.reason is None]
        known = self._by_example["fold"].notna()
        allowed = trained_rows(self._by_example.fillna({"held_out": True}), member.fold) & known
        return [row for row, item in enumerate(self.encoded) if item.reason is None and allowed.iloc[row]]

    def held_out_rows(self) -> list[HeldOutRow]:
        """Rows that no model is trained on, each example once."""
        if self._by_example is None:
            return self.apart
        held = self._by_example["held_out"].fillna(False)
        rows = {self.example_ids[row]: row for row in range(len(self.encoded)) if held.iloc[row]}
        return [self._row(row) for row in rows.values() if self.encoded[row].reason is None] + self.apart

    def sample_of(self, rows: list[int]) -> list[HeldOutRow]:
        """An even sample of the rows that a model is trained on, about as many as are held out."""
        size = min(_LARGEST_SAMPLE, len(self.held_out_rows())) or 1
        return [self._row(row) for row in rows[:: max(1, len(rows) // size)]]

    def _row(self, row: int) -> HeldOutRow:
        return HeldOutRow(self.example_ids[row], self.domains[row], self.encoded[row])


def _encoded(job: Job, name: str, tokenizer: Any, base: ModelSpec) -> tuple[list[str], list[str], list[Encoded]]:
    example_ids, examples, domains = read_examples_file(job, name)
    encoded = encode_examples(examples, tokenizer, EncodingSpec(**job.request["encoding"]))
    return example_ids, domains, without_unreadable(encoded, readable_ids(base, base))
