"""The engine against other ways of scoring the same rows, interleaved in one process on one thread.

    python -m bench.engine --model FOLDER --rows FILE... [--limit 20] [--rounds 3] [--lm-eval PYTHON]

Every way scores the same tokens in every round, so that what else the machine does falls on all alike. Printed for
each: useful tokens (those of the rows, padding not counted) a CPU second with the range over rounds; the share of the
measured rate of matrix products that its useful work is; the worst difference of a loss per token from transformers'
own; and, each way in a process of its own, the peak of resident memory. Useful work is 2 operations a weight for every
token of the trunk that must be run (a shared beginning once a pack) and 2 x width x vocabulary for every scored
position.

With `--lm-eval`, a Python that has lm-evaluation-harness scores the same rows by `loglikelihood` in batches of 8.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, AutoTokenizer

from bench.figures import keep_figures
from bench.peak_memory import peak_gigabytes
from bench.shapes import Shapes, shapes_of
from core.data import settings
from core.data.encoded import Encoded
from core.data.examples import DatasetRow
from core.encoding.encode import encode_examples
from core.encoding.encoding_spec import EncodingSpec
from core.engine.engine_choice import BLOCKS, ONEDNN, TORCH, EngineChoice
from core.engine.kept_choice import choice_for, processor
from core.engine.loss_engine import EngineOptions, LossEngine
from core.engine.matrix_products import products_by
from core.importing import SourceOptions, read_examples

Losses = NDArray[np.float64]
"""nll_sum of each row [nats]."""


def one_by_one(model: Any, rows: Sequence[Encoded]) -> Losses:
    """transformers' own loss, a row at a time."""
    sums = []
    for row in rows:
        input_ids = torch.from_numpy(row.input_ids.astype(np.int64)).unsqueeze(0)
        labels = torch.where(torch.from_numpy(row.scored), input_ids, -100)
        with torch.inference_mode():
            sums.append(float(model(input_ids=input_ids, labels=labels, use_cache=False).loss) * row.token_count)
    return np.array(sums)


def padded_all_logits(model: Any, rows: Sequence[Encoded]) -> Losses:
    """Batches of 8 in the file's order, padded, all logits."""
    sums: list[float] = []
    for start in range(0, len(rows), 8):
        batch = rows[start : start + 8]
        longest = max(len(row.input_ids) for row in batch)
        ids, mask = np.zeros((2, len(batch), longest), np.int64)
        labels = np.full((len(batch), longest), -100)
        for line, row in enumerate(batch):
            size = len(row.input_ids)
            ids[line, :size], mask[line, :size] = row.input_ids, 1
            labels[line, :size] = np.where(row.scored, row.input_ids, -100)
        with torch.inference_mode():
            logits = model(
                input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask), use_cache=False
            ).logits
            for line in range(len(batch)):
                targets = torch.from_numpy(labels[line, 1:])
                sums.append(float(F.cross_entropy(logits[line, :-1].float(), targets, reduction="sum")))
    return np.array(sums)


def by_engine(options: EngineOptions) -> Callable[[Any, Sequence[Encoded]], Losses]:
    """Our engine, with some of what makes it fast."""
    engines: dict[int, LossEngine] = {}

    def score(model: Any, rows: Sequence[Encoded]) -> Losses:
        if id(model) not in engines:
            engines[id(model)] = LossEngine(model, options)
        engine = engines[id(model)]
        sums = np.full(len(rows), np.nan)
        for batch in engine.plan([len(row.input_ids) for row in rows], settings.integer("cpu_batch_tokens")):
            sums[list(batch.rows)] = engine.nll_sums([rows[row] for row in batch.rows])
        return sums

    return score


_PLAIN = EngineChoice(TORCH, TORCH)
_PADDED = EngineOptions(packed=False, shared=False, tiled=False, choice=_PLAIN)
ENGINE = "the engine (chosen by measuring)"
WAYS: dict[str, Callable[[Any, Sequence[Encoded]], Losses]] = {
    "one by one, labels=": one_by_one,
    "padded by 8, all logits": padded_all_logits,
    "sorted, padded, head where scored": by_engine(_PADDED),
    "packed": by_engine(replace(_PADDED, packed=True)),
    "packed, tiled head": by_engine(replace(_PADDED, packed=True, tiled=True)),
    "packed, chunked cross-entropy, prefix sharing": by_engine(EngineOptions(choice=_PLAIN)),
    "the engine with oneDNN and blocks": by_engine(EngineOptions(choice=EngineChoice(ONEDNN, BLOCKS))),
    "the engine with torch's products and blocks": by_engine(EngineOptions(choice=EngineChoice(TORCH, BLOCKS))),
    ENGINE: by_engine(EngineOptions()),
}


