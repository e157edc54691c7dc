"""Estimates a scoring job's time from a short probe: the job's models, encoding and batches, on a sample of rows.

A few of the sample's batches are timed. The time of the others is assumed to be proportional to their work: one
multiplication per trunk weight and token, and per head weight and scored token.
"""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.encoded import Encoded
from ..data.examples import Example
from ..encoding.encode import FOLDED_SYSTEM, encode_and_render, token_roles
from ..encoding.encoding_spec import EncodingSpec
from ..engine.batch_budget import smaller_budget
from ..engine.loss_engine import LossEngine
from ..engine.packing import pack_rows
from ..engine.response_loss import NOISE_ROWS
from ..jobs.job import Job, read_examples_file
from ..jobs.job_progress import Progress
from ..models.devices import batch_budget, encoding_processes, resolve_device, scoring_processes
from ..models.loading import load_model, load_tokenizer, peak_memory
from ..models.resolving import ModelSpec
from ..models.vocabulary import readable_ids, without_unreadable
from ..system.process_facts import process_age
from .job_spread import load_for
from .passes import share_weights

_PROBE_SECONDS = 4.0
_SHOWN_ROWS = 3


def estimate(job: Job) -> dict[str, Any]:
    """Estimate tokens and seconds for the job's request, and show how its first rows are encoded.

    Request: base and reference (ModelSpec fields), encoding, device, dtype, and the number of examples missing for
    each model; `examples.parquet` has a sample of these. Returns tokens [for both models], seconds [from the start of
    the worker, loading and encoding included], tokens_per_second [while scoring], unscorable (share of rows with
    nothing to score), truncated (share), cut_by_template (share of rows whose replies the template shortens), left_out
    (mean share of the reply omitted in these rows), notices (sentences), device, memory_bytes (the most that a process
    needed so far), and `shown`.
    """
    request = job.request
    job.report(Progress("Reading a sample of the examples"))
    base = ModelSpec(**request["base"])
    reference = ModelSpec(**request.get("reference", request["base"]))
    spec = EncodingSpec(**request["encoding"])
    tokenizer = load_tokenizer(base, spec.tokenizer_fingerprint)
    _, examples, _ = read_examples_file(job, "examples")
    started = process_age()  # time for starting, importing and reading
    began = time.monotonic()
    found = encode_and_render(examples, tokenizer, spec, with_turns=True)
    encoded = [item for item, _ in found]
    encoded = without_unreadable(encoded, readable_ids(base, base, reference))
    encoding_seconds = (time.monotonic() - began) / max(1, len(examples))
    usable = [item for item in encoded if item.reason is None]
    missing = {role: count for role, count in request["missing"].items() if count}
    tokens = sum(len(item.input_ids) for item in usable) / max(1, len(encoded)) * sum(missing.values())
    scoring = loading = computed = 0.0
    device = resolve_device(request["device"])
    if usable and tokens:
        noise = 2 * min(NOISE_ROWS, len(usable)) / len(usable)
        computed = tokens + noise * sum(_lengths(usable)) * len(missing)
        scoring, loading = _scoring_seconds(
            job, device, usable, {role: count / len(encoded) + noise for role, count in missing.items()}
        )
    cut = [item.left_out for item in encoded if item.left_out]
    encoding = encoding_seconds * max(missing.values(), default=0) / scoring_processes(device, job.placement)
    working = working_seconds(scoring, encoding, encoding_processes(device))
    return {
        "tokens": round(tokens),
        "tokens_per_second": computed / scoring if scoring else None,
        "seconds": started + loading + working if scoring else 0.0,
        "unscorable": 1 - len(usable) / max(1, len(encoded)),
        "truncated": sum(item.truncated for item in encoded) / max(1, len(encoded)),
        "cut_by_template": len(cut) / max(1, len(encoded)),
        "left_out": sum(cut) / len(cut) if cut else 0.0,
        "device": device,
        "memory_bytes": peak_memory(device) if scoring else 0,
        "notices": [FOLDED_SYSTEM] if any(item.folded_system for item in encoded) else [],
        "reasons": sorted({item.reason for item in encoded if item.reason is not None}),
        "shown": [
            _pieces(example, item, tokenizer)
            for example, item in zip(examples, encoded, strict=True)
            if item.reason is None
        ][:_SHOWN_ROWS],
    }


