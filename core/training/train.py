"""Training a reference: the base, fine-tuned on the very tokens that the scorer scores.

transformers' Trainer runs the loop and peft holds the adapter; ours are the batches (by tokens, on the scorer's
encoding and mask), the loss on scored positions, and the loss per domain recorded while it trains.
"""

import json
import logging
import math
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from torch.utils.data import DataLoader, Sampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from .. import __version__
from ..data.encoded import Encoded
from ..data.errors import JobCancelled, ModelUnusable, NoUsableRows
from ..encoding.encode import encode_examples
from ..encoding.encoding_spec import EncodingSpec
from ..engine.loss_engine import LossEngine
from ..engine.model_parts import head_logits, padded, scored_positions, trunk_states
from ..engine.packing import plan_batches
from ..jobs.job import Job, Progress, read_examples_file
from ..models.devices import resolve_device, training_dtype
from ..models.loading import load_model, load_tokenizer
from ..models.resolving import PROVENANCE, ModelSpec
from ..models.vocabulary import readable_ids, without_unreadable
from ..system.spool import sync_folder, write_durably

log = logging.getLogger("worker")

_COMPLETE = "complete"
"""Marks a checkpoint that was written whole; the Trainer's own folder appears before its files are."""


def train_reference(job: Job) -> dict[str, Any]:
    """Train as the job's request says; the model is left in the job's folder `model/`, provenance last.

    Request: base (ModelSpec fields), encoding, method ("lora" or "full"), epochs, learning_rate, seed, batch_tokens,
    device, and what to record. Goes on from the last whole checkpoint of a worker that died.
    """
    request = job.request
    job.report(Progress("loading the base model"))
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
    trainer = _ReferenceTrainer(
        job,
        model,
        [encoded[index] for index in usable],
        [domains[index] for index in usable],
        {**request, "device": device},
        engine_splits,
    )
    began = time.monotonic()
    try:
        trainer.train(resume_from_checkpoint=_last_checkpoint(job))
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


class _ReferenceTrainer(Trainer):  # type: ignore[misc]
    """transformers' Trainer on encoded rows in batches by tokens."""

    def __init__(
        self,
        job: Job,
        model: torch.nn.Module,
        rows: list[Encoded],
        domains: list[str],
        request: dict[str, Any],
        splits: bool,
    ) -> None:
        self._job = job
        self._rows, self._domains, self._splits = rows, domains, splits
        self._sampler = TokenBatchSampler(
            [len(row.input_ids) for row in rows], request["batch_tokens"], request["seed"]
        )
        self._window = _LossWindow(job.folder / "curve.jsonl")
        steps = math.ceil(len(self._sampler) * request["epochs"])
        arguments = TrainingArguments(
            output_dir=str(job.folder / "checkpoints"),
            max_steps=steps,
            learning_rate=request["learning_rate"],
            lr_scheduler_type="cosine",
            warmup_steps=steps // 30,
            seed=request["seed"],
            use_cpu=request["device"] == "cpu",
            bf16=request["device"] == "cuda",
            save_strategy="steps",
            save_steps=max(20, steps // 5),
            save_total_limit=2,
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
            dataloader_pin_memory=False,
        )
        # On several GPUs the Trainer would lay the model out on all of them, in a form whose trunk cannot be called.
        arguments._n_gpu = min(1, arguments.n_gpu)
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=_RowDataset(len(rows)),
            callbacks=[_Reporter(job, self._window, steps)],
        )
        self.remove_callback(PrinterCallback)

    def get_train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.train_dataset, batch_sampler=self._sampler, collate_fn=lambda indices: {"rows": indices})

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Mean nats per scored token of the batch."""
        batch = [self._rows[index] for index in inputs["rows"]]
        causal = model.get_base_model() if hasattr(model, "get_base_model") else model
        input_ids, mask = padded(batch, next(model.parameters()).device)
        row_index, state_index, targets = scored_positions(batch, input_ids)
        # The Trainer lowers the precision of `model.forward` alone, and the trunk is called by itself.
        with self.accelerator.autocast():
            if self._splits:
                hidden = trunk_states(causal, input_ids, mask)[row_index, state_index]
                logits = head_logits(causal, hidden)
            else:
                whole = model(input_ids=input_ids, attention_mask=mask, use_cache=False).logits
                logits = whole[row_index, state_index]
        losses = F.cross_entropy(logits.float(), targets, reduction="none")
        self._window.add([self._domains[index] for index in inputs["rows"]], row_index, losses.detach())
        return losses.mean()

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> None:
        # The loss is a mean already, and these batches hold row numbers, not labels to be counted.
        return None

    def first_epoch_order(self) -> list[int]:
        """Rows in the order in which the first epoch saw them."""
        return [row for batch in self._sampler.batches(0) for row in batch]


class TokenBatchSampler(Sampler[list[int]]):
    """Batches of rows of like length under a token budget, in an order that seed and epoch decide."""

    def __init__(self, lengths: list[int], token_budget: int, seed: int) -> None:
        self._lengths, self._budget, self._seed = lengths, token_budget, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch."""
        self._epoch = epoch

    def batches(self, epoch: int) -> list[list[int]]:
        """The epoch's batches: rows are shuffled, cut into pools, sorted by length within a pool, and batches shuffled.

        A pool of a few dozen batches keeps padding low without putting all long rows next to each other.
        """
        random = np.random.default_rng((self._seed, epoch))
        shuffled = random.permutation(len(self._lengths))
        pool_rows = max(1, 32 * self._budget // max(1, int(np.mean(self._lengths))))
        batches: list[list[int]] = []
        for start in range(0, len(shuffled), pool_rows):
            pool = shuffled[start : start + pool_rows]
            planned = plan_batches([self._lengths[row] for row in pool], self._budget)
            batches += [[int(pool[index]) for index in batch.rows] for batch in planned]
        return [batches[index] for index in random.permutation(len(batches))]

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches(self._epoch))

    def __len__(self) -> int:
        return len(self.batches(0))


