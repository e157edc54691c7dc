"""What gradient similarity (LESS) takes a row and checkpoint, on the demo's base and rows, with an adapter of rank 16.

    python -m bench.gradients [--rows 100] [--subtasks 2] [--json FILE]

Processor seconds of this process for a row's gradient, and for Adam's step and the products with the subtasks' means;
bytes of one gradient.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from bench.figures import keep_figures
from core.data.examples import DatasetRow
from core.data.training_methods import DEFAULT_LORA_RANK
from core.encoding.encode import encode_examples
from core.encoding.encoding_spec import EncodingSpec
from core.importing import SourceOptions
from core.importing.row_reading import read_examples
from core.models.loading import load_tokenizer
from core.models.resolving import DEMO_BASE, resolve_model
from core.training.gradients.features import AdamStep, RowGradients, unit
from core.training.trainable_model import trainable_model
from core.workspace.demo import DATASET, MAX_LENGTH


def measure(rows: int, subtasks: int) -> dict[str, Any]:
    """Means a row: tokens, processor seconds of its parts; and bytes of a gradient."""
    with tempfile.TemporaryDirectory() as workspace:
        base = resolve_model(DEMO_BASE, Path(workspace))
    spec = EncodingSpec("alpaca", MAX_LENGTH, "any")
    read = (row for row in read_examples(DATASET, SourceOptions(format="alpaca")) if isinstance(row, DatasetRow))
    examples = [row.example for row, _ in zip(read, range(rows), strict=False)]
    encoded = [row for row in encode_examples(examples, load_tokenizer(base), spec) if row.reason is None]
    request = {"base": base.to_fields(), "method": "lora", "lora_rank": DEFAULT_LORA_RANK}
    gradients = RowGradients(trainable_model(request, "cpu"))
    step = AdamStep(*(gradients.of(encoded[0]).clone().abs() for _ in range(2)))
    means = torch.ones(subtasks, gradients.size)
    backward = product = 0.0
    for row in encoded:
        began = time.process_time()
        gradient = gradients.of(row)
        done = time.process_time()
        feature = unit(step(gradient))
        assert feature is not None
        (means @ feature).sum().item()
        backward, product = backward + done - began, product + time.process_time() - done
    return {
        "rows": len(encoded),
        "tokens": sum(len(row.input_ids) for row in encoded) / len(encoded),
        "gradient_seconds": backward / len(encoded),
        "product_seconds": product / len(encoded),
        "gradient_bytes": 4 * gradients.size,
    }


def main(arguments: list[str]) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--subtasks", type=int, default=2)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    found = measure(given.rows, given.subtasks)
    for name, value in found.items():
        print(f"{name}: {value:,.4g}" if isinstance(value, float) else f"{name}: {value:,}")
    keep_figures(given.json, found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
