"""Training a reference against TRL's SFTTrainer: the same LoRA on the same rows, interleaved, each in a process of its
own on one thread.

    python -m bench.training [--model FOLDER] --rows FILE... [--limit 64] [--rounds 3] [--batch-tokens 4096]

Without `--model`, a Llama of SmolLM2-135M's shape with random weights, and the demo's tokenizer: time and memory depend
on shapes, not on values. Every way trains one pass over the rows in float32 with AdamW and a step about every
`--batch-tokens` tokens: TRL in batches of 8 rows, its default, gathered to as many. Printed for each, as medians over
rounds: tokens of the rows, padding not counted, a CPU second of `train()` with their range; the peak of resident memory
of the process, in all and above what it held before training; and the mean loss of the rows, which all ways share.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.engine import read_rows
from bench.figures import keep_figures
from bench.peak_memory import peak_gigabytes
from core.data.encoded import Encoded
from core.data.training_methods import DEFAULT_LORA_RANK, LEARNING_RATES
from core.models.resolving import DEMO_BASE
from core.training.trainable_model import with_lora

_ROOT = Path(__file__).resolve().parent.parent
_TRL_BATCH = 8


def smollm_shaped() -> torch.nn.Module:
    """A Llama of the shape of SmolLM2-135M, its weights random."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=49152,
            hidden_size=576,
            intermediate_size=1536,
            num_hidden_layers=30,
            num_attention_heads=9,
            num_key_value_heads=3,
            max_position_embeddings=8192,
            tie_word_embeddings=True,
        )
    )


def by_trainer(model: torch.nn.Module, rows: Sequence[Encoded], folder: Path, batch_tokens: int) -> Callable[[], float]:
    """Our trainer, as a training job runs it; returns the mean loss [nats per token]."""
    from core.engine.training_engine import TrainingEngine
    from core.training.memory_plan import plan_memory
    from core.training.trainer import ReferenceTrainer

    request = {
        "batch_tokens": batch_tokens,
        "seed": 0,
        "epochs": 1.0,
        "learning_rate": LEARNING_RATES["lora"],
        "device": "cpu",
    }
    engine = TrainingEngine(model)
    plan = plan_memory(engine, model, [len(row.input_ids) for row in rows], batch_tokens, "cpu")
    trainer = ReferenceTrainer(folder, model, list(rows), ["all"] * len(rows), request, engine, plan.part_tokens)

    def train() -> float:
        return float(trainer.train().training_loss)

    return train


def by_trl(checkpointing: bool) -> Callable[[torch.nn.Module, Sequence[Encoded], Path, int], Callable[[], float]]:
    """TRL's SFTTrainer; with gradient checkpointing, as it comes, or without."""

    def prepare(
        model: torch.nn.Module, rows: Sequence[Encoded], folder: Path, batch_tokens: int
    ) -> Callable[[], float]:
        from datasets import Dataset
        from transformers import AutoTokenizer
        from trl import SFTConfig, SFTTrainer

        tokenizer = AutoTokenizer.from_pretrained(_ROOT / DEMO_BASE)
        tokenizer.pad_token = tokenizer.eos_token  # only its id is used: the rows are tokens already
        tokens = sum(len(row.input_ids) for row in rows)
        arguments = SFTConfig(
            output_dir=str(folder),
            per_device_train_batch_size=_TRL_BATCH,
            gradient_accumulation_steps=max(1, round(batch_tokens * len(rows) / tokens / _TRL_BATCH)),
            num_train_epochs=1,
            learning_rate=LEARNING_RATES["lora"],
            lr_scheduler_type="cosine",
            gradient_checkpointing=checkpointing,
            bf16=False,
            use_cpu=True,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataset_kwargs={"skip_prepare_dataset": True},
        )
        columns = [
            {"input_ids": row.input_ids.tolist(), "labels": np.where(row.scored, row.input_ids, -100).tolist()}
            for row in rows
        ]
        trainer = SFTTrainer(model, arguments, train_dataset=Dataset.from_list(columns), processing_class=tokenizer)
        return lambda: float(trainer.train().training_loss)

    return prepare


