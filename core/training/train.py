"""A training job: fine-tunes the base on the tokens that the scorer scores, and saves the reference.

A reference is one model, or with folds one for each fold and seed, trained one after another. transformers' Trainer
runs the loop and peft holds the adapter. Batches, loss and the curve of each domain are ours (`trainer`), so that
training and scoring use the same encoding and mask.
"""

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import transformers

from ..data.errors import JobCancelled, ModelUnusable, NoUsableRows, TrainingDiverged
from ..data.version import __version__
from ..engine.training_engine import TrainingEngine
from ..jobs.job import Job
from ..jobs.job_progress import Progress
from ..jobs.side_by_side import at_once_of
from ..models.devices import resolve_device
from ..models.folder_check import read_json
from ..models.folds_file import FOLDS_FILE
from ..models.provenance import FILES, PROVENANCE, WEIGHTS, damages, listed_files, provenance_bytes
from ..models.resolving import ModelSpec, weights_digest
from ..models.unchanged_files import unchanged_model
from ..system.atomic_files import flush_folder, rename_durably, write_durably
from .checkpoint_keeping import CheckpointKeeper
from .checkpoints import CHECKPOINTS, last_checkpoint
from .full_disk import room_when_disk_is_full
from .held_out import HeldOutLosses, LossByPass
from .kept_checkpoints import KEPT
from .memory_plan import plan_memory
from .ranks import KeepTogether, Ranks
from .recorded_models import CURVE, HELD_OUT_LOSSES, PASSES, STEPS, WORK
from .reporting import TrainingReporter
from .trainable_model import trainable_model
from .trainer import ReferenceTrainer
from .training_data import Member, TrainingData, members_of
from .training_plan import check_numbers
from .training_processes import train_by_processes

log = logging.getLogger("worker")
_EVALUATING = "Evaluating on held-out rows"
_EVALUATING_FIRST = "Evaluating the base on held-out rows, before the first step"
_SUMMED = ("steps", "input_tokens", "scored_tokens", "seen_examples")


def train_reference(job: Job, lock: int | None = None) -> dict[str, Any]:
    """Train as the job's request says; the reference is left in the job's folder `model/`, provenance last.

    Request: base (ModelSpec fields), encoding, method ("lora" or "full"), epochs or a budget, learning_rate, seed,
    batch_tokens, device, and what to record; `members` if there are several models; `processes` if there are several
    (they get `lock`, the descriptor of the job's lock). Goes on from the last whole checkpoint of a worker that died;
    finished models are kept.
    """
    check_numbers(job.request)
    processes = job.request.get("processes", 1)
    return train_members(job) if processes == 1 else train_by_processes(job, processes, lock)


def train_members(job: Job, ranks: Ranks | None = None) -> dict[str, Any]:
    """Train in this process, with those of `ranks`; returns the outcome's fields, in the first one only."""
    with room_when_disk_is_full(job.folder):
        return _train_members(job, ranks or Ranks())


def _train_members(job: Job, ranks: Ranks) -> dict[str, Any]:
    began = time.monotonic()
    job.report(Progress("Reading the examples"))
    for notice in job.request.get("description", {}).get("notices", ()):
        log.info("%s", notice)
    data = TrainingData.of(job)
    only = job.request.get("only_model")  # on a cluster, each model has its own worker
    members = [member for member in members_of(job) if only in (None, member.folder.name)]
    reports = [_trained(job, data, member, (place, len(members)), ranks) for place, member in enumerate(members)]
    if not ranks.is_first:
        return {}
    if job.request.get("members") and only is None:
        _assemble(job, data, reports)
    shutil.rmtree(job.folder / WORK, ignore_errors=True)
    return {
        "elapsed_seconds": time.monotonic() - began,
        **{name: sum(report.get(name, 0) for report in reports) for name in _SUMMED},
        "trained_examples": max(report["trained_examples"] for report in reports),
        "models": len(reports),
        "notices": job.notices,
    }