class _RowDataset(torch.utils.data.Dataset[int]):
    """Row numbers; the rows themselves stay where they are."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> int:
        return index


class _LossWindow:
    """Training loss per domain since the last step that was recorded."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._nats: dict[str, float] = defaultdict(float)
        self._tokens: dict[str, int] = defaultdict(int)
        self.total_tokens = 0

    def add(self, domains: list[str], row_index: torch.Tensor, losses: torch.Tensor) -> None:
        """Add a batch: the domain of each row, and each scored token's row and loss [nats]."""
        count = len(domains)
        nats = torch.zeros(count, dtype=torch.float64).index_add_(0, row_index.cpu(), losses.double().cpu())
        tokens = torch.bincount(row_index.cpu(), minlength=count)
        for domain, row_nats, row_tokens in zip(domains, nats.tolist(), tokens.tolist(), strict=True):
            self._nats[domain] += row_nats
            self._tokens[domain] += row_tokens
            self.total_tokens += row_tokens

    def record(self, step: int) -> None:
        """Append one line a domain: step, scored tokens seen so far, mean loss since the last record."""
        with open(self._path, "a", encoding="utf-8") as file:
            for domain, nats in sorted(self._nats.items()):
                point = {
                    "step": step,
                    "tokens": self.total_tokens,
                    "domain": domain,
                    "loss": nats / self._tokens[domain],
                }
                file.write(json.dumps(point, ensure_ascii=False) + "\n")
        self._nats.clear()
        self._tokens.clear()


class _Reporter(TrainerCallback):  # type: ignore[misc]
    """Progress, the loss curve, cancelling, and the mark of a whole checkpoint."""

    def __init__(self, job: Job, window: _LossWindow, steps: int) -> None:
        self._job, self._window = job, window
        self._every = max(1, steps // 60)
        self._began = time.monotonic()
        self._first_step = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._began, self._first_step = time.monotonic(), state.global_step
        if state.global_step:
            log.info("going on from step %s of %s", state.global_step, state.max_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        step, elapsed = state.global_step, time.monotonic() - self._began
        if step % self._every == 0 or step == state.max_steps:
            self._window.record(step)
        ran = step - self._first_step
        self._job.report(
            Progress(
                "training the reference",
                step,
                state.max_steps,
                "steps",
                self._window.total_tokens / elapsed if elapsed else None,
                (state.max_steps - step) * elapsed / ran if ran else None,
                elapsed,
            )
        )
        if self._job.is_cancelled:
            control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        (Path(args.output_dir) / f"checkpoint-{state.global_step}" / _COMPLETE).touch()


def _last_checkpoint(job: Job) -> str | None:
    whole = sorted(
        (job.folder / "checkpoints").glob(f"checkpoint-*/{_COMPLETE}"), key=lambda path: _step_of(path.parent)
    )
    return str(whole[-1].parent) if whole else None


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rsplit("-", 1)[1])


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


def _save(job: Job, trainer: _ReferenceTrainer, tokenizer: Any, measured: dict[str, Any]) -> None:
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
    unfinished.rename(folder)
    sync_folder(job.folder)
    shutil.rmtree(job.folder / "checkpoints", ignore_errors=True)
