"""transformers' Trainer on encoded rows: our batches, our loss on scored positions, the loss of each domain."""

from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainingArguments

from ..data.encoded import Encoded
from ..engine.training_engine import TrainingEngine
from .checkpoints import CHECKPOINTS
from .loss_curve import LossWindow
from .ranks import Ranks
from .recorded_models import CURVE, STEPS
from .token_batches import BudgetSampler, TokenBatchSampler


class ReferenceTrainer(Trainer):  # type: ignore[misc]
    """Trains on encoded rows and writes into `folder`. The request has epochs, or a budget: `tokens` of the unit
    "input" or "scored" in `steps` steps. A step's batch is computed in parts of about `part_tokens`, whose gradients
    add up; with several processes (`ranks`), each computes the parts of its share."""

    def __init__(
        self,
        folder: Path,
        model: torch.nn.Module,
        rows: list[Encoded],
        domains: list[str],
        request: dict[str, Any],
        engine: TrainingEngine,
        part_tokens: int,
        ranks: Ranks | None = None,
    ) -> None:
        self._rows, self._domains = rows, domains
        self._engine, self._part_tokens = engine, part_tokens
        self._ranks = ranks or Ranks()
        self._sampler = _sampler(rows, request)
        self.passes = self._sampler.passes
        self.window = LossWindow(folder / CURVE, folder / STEPS)
        steps = len(self._sampler)
        arguments = TrainingArguments(
            output_dir=str(folder / CHECKPOINTS),
            max_steps=steps,
            learning_rate=request["learning_rate"],
            lr_scheduler_type="cosine",
            warmup_steps=steps // 30,
            seed=request["seed"],
            use_cpu=request["device"] == "cpu",
            bf16=request["device"] == "cuda",
            save_strategy="steps" if self._ranks.is_first else "no",
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
        )
        self.remove_callback(PrinterCallback)

    def get_train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.train_dataset, batch_sampler=self._sampler, collate_fn=lambda indices: {"rows": indices})

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """Add the gradients of a batch, part by part; returns its mean loss [nats per scored token]."""
        model.train()
        batch = [self._rows[index] for index in inputs["rows"]]
        scored = sum(row.token_count for row in batch)
        nats = torch.zeros(len(batch), dtype=torch.float64, device=self.args.device)
        own = self._ranks.share(range(len(batch)))
        for part in self._engine.parts([batch[place] for place in own], self._part_tokens):
            places = [own[number] for number in part]
            rows = [batch[place] for place in places]
            with self._engine.attention_of(rows):
                # The Trainer lowers the precision of `model.forward` alone, and the trunk is called by itself.
                with self.accelerator.autocast():
                    row_index, losses = self._engine.losses(rows)
                self.accelerator.backward(losses.sum() / scored)
            row_of = torch.tensor(places, device=nats.device)[row_index]
            nats.index_add_(0, row_of, losses.detach().double())
        self._ranks.add_up(nats)
        self._ranks.add_gradients(model.parameters())
        domains = [self._domains[index] for index in inputs["rows"]]
        self.window.add(domains, nats.tolist(), [row.token_count for row in batch])
        return torch.div(nats.sum(), scored)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> None:
        # The loss is a mean already, and these batches hold row numbers, not labels to be counted.
        return None

    def first_epoch_order(self) -> list[int]:
        """Rows in the order in which the first epoch saw them."""
        return [row for batch in islice(self._sampler, min(self.passes)) for row in batch]

    def tokens(self, steps: int) -> dict[str, int]:
        """What the first `steps` batches hold: input_tokens and scored_tokens, padding not counted, and seen_examples,
        each as often as it comes."""
        rows = [self._rows[row] for batch in islice(self._sampler, steps) for row in batch]
        return {
            "input_tokens": sum(len(row.input_ids) for row in rows),
            "scored_tokens": sum(row.token_count for row in rows),
            "seen_examples": len(rows),
        }


def _sampler(rows: list[Encoded], request: dict[str, Any]) -> TokenBatchSampler | BudgetSampler:
    lengths = [len(row.input_ids) for row in rows]
    budget = request.get("budget")
    if not budget:
        return TokenBatchSampler(lengths, request["batch_tokens"], request["seed"], request["epochs"])
    sizes = lengths if budget["unit"] == "input" else [row.token_count for row in rows]
    return BudgetSampler(sizes, lengths, budget["tokens"], budget["steps"], request["seed"])


class _RowDataset(torch.utils.data.Dataset[int]):
    """Row numbers; the rows themselves stay where they are."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> int:
        return index
