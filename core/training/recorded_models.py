"""What a training job recorded of its models so far: where their loss curves lie, and which one is in work."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..jobs.job import Job
from ..models.folder_check import read_json
from ..models.resolving import PROVENANCE

CURVE, STEPS, PASSES, HELD_OUT_LOSSES = "curve.jsonl", "steps.jsonl", "passes.jsonl", "held_out_losses.parquet"
"""Training loss by domain in windows, and of every step (`loss_curve`); losses on held-out and own rows by
pass, and of each held-out row at the end (`held_out`)."""
WORK = "work"
"""Folder in a job's folder of what the model in work needs."""


@dataclass(frozen=True, slots=True)
class RecordedModel:
    """One model of a job: its place among the job's `models` (from 1), what tells it from the others, and the folder of
    its records. A reference of one model has no label."""

    place: int
    models: int
    label: str
    folder: Path

    @property
    def title(self) -> str:
        """For people: "Model 2 of 4: fold 1, seed 0"; empty for the only model."""
        return f"Model {self.place} of {self.models}: {self.label}" if self.models > 1 else ""

    def lines(self, name: str) -> list[dict[str, Any]]:
        """The whole lines of one of its records; the last one may still be in writing."""
        path = self.folder / name
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def recorded_models(job: Job) -> list[RecordedModel]:
    """The models of a training job that have begun, in order; the last one of a running job is in work."""
    members = job.request.get("members")
    if not members:
        return [RecordedModel(1, 1, "", job.folder)] if (job.folder / CURVE).exists() else []
    folders = [job.folder / "members", job.folder / "model", *_published(job), job.folder / WORK]
    found = []
    for place, one in enumerate(members, 1):
        folder = next((path for each in folders if ((path := each / one["model"]) / CURVE).exists()), None)
        if folder:
            found.append(RecordedModel(place, len(members), f"fold {one['fold']}, seed {one['seed']}", folder))
    return found


def overall_share(job: Job) -> float:
    """Share of a job's work that is done, 0 to 1: of all models, where it trains several."""
    progress = job.progress
    if not job.request.get("members"):
        return progress.share
    begun = recorded_models(job)
    if not begun:
        return 0.0
    last = begun[-1]
    is_in_work = last.folder.parent.name == WORK
    done = progress.share if is_in_work and progress.unit == "steps" else float(not is_in_work)
    return (last.place - 1 + done) / last.models


def _published(job: Job) -> list[Path]:
    """The reference's folder, if it is the one that this job made."""
    folder = job.folder.parent.parent / "models" / job.request["name"]
    identity = job.request.get("identity")
    return [folder] if identity and read_json(folder / PROVENANCE).get("identity") == identity else []