def _trained(job: Job, data: TrainingData, member: Member, place: tuple[int, int], ranks: Ranks) -> dict[str, Any]:
    """Train one model, unless it is there and whole; returns its provenance."""
    provenance = read_json(member.folder / PROVENANCE)
    if not provenance or any(damages(member.folder, provenance)):
        _train(job, data, member, place, ranks)
        provenance = read_json(member.folder / PROVENANCE)
    return provenance


def _train(job: Job, data: TrainingData, member: Member, place: tuple[int, int], ranks: Ranks) -> None:
    request, rows = job.request, data.rows_of(member)
    if not rows:
        raise NoUsableRows(f"None of the {len(data.example_ids):,} examples has a response left to learn from.")
    job.report(Progress("Loading the base model"))
    log.info("training %s on %s of %s examples", member.label, f"{len(rows):,}", f"{len(data.example_ids):,}")
    member.work.mkdir(parents=True, exist_ok=True)
    transformers.set_seed(member.seed)
    device = resolve_device(request["device"])
    model = trainable_model(request, device)
    with _out_of_memory_explained(request["batch_tokens"]):
        engine = TrainingEngine(model)
        lengths = [len(data.encoded[row].input_ids) for row in rows]
        sharing = ranks.count * at_once_of(job)
        memory = plan_memory(engine, model, lengths, request["batch_tokens"], device, sharing)
    trainer = ReferenceTrainer(
        member.work,
        model,
        [data.encoded[row] for row in rows],
        [data.domains[row] for row in rows],
        {**request, "device": device, "seed": member.seed},
        engine,
        memory.part_tokens,
        ranks,
    )
    if not ranks.is_first:
        _run(trainer, ranks, request, member)
        return
    trainer.add_callback(TrainingReporter(job, trainer.window, trainer.args.max_steps, *place))
    held_out = HeldOutLosses(engine, data.held_out_rows(), data.sample_of(rows), device)
    by_pass = LossByPass(
        member.work,
        held_out,
        trainer.passes,
        bool(request.get("early_stop")),
        lambda: job.report(Progress(_EVALUATING if trainer.state.global_step else _EVALUATING_FIRST)),
    )
    if held_out and request["kind"] == "train":  # of a trial's models, only the end counts
        trainer.add_callback(by_pass)
    keeper = CheckpointKeeper(member.work, trainer.passes) if request.get("keep_checkpoints") else None
    if keeper:
        trainer.add_callback(keeper)
    began = time.monotonic()
    _run(trainer, ranks, request, member)
    if job.is_cancelled:
        raise JobCancelled(_cancelled(place))
    by_pass.finish(model, member.work)
    order = [data.example_ids[rows[row]] for row in trainer.first_epoch_order()]
    steps = trainer.state.global_step
    measured = {
        "steps": steps,
        **trainer.tokens(steps),
        "elapsed_seconds": time.monotonic() - began,
        "trained_examples": len(rows),
        **by_pass.stopped,
        "data_order": order,
    }
    _save(job, member, trainer, data.tokenizer, measured, keeper)
    by_pass.clear()


def _run(trainer: ReferenceTrainer, ranks: Ranks, request: dict[str, Any], member: Member) -> None:
    if ranks.count > 1:
        trainer.add_callback(KeepTogether(ranks))
    with _out_of_memory_explained(request["batch_tokens"]):
        trainer.train(resume_from_checkpoint=last_checkpoint(member.work))


@contextmanager
def _out_of_memory_explained(batch_tokens: int) -> Iterator[None]:
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise ModelUnusable(
            f"GPU memory ran out while training in batches of {batch_tokens:,} tokens. "
            "Lower --batch-tokens or --max-length, or free the GPU."
        ) from error


def _cancelled(place: tuple[int, int]) -> str:
    done, total = place
    where = f" in model {done + 1} of {total}" if total > 1 else ""
    return (
        f"Training was cancelled{where}: no reference was made and its checkpoints are deleted. Training again starts "
        "from the beginning. Data, earlier references and computed losses are kept."
    )


