"""The engine on a GPU: how fast, how near the card's own rate of matrix products, how much memory, how exact.

    python -m bench.gpu [--models FOLDER...] [--json FILE] [--minutes 7.5]

Random weights in Llama's form of 0.5, 1.5 and 7 billion parameters, then each model folder given (by default the demo's
base), all with a bfloat16 trunk, on made-up rows with the lengths of instruction data. For each: useful tokens a second
over the whole of `response_losses`, the share of the measured bfloat16 rate that their useful work is, the peak of
allocated memory, how far losses are from the same weights computed in float32, and the noise floor that a run records.
What the time does not suffice for is left out, and said.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from bench.figures import keep_figures
from bench.shapes import shapes_of
from core.data import settings
from core.data.encoded import Encoded
from core.engine.loss_engine import LossEngine
from core.engine.response_loss import measure_noise, response_losses
from core.models.devices import batch_budget
from core.models.resolving import DEMO_BASE

DEMO = Path(__file__).resolve().parent.parent / DEMO_BASE
_PROBE_ROWS = 64
_EXACT_ROWS = 16
_TEMPLATE_TOKENS = 40
_SECONDS_A_MODEL = 25.0
_PRODUCTS = 100
"""In a row: a card that has just woken, and one that is not yet warm, are no measure."""


@dataclass(frozen=True, slots=True)
class Size:
    """A model of Llama's form, and what it needs of the card in float32, the wider of the two forms [GB]."""

    hidden: int
    inner: int
    layers: int
    heads: int
    key_heads: int
    vocabulary: int
    tied: bool

    def config(self) -> LlamaConfig:
        """As transformers wants it."""
        return LlamaConfig(
            hidden_size=self.hidden,
            intermediate_size=self.inner,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.key_heads,
            vocab_size=self.vocabulary,
            tie_word_embeddings=self.tied,
            max_position_embeddings=4096,
        )


SIZES = {
    "0.5B": Size(896, 4864, 24, 14, 2, 151_936, True),
    "1.5B": Size(1536, 8960, 28, 12, 2, 151_936, True),
    "7B": Size(4096, 11_008, 32, 32, 32, 32_000, False),
}
TINY = {"tiny": Size(64, 160, 2, 4, 2, 512, True)}
"""What `--tiny` runs instead: whether the benchmark itself works, on any machine."""


def made_up_rows(count: int, vocabulary: int, longest: int, seed: int = 0) -> list[Encoded]:
    """Rows with the lengths of instruction data: log-normal about 300 tokens, the last half or so scored, a template
    at the beginning of each."""
    random = np.random.default_rng(seed)
    template = random.integers(0, vocabulary, _TEMPLATE_TOKENS)
    rows = []
    for length in np.clip(random.lognormal(np.log(300), 0.7, count), _TEMPLATE_TOKENS + 16, longest).astype(int):
        ids = np.concatenate([template, random.integers(0, vocabulary, length - _TEMPLATE_TOKENS)]).astype(np.int32)
        first = int(random.uniform(_TEMPLATE_TOKENS + 2, length - 4))
        rows.append(Encoded(ids, np.arange(length) >= first, False))
    return rows


def product_rate(device: str, dtype: torch.dtype, size: int) -> float:
    """Floating-point operations a second of a square matrix product, the best of several rounds."""
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = 0.0
    for _ in range(5):
        _wait(device)
        began = time.perf_counter()
        for _ in range(_PRODUCTS):
            torch.mm(left, right)
        _wait(device)
        best = max(best, _PRODUCTS * 2.0 * size**3 / (time.perf_counter() - began))
    return best


def measure_model(model: Any, device: str, rate: float, seconds: float) -> dict[str, Any]:
    """Speed, memory, noise floor and exactness of one model that lies on the device in its own precision."""
    config = model.config.get_text_config()
    longest = min(2048, config.max_position_embeddings)
    probe = made_up_rows(_PROBE_ROWS, config.vocab_size, longest)
    list(response_losses(model, probe, batch_budget(device)))  # compiles and warms what there is to
    pace = _timed(model, probe, device)["tokens_per_second"]
    mean = sum(len(row.input_ids) for row in probe) / len(probe)
    rows = made_up_rows(max(_PROBE_ROWS, int(pace * seconds / mean)), config.vocab_size, longest, seed=1)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    found = _timed(model, rows, device)
    useful = shapes_of(model).operations(rows, share=True, token_budget=batch_budget(device))
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    return {
        **found,
        "path": LossEngine(model).path,
        "share_of_product_rate": useful / found["seconds"] / rate,
        "weights_gigabytes": weights / 2**30,
        "peak_gigabytes": torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else None,
        "noise_floor": measure_noise(model, probe),
        "from_float32": _from_float32(model, probe[:_EXACT_ROWS], device),
    }


