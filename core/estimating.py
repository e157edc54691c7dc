"""What a scoring job will cost, from a short probe: the real encoding, a few real batches of the base model."""

import time
from typing import Any

import numpy as np

from core.devices import batch_budget, resolve_device
from core.encoding import EncodingSpec, encode_examples
from core.jobs import Job, Progress, read_examples_file
from core.model_loading import load_model, load_tokenizer
from core.models import ModelSpec
from core.response_loss import LossEngine

_PROBE_SECONDS = 4.0
_SHOWN_ROWS = 3


def estimate(job: Job) -> dict[str, Any]:
    """Tokens and seconds that the job's request would take, and how its first rows are encoded.

    Request: base (ModelSpec fields), encoding, device, dtype, and the number of examples missing for
    each model, of which `examples.parquet` holds a sample. Returns tokens [for both models], seconds,
    tokens_per_second, unscorable (share of rows with nothing to score), truncated (share), and `shown`.
    """
    request = job.request
    job.report(Progress("reading a sample of the examples"))
    base = ModelSpec(**request["base"])
    tokenizer = load_tokenizer(base)
    _, examples, _ = read_examples_file(job, "examples")
    encoded = encode_examples(examples, tokenizer, EncodingSpec(**request["encoding"]))
    usable = [item for item in encoded if item.reason is None]
    tokens_per_row = sum(len(item.input_ids) for item in usable) / max(1, len(encoded))
    tokens = tokens_per_row * sum(request["missing"].values())
    pace = _tokens_per_second(job, request, base, usable) if usable and tokens else None
    return {
        "tokens": round(tokens),
        "tokens_per_second": pace,
        "seconds": tokens / pace if pace else 0.0,
        "unscorable": 1 - len(usable) / max(1, len(encoded)),
        "truncated": sum(item.truncated for item in encoded) / max(1, len(encoded)),
        "reasons": sorted({item.reason for item in encoded if item.reason is not None}),
        "shown": [_pieces(item, tokenizer) for item in usable[:_SHOWN_ROWS]],
    }


def _tokens_per_second(job: Job, request: dict[str, Any], base: ModelSpec, usable: list[Any]) -> float:
    job.report(Progress("timing a few batches of the base model"))
    device = resolve_device(request["device"])
    engine = LossEngine(load_model(base, request["dtype"], device))
    batches = engine.plan([len(item.input_ids) for item in usable], batch_budget(device))
    engine.nll_sums([usable[row] for row in batches[-1].rows])  # the first batch pays for warming up
    tokens, began = 0, time.monotonic()
    # Spread over the plan: long rows cost more a token than short ones.
    for index in np.random.default_rng(0).permutation(len(batches)):
        rows = [usable[row] for row in batches[index].rows]
        engine.nll_sums(rows)
        tokens += sum(len(item.input_ids) for item in rows)
        if time.monotonic() - began > _PROBE_SECONDS:
            break
    return tokens / (time.monotonic() - began)


def _pieces(item: Any, tokenizer: Any) -> list[list[Any]]:
    """Each token's text and whether it is scored."""
    texts = tokenizer.convert_ids_to_tokens(item.input_ids.tolist())
    readable = [tokenizer.convert_tokens_to_string([text]) or text for text in texts]
    return [[text, bool(scored)] for text, scored in zip(readable, item.scored, strict=True)]
