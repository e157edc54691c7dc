"""How the cost of scoring grows: one thing at a time is changed, on models of random weights and one thread.

    python -m bench.growth [--rounds 3] [--json FILE]

Each line changes the rows' number, their length, the vocabulary or the model's size, and nothing else, from the same
middle: 64 rows of 256 tokens, half of them scored, a vocabulary of 32,768, 6 layers of width 384. The arithmetic that
the line needs stands beside its time: where their quotient stays, the cost is the arithmetic's.
"""

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from bench.figures import keep_figures
from bench.shapes import shapes_of
from core.data import settings
from core.data.encoded import Encoded
from core.engine.response_loss import response_losses


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the table."""

    rows: int = 64
    length: int = 256
    vocabulary: int = 32_768
    layers: int = 6
    width: int = 384

    def model(self) -> Any:
        """Random weights, float32."""
        torch.manual_seed(0)
        config = LlamaConfig(
            hidden_size=self.width,
            intermediate_size=8 * self.width // 3,
            num_hidden_layers=self.layers,
            num_attention_heads=self.width // 64,
            vocab_size=self.vocabulary,
            tie_word_embeddings=True,
        )
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()

    def encoded(self) -> list[Encoded]:
        """Rows of random tokens with nothing in common, the second half of each scored."""
        random = np.random.default_rng(0)
        scored = np.arange(self.length) >= self.length // 2
        ids = random.integers(0, self.vocabulary, (self.rows, self.length)).astype(np.int32)
        return [Encoded(row, scored, False) for row in ids]


MIDDLE = Case()
CASES = {
    "the middle": MIDDLE,
    "rows x 2": replace(MIDDLE, rows=128),
    "rows x 4": replace(MIDDLE, rows=256),
    "row length x 4, as many tokens": replace(MIDDLE, length=1024, rows=16),
    "row length x 8, as many tokens": replace(MIDDLE, length=2048, rows=8),
    "vocabulary / 4": replace(MIDDLE, vocabulary=8_192),
    "vocabulary x 4": replace(MIDDLE, vocabulary=131_072),
    "vocabulary x 8": replace(MIDDLE, vocabulary=262_144),
    "layers x 2": replace(MIDDLE, layers=12),
    "width x 2": replace(MIDDLE, width=768),
    "width x 2, layers x 2": replace(MIDDLE, width=768, layers=12),
}


def measure(rounds: int = 3) -> dict[str, Any]:
    """Of each case: tokens, arithmetic, and the median of CPU seconds over the rounds."""
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    budget = settings.integer("cpu_batch_tokens")
    for name, case in CASES.items():
        model, rows = case.model(), case.encoded()
        list(response_losses(model, rows[:2], budget))
        seconds = []
        for _ in range(rounds):
            began = time.process_time()
            for _batch in response_losses(model, rows, budget):
                pass
            seconds.append(time.process_time() - began)
        found[name] = {
            "tokens": case.rows * case.length,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "operations": shapes_of(model).operations(rows, share=False, token_budget=budget),
            "seconds": seconds,
        }
    return found


def table(found: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    lines = [
        "| changed | parameters [M] | tokens | CPU seconds (range) | times the middle | arithmetic, times | GFLOP/s |",
        "|---|---|---|---|---|---|---|",
    ]
    first = found["the middle"]
    middle = float(np.median(first["seconds"]))
    for name, row in found.items():
        seconds = np.array(row["seconds"])
        median = float(np.median(seconds))
        lines.append(
            f"| {name} | {row['parameters'] / 1e6:.0f} | {row['tokens']:,} "
            f"| {median:.2f} ({seconds.min():.2f}-{seconds.max():.2f}) | {median / middle:.2f} "
            f"| {row['operations'] / first['operations']:.2f} | {row['operations'] / median / 1e9:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the table; with --json also write what it was made from."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    found = measure(arguments.rounds)
    print(table(found))
    keep_figures(arguments.json, found)


if __name__ == "__main__":
    main()