def _timed(model: Any, rows: Sequence[Encoded], device: str) -> dict[str, Any]:
    tokens, losses = 0, np.zeros(len(rows))
    _wait(device)
    began = time.perf_counter()
    for batch in response_losses(model, rows, batch_budget(device)):
        tokens += batch.tokens
        losses[list(batch.rows)] = batch.nll_sums
    _wait(device)
    seconds = time.perf_counter() - began
    return {"rows": len(rows), "tokens": tokens, "seconds": seconds, "tokens_per_second": tokens / seconds}


def _from_float32(model: Any, rows: Sequence[Encoded], device: str) -> dict[str, float] | str:
    """Differences of losses per token from those of the same weights computed in float32; turns the model to it."""
    counts = np.array([row.token_count for row in rows])
    before = _sums(model, rows, device) / counts
    try:
        moved = np.abs(before - _sums(model.float(), rows, device) / counts)
    except torch.cuda.OutOfMemoryError:
        return "the weights in float32 did not fit"
    return {"mean": float(moved.mean()), "worst": float(moved.max())}


def _sums(model: Any, rows: Sequence[Encoded], device: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    sums = np.zeros(len(rows))
    for batch in response_losses(model, rows, batch_budget(device)):
        sums[list(batch.rows)] = batch.nll_sums
    return sums


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def models_to_measure(sizes: dict[str, Size], folders: Sequence[str], device: str) -> dict[str, Callable[[], Any]]:
    """By its name, how each model comes onto the device in bfloat16; the one before it is to be let go of by then."""
    made = {f"Llama's form, {name}, random weights": partial(_made_up_model, sizes[name], device) for name in sizes}
    return {**made, **{Path(folder).name: partial(_read_model, folder, device) for folder in folders}}


def _made_up_model(size: Size, device: str) -> Any:
    torch.manual_seed(0)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(size.config(), dtype=torch.bfloat16).eval()


def _read_model(folder: str, device: str) -> Any:
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, use_safetensors=True)
    return model.to(device).eval()


def measure(folders: Sequence[str], minutes: float, tiny: bool = False) -> dict[str, Any]:
    """Everything, within about so many minutes."""
    end = time.monotonic() + 60 * minutes
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = False  # float32 is what bfloat16 is held to
    rate = product_rate(device, torch.bfloat16, 256 if tiny else 8192)
    sizes, seconds = (TINY, 0.2) if tiny else (SIZES, _SECONDS_A_MODEL)
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "torch": torch.__version__,
        "batch_tokens": settings.integer(f"{device}_batch_tokens"),
        "product_rate": rate,
        "models": {},
        "left_out": [],
    }
    slowest = 0.0
    for name, load in models_to_measure(sizes, folders, device).items():
        began = time.monotonic()
        if began + max(slowest, 2 * seconds) > end:
            found["left_out"].append(name)
            continue
        found["models"][name] = measure_model(load(), device, rate, seconds)
        if device == "cuda":
            torch.cuda.empty_cache()
        slowest = max(slowest, time.monotonic() - began)
    return found


def table(found: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    lines = [
        f"{found['device']}, torch {found['torch']}, bfloat16 products at {found['product_rate'] / 1e12:.1f} TFLOP/s, "
        f"batches of {found['batch_tokens']:,} tokens",
        "",
        "| model | tokens/s | of the product rate | weights GB | peak GB | noise floor | from float32: mean, worst |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in found["models"].items():
        peak = "" if row["peak_gigabytes"] is None else f"{row['peak_gigabytes']:.1f}"
        exact = row["from_float32"]
        moved = exact if isinstance(exact, str) else f"{exact['mean']:.1e}, {exact['worst']:.1e}"
        lines.append(
            f"| {name} | {row['tokens_per_second']:,.0f} | {row['share_of_product_rate']:.0%} "
            f"| {row['weights_gigabytes']:.1f} | {peak} | {row['noise_floor']:.1e} | {moved} |"
        )
    lines += [f"Left out for want of time: {name}." for name in found["left_out"]]
    return "\n".join(lines)


def main() -> None:
    """Print the table; with --json also write what it was made from."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=[str(DEMO)], help="folders of models")
    parser.add_argument("--minutes", type=float, default=7.5)
    parser.add_argument("--tiny", action="store_true", help="a tiny model on any device, to see that this works")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    if not (torch.cuda.is_available() or arguments.tiny):
        raise SystemExit("torch sees no GPU here. With --tiny the benchmark itself can be tried on a CPU.")
    found = measure(arguments.models, arguments.minutes, arguments.tiny)
    print(table(found))
    keep_figures(arguments.json, found)


if __name__ == "__main__":
    main()
