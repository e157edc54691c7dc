"""A training job: fine-tunes the base on the tokens that the scorer scores, and saves the reference.

transformers' Trainer runs the loop and peft holds the adapter. Batches, loss and the curve of each domain are ours
(`trainer`), so that training and scoring use the same encoding and mask.
"""

import json
import logging
import shutil
import time
from typing import Any

import torch
import transformers

from ..data.errors import JobCancelled, ModelUnusable, NoUsableRows
from ..data.version import __version__
from ..encoding.encode import encode_examples
from ..encoding.encoding_spec import EncodingSpec
from ..engine.loss_engine import LossEngine
from ..jobs.job import Job, read_examples_file
from ..jobs.job_progress import Progress
from ..models.devices import resolve_device, training_dtype
from ..models.loading import load_model, load_tokenizer
from ..models.resolving import PROVENANCE, ModelSpec
from ..models.vocabulary import readable_ids, without_unreadable
from ..system.atomic_files import rename_durably, write_durably
from .checkpoints import last_checkpoint
from .trainer import ReferenceTrainer

log = logging.getLogger("worker")


def train_reference(job: Job) -> dict[str, Any]:
    """Train as the job's request says; the model is left in the job's folder `model/`, provenance last.

    Request: base (ModelSpec fields), encoding, method ("lora" or "full"), epochs, learning_rate, seed, batch_tokens,
    device, and what to record. Goes on from the last whole checkpoint of a worker that died.
    """
    request = job.request
    job.report(Progress("Loading the base model"))
    base = ModelSpec(**request["base"])
    tokenizer = load_tokenizer(base)
    example_ids, examples, domains = read_examples_file(job, "examples")
    encoded = without_unreadable(
        encode_examples(examples, tokenizer, EncodingSpec(**request["encoding"])), readable_ids(base, base)
    )
    for notice in request.get("description", {}).get("notices", ()):
        log.info("%s", notice)
    usable = [index for index, item in enumerate(encoded) if item.reason is None]
    if not usable:
        raise NoUsableRows(f"None of the {len(encoded):,} examples has a response left to learn from.")
    log.info("training on %s of %s examples", f"{len(usable):,}", f"{len(encoded):,}")
    transformers.set_seed(request["seed"])
    device = resolve_device(request["device"])
    model = load_model(base, training_dtype(request["method"], device), device)
    engine_splits = LossEngine(model).splits
    if request["method"] == "lora":
        model = _with_lora(model, request)
    model.train()
    trainer = ReferenceTrainer(
        job,
        model,
        [encoded[index] for index in usable],
        [domains[index] for index in usable],
        {**request, "device": device},
        engine_splits,
    )
    began = time.monotonic()
    try:
        trainer.train(resume_from_checkpoint=last_checkpoint(job))
    except torch.cuda.OutOfMemoryError as error:
        raise ModelUnusable(
            f"GPU memory ran out while training in batches of {request['batch_tokens']:,} tokens. "
            "Lower --batch-tokens or --max-length, or free the GPU."
        ) from error
    if job.is_cancelled:
        raise JobCancelled("Training was cancelled: no reference was made, and training again begins anew.")
    elapsed = time.monotonic() - began
    order = [example_ids[usable[row]] for row in trainer.first_epoch_order()]
    _save(job, trainer, tokenizer, {"elapsed_seconds": elapsed, "trained_examples": len(usable), "data_order": order})
    return {"elapsed_seconds": elapsed, "steps": trainer.state.global_step, "trained_examples": len(usable)}


def _with_lora(model: torch.nn.Module, request: dict[str, Any]) -> torch.nn.Module:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=request["lora_rank"],
        lora_alpha=2 * request["lora_rank"],
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    adapted: torch.nn.Module = get_peft_model(model, config)
    return adapted


def _save(job: Job, trainer: ReferenceTrainer, tokenizer: Any, measured: dict[str, Any]) -> None:
    """Leave the model in `model/`: written beside it, renamed when whole, provenance last."""
    request = job.request
    unfinished, folder = job.folder / "model.tmp", job.folder / "model"
    shutil.rmtree(unfinished, ignore_errors=True)
    trainer.model.save_pretrained(unfinished, safe_serialization=True)
    if request["method"] == "full":
        tokenizer.save_pretrained(unfinished)
    shutil.copyfile(job.folder / "curve.jsonl", unfinished / "curve.jsonl")
    provenance = {
        "name": request["name"],
        "dataset": request["dataset"],
        "base": request["base"]["label"],
        "base_weights_hash": request["base"]["weights_hash"],
        "encoding": request["encoding"],
        **{key: request[key] for key in ("method", "epochs", "learning_rate", "seed", "batch_tokens", "device")},
        **({"lora_rank": request["lora_rank"]} if request["method"] == "lora" else {}),
        "steps": trainer.state.global_step,
        **measured,
        "versions": {"lobass": __version__, "torch": torch.__version__, "transformers": transformers.__version__},
    }
    write_durably(unfinished / PROVENANCE, [json.dumps(provenance, ensure_ascii=False, indent=1).encode()])
    shutil.rmtree(folder, ignore_errors=True)
    rename_durably(unfinished, folder)
    shutil.rmtree(job.folder / "checkpoints", ignore_errors=True)
