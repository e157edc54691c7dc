"""transformers' Trainer on encoded rows: our batches, our loss on scored positions, the loss of each domain."""

from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainingArguments

from ..data.encoded import Encoded
from ..engine.model_parts import head_logits, padded, scored_positions, trunk_states
from .checkpoints import CHECKPOINTS
from .loss_curve import LossWindow
from .recorded_models import CURVE
from .token_batches import BudgetSampler, TokenBatchSampler


class ReferenceTrainer(Trainer):  # type: ignore[misc]
    """Trains on encoded rows and writes into `folder`; `splits`: the trunk and the head of the model can be called
    separately. The request has epochs, or a budget: `tokens` of the unit "input" or "scored" in `steps` steps."""

    def __init__(
        self,
        folder: Path,
        model: torch.nn.Module,
        rows: list[Encoded],
        domains: list[str],
        request: dict[str, Any],
        splits: bool,
    ) -> None:
        self._rows, self._domains, self._splits = rows, domains, splits
        self._sampler = _sampler(rows, request)
        self.passes = self._sampler.passes
        self.window = LossWindow(folder / CURVE)
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
        self.window.add([self._domains[index] for index in inputs["rows"]], row_index, losses.detach())
        return losses.mean()

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