def working_seconds(scoring: float, encoding: float, ahead: int) -> float:
    """Seconds for scoring and encoding, with `ahead` parallel encoding processes (or 0)."""
    return max(scoring, encoding / ahead) if ahead else scoring + encoding


def _scoring_seconds(job: Job, device: str, usable: list[Encoded], times: dict[str, float]) -> tuple[float, float]:
    """Seconds for scoring the sample `times` times with each model, and seconds for loading the models.

    A reference that is not an adapter is assumed to cost as much as the base; loading time scales with its file sizes.
    """
    request = job.request
    base = ModelSpec(**request["base"])
    reference = ModelSpec(**request.get("reference", request["base"]))
    shares = share_weights(base, reference) and "reference" in times
    job.report(Progress("Timing both models" if shares else "Timing the base model"))
    began = time.monotonic()
    model = load_for(job, load_model, reference if shares else base, device)
    engines = {"base": LossEngine(model, without_adapter=True)}
    engines["reference"] = LossEngine(model) if shares else engines["base"]
    loading = time.monotonic() - began
    budget = batch_budget(device)
    seconds = sum(count * _sample_seconds(engines[role], model, usable, budget) for role, count in times.items())
    if not shares:
        loading *= sum(_weight_bytes(base if role == "base" else reference) for role in times) / _weight_bytes(base)
    return seconds / scoring_processes(device, job.placement), loading


def _sample_seconds(engine: LossEngine, model: torch.nn.Module, usable: list[Encoded], budget: int) -> float:
    """Seconds for scoring the sample once, with a smaller batch size if GPU memory runs out."""
    while True:
        with suppress(torch.cuda.OutOfMemoryError):  # also frees the batch's GPU tensors
            return _timed_seconds(engine, model, usable, budget)
        budget = smaller_budget(budget, usable)


def _timed_seconds(engine: LossEngine, model: torch.nn.Module, usable: list[Encoded], budget: int) -> float:
    batches = [[usable[row] for row in batch.rows] for batch in engine.plan(_lengths(usable), budget)]
    work = _work(engine, model, batches)
    engine.nll_sums(batches[-1][:2])  # warm up
    timed, began = 0.0, time.monotonic()
    # Spread over the plan: long rows cost more per token than short ones.
    for index in np.random.default_rng(0).permutation(len(batches)):
        engine.nll_sums(batches[index])
        timed += work[index]
        if time.monotonic() - began > _PROBE_SECONDS:
            break
    return (time.monotonic() - began) * sum(work) / timed


def _work(engine: LossEngine, model: Any, batches: list[list[Encoded]]) -> list[float]:
    """Multiplications for each batch."""
    head = model.get_output_embeddings()
    looked_up = {id(part) for embedding in (head, model.get_input_embeddings()) for part in embedding.parameters()}
    trunk = sum(part.numel() for part in model.parameters() if id(part) not in looked_up)
    of_head = sum(part.numel() for part in head.parameters())
    work = []
    for rows in batches:
        tokens = len(pack_rows(rows).input_ids) if engine.packs else max(_lengths(rows)) * len(rows)
        work.append(float(trunk * tokens + of_head * sum(row.token_count for row in rows)))
    return work


def _lengths(rows: list[Encoded]) -> list[int]:
    return [len(row.input_ids) for row in rows]


def _weight_bytes(spec: ModelSpec) -> int:
    return sum(path.stat().st_size for path in Path(spec.path).glob("*.safetensors"))


def _pieces(example: Example, item: Encoded, tokenizer: Any) -> list[list[Any]]:
    """Each token's text, whether it is scored, and its role (see `token_roles`)."""
    texts = tokenizer.convert_ids_to_tokens(item.input_ids.tolist())
    readable = [tokenizer.convert_tokens_to_string([text]) or text for text in texts]
    return [
        [text, bool(scored), role]
        for text, scored, role in zip(readable, item.scored, token_roles(example, item), strict=True)
    ]