def product_rates(shapes: Shapes, seconds: float = 1.0) -> tuple[float, float]:
    """Floating-point operations a CPU second of torch.mm, and of oneDNN's linear layer, at this size."""
    states, weight = torch.randn(1024, shapes.width), torch.randn(shapes.inner, shapes.width)
    turned = weight.t()

    def rate(multiply: Callable[[], object]) -> float:
        multiply()
        count, began = 0, time.process_time()
        while time.process_time() - began < seconds:
            multiply()
            count += 1
        return 2.0 * count * states.numel() * shapes.inner / (time.process_time() - began)

    plain = rate(lambda: torch.mm(states, turned))
    with torch.inference_mode(), products_by(ONEDNN, torch.device("cpu"), torch.float32):
        return plain, rate(lambda: F.linear(states, weight))


def read_rows(model: str, files: Sequence[Path], limit: int, max_length: int) -> list[Encoded]:
    """The first `limit` rows of each file that have a scored token, by the Alpaca template."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    examples = [
        record.example
        for path in files
        for record in islice(read_examples(path, SourceOptions()), limit)
        if isinstance(record, DatasetRow)
    ]
    encoded = encode_examples(examples, tokenizer, EncodingSpec("alpaca", max_length, "any"))
    return [row for row in encoded if row.reason is None]


def peak_of_process(command: Sequence[str]) -> float:
    """Peak resident memory of a process that does this."""
    done = subprocess.run([sys.executable, "-m", "bench.engine", *command], check=True, capture_output=True, text=True)
    return float(done.stdout.strip().splitlines()[-1])


_HARNESS = """
import json, sys, time, torch
torch.set_num_threads(1)
from lm_eval.models.huggingface import HFLM
folder, rows, answers = sys.argv[1:]
model = HFLM(pretrained=folder, device="cpu", dtype="float32", batch_size=8)
pairs = [(("", ""), row["ids"][:row["first"]], row["ids"][row["first"]:]) for row in json.load(open(rows))]
model._loglikelihood_tokens(pairs[:2], disable_tqdm=True)
print("ready", flush=True)
for _ in sys.stdin:
    began = time.process_time()
    sums = [-total for total, _ in model._loglikelihood_tokens(pairs, disable_tqdm=True)]
    json.dump({"seconds": time.process_time() - began, "sums": sums,
        "gigabytes": int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 2**20}, open(answers, "w"))
    print("done", flush=True)