WAYS = {
    "TRL, as it comes (gradient checkpointing)": by_trl(checkpointing=True),
    "TRL, without checkpointing": by_trl(checkpointing=False),
    "ours": by_trainer,
}


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """Train once by one way: CPU seconds, tokens, peak of resident memory [GB], the loss [nats per token]."""
    rows = _rows(arguments)
    model = _model(arguments.model)
    model = with_lora(model, {"lora_rank": DEFAULT_LORA_RANK})
    model.train()
    with tempfile.TemporaryDirectory() as folder:
        train = WAYS[arguments.measure](model, rows, Path(folder), arguments.batch_tokens)
        before, began = peak_gigabytes(), time.process_time()
        loss = train()
        seconds = time.process_time() - began
    tokens = sum(len(row.input_ids) for row in rows)
    return {"seconds": seconds, "tokens": tokens, "peak": peak_gigabytes(), "before": before, "loss": loss}


def _rows(arguments: argparse.Namespace) -> list[Encoded]:
    tokenizer = arguments.model or str(_ROOT / DEMO_BASE)
    return read_rows(tokenizer, arguments.rows, arguments.limit, arguments.max_length)


def _model(folder: str | None) -> torch.nn.Module:
    if folder is None:
        return smollm_shaped()
    from transformers import AutoModelForCausalLM

    model: torch.nn.Module = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model


def compare(arguments: argparse.Namespace, given: Sequence[str]) -> dict[str, Any]:
    """Run all ways, round by round, each in a process of its own."""
    found: dict[str, list[dict[str, float]]] = {
        name: [] for name in WAYS if not arguments.only or any(part in name for part in arguments.only)
    }
    for _ in range(arguments.rounds):
        for name, rounds in found.items():
            command = [sys.executable, "-m", "bench.training", *given, "--measure", name]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            rounds.append(json.loads(done.stdout.strip().splitlines()[-1]))
    rows = _rows(arguments)
    return {
        "rows": len(rows),
        "tokens": sum(len(row.input_ids) for row in rows),
        "scored": sum(row.token_count for row in rows),
        "ways": found,
    }


def table(found: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    lines = [
        f"{found['rows']:,} rows, {found['tokens']:,} tokens, {found['scored']:,} scored",
        "",
        "| way | tokens/CPU-s (range) | x first | peak GB | x first | above the start, GB | loss |",
        "|---|---|---|---|---|---|---|",
    ]
    first: tuple[float, float] | None = None
    for name, rounds in found["ways"].items():
        rates = np.array([one["tokens"] / one["seconds"] for one in rounds])
        peak, above = (float(np.median([one[key] for one in rounds])) for key in ("peak", "before"))
        rate = float(np.median(rates))
        first = first or (rate, peak)
        lines.append(
            f"| {name} | {rate:.0f} ({rates.min():.0f}-{rates.max():.0f}) | {rate / first[0]:.2f} "
            f"| {peak:.2f} | {peak / first[1]:.2f} | {peak - above:.2f} | {rounds[0]['loss']:.4f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the table; with --json also write what it was made from."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="folder of a model; left out: random weights in the shape of SmolLM2-135M")
    parser.add_argument("--rows", nargs="+", type=Path, required=True, help="files of rows")
    parser.add_argument("--limit", type=int, default=64, help="rows of each file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-length", type=int, default=1024, help="tokens")
    parser.add_argument("--batch-tokens", type=int, default=4096, help="tokens of an optimisation step")
    parser.add_argument("--only", nargs="+", help="ways whose name has one of these parts")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.measure:
        print(json.dumps(measure(arguments)))
        return
    found = compare(arguments, _given(arguments))
    print(table(found))
    keep_figures(arguments.json, found)


def _given(arguments: argparse.Namespace) -> list[str]:
    model = ["--model", arguments.model] if arguments.model else []
    numbers = (("--limit", arguments.limit), ("--max-length", arguments.max_length))
    return [
        *model,
        *("--rows", *map(str, arguments.rows)),
        *(word for name, number in numbers for word in (name, str(number))),
        *("--batch-tokens", str(arguments.batch_tokens)),
    ]


if __name__ == "__main__":
    main()
