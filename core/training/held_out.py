"""Losses on rows that a reference is not trained on, and on a sample of its own rows, after each pass over the data.

They tell learning from memory: what falls on its own rows only was memorised.
"""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import TrainerCallback

from ..data.errors import TrainingDiverged
from ..engine.loss_engine import LossEngine
from ..engine.response_loss import ResponseScorer
from ..models.devices import batch_budget
from ..system.atomic_files import replaced_durably, write_durably
from .recorded_models import HELD_OUT_LOSSES, PASSES
from .training_data import HeldOutRow

OWN, UNSEEN = "own", "held_out"
RowSums = list[tuple[float, float]]
"""nll_sum and end_nll_sum of each row [nats]."""


class HeldOutLosses:
    """Evaluates the model in training on held-out rows and on a sample of its own."""

    def __init__(self, engine: LossEngine, held_out: list[HeldOutRow], sample: list[HeldOutRow], device: str) -> None:
        self._scorer = ResponseScorer([engine], batch_budget(device))
        self._rows = {UNSEEN: held_out, OWN: sample}

    def __bool__(self) -> bool:
        return bool(self._rows[UNSEEN])

    def row_sums(self, model: torch.nn.Module, which: str) -> RowSums:
        """Each row's nll_sum and end_nll_sum [nats] under the model as it is now."""
        rows, was_training = self._rows[which], model.training
        found = [(float("nan"), float("nan"))] * len(rows)
        model.eval()
        try:
            for batch in self._scorer.losses([row.encoded for row in rows]):
                (ends,) = batch.ends_by_engine
                for row, nats, end in zip(batch.rows, batch.nll_sums.tolist(), ends.tolist(), strict=True):
                    found[row] = (nats, end)
        finally:
            model.train(was_training)
        if not all(math.isfinite(nats) for nats, _ in found):
            raise TrainingDiverged(
                "The loss on held-out rows is not a finite number any more, so no reference was made. Lower "
                "--learning-rate."
            )
        return found

    def by_domain(self, which: str, sums: RowSums) -> list[dict[str, Any]]:
        """For each domain, from the sums of its rows: rows, tokens and nll_sum [nats]."""
        nats: dict[str, float] = defaultdict(float)
        tokens: dict[str, int] = defaultdict(int)
        counts: dict[str, int] = defaultdict(int)
        for row, (nll_sum, _) in zip(self._rows[which], sums, strict=True):
            nats[row.domain] += nll_sum
            tokens[row.domain] += row.encoded.token_count
            counts[row.domain] += 1
        return [
            {"rows": which, "domain": name, "examples": counts[name], "tokens": tokens[name], "nll_sum": nats[name]}
            for name in sorted(nats)
        ]

    def write(self, sums: RowSums, folder: Path) -> None:
        """Write the sums of the held-out rows (`HELD_OUT_LOSSES`): example_id, nll_sum [nats], token_count,
        end_nll_sum, end_token_count."""
        rows = self._rows[UNSEEN]
        table = pa.table(
            {
                "example_id": pa.array([row.example_id for row in rows], pa.string()),
                "nll_sum": pa.array([nats for nats, _ in sums], pa.float64()),
                "token_count": pa.array([row.encoded.token_count for row in rows], pa.int32()),
                "end_nll_sum": pa.array([end for _, end in sums], pa.float64()),
                "end_token_count": pa.array([row.encoded.end_token_count for row in rows], pa.int32()),
            }
        )
        with replaced_durably(folder / HELD_OUT_LOSSES) as path:
            pq.write_table(table, path)


class LossByPass(TrainerCallback):  # type: ignore[misc]
    """Records both losses before training and after each pass; on request stops when the held-out loss rises.

    `PASSES` has one line a pass, kind of rows and domain: passes, step, rows ("own" or "held_out"), domain, examples,
    tokens, nll_sum [nats].

    A model that is stopped so gets back the weights of its best pass.
    """

    _BEST = "best-pass.pt"

    def __init__(
        self,
        folder: Path,
        losses: HeldOutLosses,
        passes: Mapping[int, float],
        early_stop: bool,
        report: Callable[[], None],
    ) -> None:
        """`passes`: the number of passes that end with a step, by step; `report` is called before each evaluation."""
        self._folder, self._losses, self._early_stop, self._report = folder, losses, early_stop, report
        self._passes = {0: 0.0, **passes}
        self._last: RowSums | None = None
        self.stopped: dict[str, Any] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        # A resumed training repeats passes that it had recorded after its checkpoint.
        done = state.global_step
        self._write([line for line in self._lines() if done and line["step"] <= done])
        if not done:
            self._record(model, 0)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        step = state.global_step
        if step not in self._passes:
            return
        self._record(model, step)
        if self._early_stop:
            self._keep_best(model, control)

    def finish(self, model: torch.nn.Module, folder: Path) -> None:
        """Put back the best pass if training was stopped, and write the losses of the held-out rows."""
        if not self._losses:
            return
        if self.stopped:
            model.load_state_dict(torch.load(folder / self._BEST, weights_only=True), strict=False)
        if self._last is None or self.stopped:  # else the last pass was evaluated with these very weights
            self._report()
            self._last = self._losses.row_sums(model, UNSEEN)
        self._losses.write(self._last, folder)

    def clear(self) -> None:
        """Remove the weights of the best pass, once the model is saved."""
        (self._folder / self._BEST).unlink(missing_ok=True)

    def _record(self, model: torch.nn.Module, step: int) -> None:
        self._report()
        sums = {which: self._losses.row_sums(model, which) for which in (UNSEEN, OWN)}
        self._last = sums[UNSEEN]
        found = [{"passes": self._passes[step], "step": step, **fields}
                 for which in (UNSEEN, OWN) for fields in self._losses.by_domain(which, sums[which])]  # fmt: skip
        self._write(self._lines() + found)

    def _keep_best(self, model: torch.nn.Module, control: Any) -> None:
        losses = self._held_out_by_step()
        last, best = max(losses), min(losses, key=lambda step: losses[step])
        if last == best:
            trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
            with replaced_durably(self._folder / self._BEST) as path:
                torch.save({name: value.detach().cpu() for name, value in trained.items()}, path)
        elif (self._folder / self._BEST).exists():
            self.stopped = {"stopped_early_after_step": last, "best_step": best}
            control.should_training_stop = True
            # Resumed from a checkpoint of this step, nothing would stop it; from the one before, this pass does again.
            control.should_save = False

    def _held_out_by_step(self) -> dict[int, float]:
        """Mean held-out loss [nats per token] after each recorded step, without the base's."""
        nats: dict[int, float] = defaultdict(float)
        tokens: dict[int, int] = defaultdict(int)
        for line in self._lines():
            if line["rows"] == UNSEEN and line["step"]:
                nats[line["step"]] += line["nll_sum"]
                tokens[line["step"]] += line["tokens"]
        return {step: nats[step] / tokens[step] for step in nats}

    def _lines(self) -> list[dict[str, Any]]:
        path = self._folder / PASSES
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def _write(self, lines: list[dict[str, Any]]) -> None:
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        write_durably(self._folder / PASSES, [text.encode()])