"""


class Harness:
    """lm-evaluation-harness in a process of its own, kept loaded between rounds."""

    def __init__(self, python: str, model: str, rows: Sequence[Encoded], folder: Path) -> None:
        self._answers = folder / "answers.json"
        told = [{"ids": row.input_ids.tolist(), "first": int(np.argmax(row.scored))} for row in rows]
        (folder / "rows.json").write_text(json.dumps(told), encoding="ascii")
        self._process = subprocess.Popen(
            [python, "-c", _HARNESS, model, str(folder / "rows.json"), str(self._answers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._wait_for("ready")

    def score(self) -> dict[str, Any]:
        """CPU seconds of its process, nll_sum of each row, and the peak of its memory [GB]."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        self._wait_for("done")
        answer: dict[str, Any] = json.loads(self._answers.read_text(encoding="ascii"))
        return answer

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _wait_for(self, word: str) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == word:
                return
        raise SystemExit("lm-evaluation-harness ended early: has that Python lm_eval, torch and transformers?")


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run all ways, round by round."""
    rows = read_rows(arguments.model, arguments.rows, arguments.limit, arguments.max_length)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32).eval()
    names = [name for name in WAYS if not arguments.only or any(part in name for part in arguments.only)]
    for name in names:
        WAYS[name](model, rows[:2])
    shapes, losses = shapes_of(model), {}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    gigabytes: dict[str, float] = {}
    rates = []
    with tempfile.TemporaryDirectory() as folder:
        harness = Harness(arguments.lm_eval, arguments.model, rows, Path(folder)) if arguments.lm_eval else None
        if harness:
            seconds[_HARNESS_NAME] = []
        for _ in range(arguments.rounds):
            rates.append(product_rates(shapes))
            for name in names:
                began = time.process_time()
                losses[name] = WAYS[name](model, rows)
                seconds[name].append(time.process_time() - began)
            if harness:
                answer = harness.score()
                seconds[_HARNESS_NAME].append(answer["seconds"])
                losses[_HARNESS_NAME], gigabytes[_HARNESS_NAME] = np.array(answer["sums"]), answer["gigabytes"]
        if harness:
            harness.close()
    truth = losses[names[0]] if names[0] == "one by one, labels=" else one_by_one(model, rows)
    if not arguments.no_memory:
        given = ["--model", arguments.model, "--rows", *map(str, arguments.rows), "--limit", str(arguments.limit)]
        given += ["--max-length", str(arguments.max_length)]
        gigabytes |= {name: peak_of_process([*given, "--peak-of", name]) for name in names}
    return {
        "processor": processor(),
        "choice": choice_for(model).sentence,
        "rows": len(rows),
        "tokens": sum(len(row.input_ids) for row in rows),
        "scored": sum(row.token_count for row in rows),
        "weights_gigabytes": sum(p.numel() * p.element_size() for p in model.parameters()) / 2**30,
        "product_rates": [float(np.median([rate[part] for rate in rates])) for part in (0, 1)],
        "ways": {
            name: {
                "seconds": seconds[name],
                "operations": shapes.operations(
                    rows, "shared" in name or "engine" in name, settings.integer("cpu_batch_tokens")
                ),
                "peak_gigabytes": gigabytes.get(name),
                "worst_difference": float(
                    np.abs((losses[name] - truth) / [row.token_count for row in rows]).max(),
                ),
            }
            for name in seconds
        },
    }


_HARNESS_NAME = "lm-evaluation-harness, loglikelihood by 8"


def table(found: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    plain, fast = found["product_rates"]
    tokens = found["tokens"]
    first = np.median(next(iter(found["ways"].values()))["seconds"])
    lines = [
        f"{found['rows']:,} rows, {tokens:,} tokens, {found['scored']:,} scored; "
        f"weights {found['weights_gigabytes']:.2f} GB; "
        f"matrix products {plain / 1e9:.0f} GFLOP/s (torch.mm), {fast / 1e9:.0f} (oneDNN)",
        f"{found['processor']}; the engine: {found['choice']}",
        "",
        "| way | tokens/CPU-s (range) | x first | of torch.mm | of oneDNN | peak GB | worst nats/token off |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, way in found["ways"].items():
        seconds = np.array(way["seconds"])
        median = float(np.median(seconds))
        rate = way["operations"] / median
        peak = "" if way["peak_gigabytes"] is None else f"{way['peak_gigabytes']:.2f}"
        lines.append(
            f"| {name} | {tokens / median:.0f} ({tokens / seconds.max():.0f}-{tokens / seconds.min():.0f}) "
            f"| {first / median:.2f} | {rate / plain:.0%} | {rate / fast:.0%} | {peak} "
            f"| {way['worst_difference']:.1e} |"
        )
    return "\n".join([*lines, *_verdict(found["ways"])])


def _verdict(ways: dict[str, Any]) -> list[str]:
    """Whether the engine is at least as fast as every other way, medians compared."""
    medians = {name: float(np.median(way["seconds"])) for name, way in ways.items()}
    if ENGINE not in medians or len(medians) == 1:
        return []
    fastest = min(medians, key=lambda name: medians[name])
    share = medians[fastest] / medians[ENGINE]
    return ["", f"The engine runs at {share:.0%} of the fastest way's speed ({fastest})."]


def main() -> None:
    """Print the table; with --json also write what it was made from."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of a model")
    parser.add_argument("--rows", nargs="+", type=Path, required=True, help="files of rows")
    parser.add_argument("--limit", type=int, default=20, help="rows of each file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-length", type=int, default=1024, help="tokens")
    parser.add_argument("--lm-eval", metavar="PYTHON", help="a Python that has lm-evaluation-harness")
    parser.add_argument("--only", nargs="+", help="ways whose name has one of these parts")
    parser.add_argument("--no-memory", action="store_true", help="leave out the runs for the peaks of memory")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--peak-of", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.peak_of:
        rows = read_rows(arguments.model, arguments.rows, arguments.limit, arguments.max_length)
        WAYS[arguments.peak_of](AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32).eval(), rows)
        print(peak_gigabytes())
        return
    found = compare(arguments)
    print(table(found))
    keep_figures(arguments.json, found)


if __name__ == "__main__":
    main()