def _save(
    job: Job,
    member: Member,
    trainer: ReferenceTrainer,
    tokenizer: Any,
    measured: dict[str, Any],
    keeper: CheckpointKeeper | None,
) -> None:
    """Leave the model in its folder: written beside it, renamed when whole, provenance last."""
    request = job.request
    # Weights on a processor may be the file's own pages: other ones in their place would have been trained on.
    unchanged_model(ModelSpec(**request["base"])).check()
    if not all(bool(value.isfinite().all()) for value in trainer.model.parameters() if value.requires_grad):
        raise TrainingDiverged("Training ended with weights that are not finite numbers, so no reference was made. "
                               "Lower --learning-rate.")  # fmt: skip
    unfinished = member.folder.with_name(f"{member.folder.name}.tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    if request.get("keep_model", True):
        for config in getattr(trainer.model, "peft_config", {}).values():
            # On a node of a cluster the base may lie elsewhere than where the reference will be used.
            config.base_model_name_or_path = request.get("planned_base", request["base"]["path"])
        trainer.model.save_pretrained(unfinished, safe_serialization=True)
        if request["method"] == "full":
            tokenizer.save_pretrained(unfinished)
    for name in (CURVE, STEPS, PASSES, HELD_OUT_LOSSES):
        if (member.work / name).exists():
            shutil.copyfile(member.work / name, unfinished / name)
    if member.fold is None and (job.folder / FOLDS_FILE).exists():
        shutil.copyfile(job.folder / FOLDS_FILE, unfinished / FOLDS_FILE)
    if keeper:  # what was trained after the best pass is no part of the reference
        measured = measured | {KEPT: keeper.copy_into(unfinished, measured.get("best_step", measured["steps"]))}
    provenance = _provenance(job, member.label) | member.to_fields() | measured | {FILES: listed_files(unfinished)}
    if request.get("keep_model", True):
        provenance[WEIGHTS] = weights_digest(unfinished)
    flush_folder(unfinished)
    write_durably(unfinished / PROVENANCE, [provenance_bytes(provenance)])
    shutil.rmtree(member.folder, ignore_errors=True)
    rename_durably(unfinished, member.folder)
    shutil.rmtree(member.work / CHECKPOINTS, ignore_errors=True)


def _assemble(job: Job, data: TrainingData, reports: list[dict[str, Any]]) -> None:
    """Make one reference of the models: their folders side by side, the folds, and a provenance for all of them."""
    folder = job.folder / "members"
    if not folder.exists():
        return  # assembled before a crash
    shutil.copyfile(job.folder / FOLDS_FILE, folder / FOLDS_FILE)
    provenance = _provenance(job, job.request["name"]) | {
        "cross_fitted": {"models": job.request["members"]},
        "held_out": len(data.held_out_rows()),
        "steps": sum(report["steps"] for report in reports),
        "elapsed_seconds": sum(report["elapsed_seconds"] for report in reports),
        "trained_examples": max(report["trained_examples"] for report in reports),
        FILES: listed_files(folder),
    }
    flush_folder(folder)
    write_durably(folder / PROVENANCE, [provenance_bytes(provenance)])
    shutil.rmtree(job.folder / "model", ignore_errors=True)
    rename_durably(folder, job.folder / "model")


def _provenance(job: Job, name: str) -> dict[str, Any]:
    request = job.request
    settings = (
        "method",
        "epochs",
        "learning_rate",
        "seed",
        "batch_tokens",
        "device",
        "lora_rank",
        "budget",
        "early_stop",
        "processes",
    )
    return {
        "name": name,
        "dataset": request["dataset"],
        "base": request["base"]["label"],
        "base_weights_hash": request["base"]["weights_hash"],
        "encoding": request["encoding"],
        **{key: request[key] for key in settings if key in request},
        **({"quantization": form} if (form := request["base"].get("quantization")) else {}),
        "order": "new in every epoch",
        "versions": {"lobass": __version__, "torch": torch.__version__, "transformers": transformers.__version__},
    }
