"""The training loss of each domain, recorded while a reference trains."""

import json
import os
from collections import defaultdict
from pathlib import Path

import torch

from ..data.errors import TrainingDiverged
from ..system.atomic_files import write_durably
from ..system.untrusted_json import read_json_object


class LossWindow:
    """Training loss per domain since the last step that was recorded."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._nats: dict[str, float] = defaultdict(float)
        self._tokens: dict[str, int] = defaultdict(int)
        self.total_tokens = 0

    def add(self, domains: list[str], row_index: torch.Tensor, losses: torch.Tensor) -> None:
        """Add a batch: the domain of each row, and each scored token's row and loss [nats]. Raises `TrainingDiverged`
        if a loss is not finite."""
        count = len(domains)
        nats = torch.zeros(count, dtype=torch.float64).index_add_(0, row_index.cpu(), losses.double().cpu())
        if not bool(nats.isfinite().all()):
            raise TrainingDiverged(
                "The training loss is not a finite number any more, so no reference was made. Lower --learning-rate."
            )
        tokens = torch.bincount(row_index.cpu(), minlength=count)
        for domain, row_nats, row_tokens in zip(domains, nats.tolist(), tokens.tolist(), strict=True):
            self._nats[domain] += row_nats
            self._tokens[domain] += row_tokens
            self.total_tokens += row_tokens

    def save(self, path: Path) -> None:
        """Write what was added since the last record, for `go_on`."""
        state = {"nats": self._nats, "tokens": self._tokens, "total_tokens": self.total_tokens}
        write_durably(path, [json.dumps(state, ensure_ascii=False).encode()])

    def go_on(self, step: int, saved: Path) -> None:
        """Continue after `step` from what was saved then: what was recorded later is recorded again. Step 0 begins
        anew."""
        if self._path.exists():
            lines = self._path.read_text(encoding="utf-8").split("\n")[:-1]
            kept = [line + "\n" for line in lines if json.loads(line)["step"] <= step]
            write_durably(self._path, ["".join(kept).encode()])
        if step:
            state = read_json_object(saved)
            self._nats.update(state["nats"])
            self._tokens.update(state["tokens"])
            self.total_tokens = state["total_tokens"]

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
            file.flush()
            os.fsync(file.fileno())  # a checkpoint that is written later counts on it
        self._nats.clear()
        self._tokens.clear()
