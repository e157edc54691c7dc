"""The training loss of each domain, recorded while a reference trains."""

import json
from collections import defaultdict
from pathlib import Path

import torch


class LossWindow:
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
