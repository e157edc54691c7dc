"""Evaluation: the losses of one model on a dataset's examples, cached like any other, without a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from ..encoding.encoding_spec import EncodingSpec
from ..jobs.job import Job, create_job
from ..models.adapter_facts import check_repeatable
from ..models.devices import resolve_device, resolve_dtype
from ..models.resolving import ModelSpec, resolve_model
from ..models.tokenizer_comparison import compare_tokenizers
from ..store import Store

ROLE = "model"


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation computes: a model's losses on examples under an encoding. `base`: whose tokenizer is used."""

    dataset: str
    base: ModelSpec
    model: ModelSpec
    encoding: EncodingSpec
    device: str
    dtype: str
    loss_set: int
    example_ids: pa.Table

    @property
    def identity(self) -> dict[str, Any]:
        """Fields that identify its job."""
        return {"kind": "evaluate", "dataset": self.dataset, "loss_set": self.loss_set}


def plan_evaluation(
    store: Store,
    model: str,
    base: ModelSpec,
    dataset: str,
    encoding: EncodingSpec,
    example_ids: Sequence[str],
    device: str = "auto",
    dtype: str = "auto",
) -> Evaluation:
    """Resolve an evaluation on some of a dataset's examples; nothing is loaded.

    Raises `ModelUnusable`, or `TokenizerMismatch` if the model reads other tokens than the base.
    """
    spec = resolve_model(model, store.workspace, base)
    check_repeatable(spec)
    compare_tokenizers(Path(base.path), Path(spec.path))
    return evaluation_of(store, spec, base, dataset, encoding, example_ids, device, dtype)


def evaluation_of(
    store: Store,
    spec: ModelSpec,
    base: ModelSpec,
    dataset: str,
    encoding: EncodingSpec,
    example_ids: Sequence[str],
    device: str,
    dtype: str,
) -> Evaluation:
    """The evaluation of a model that was resolved and checked already."""
    on = resolve_device(device)
    precision = resolve_dtype(dtype, on)
    loss_set = store.ensure_loss_set(spec.fingerprint(precision), encoding.fingerprint, spec.label)
    ids = pa.table({"example_id": pa.array(sorted(set(example_ids)), pa.string())})
    return Evaluation(dataset, base, spec, encoding, device, precision, loss_set, ids)


def missing_examples(store: Store, evaluation: Evaluation) -> pa.Table:
    """Examples of an evaluation without a loss, as a job's file."""
    sql = """
        SELECT example_id::VARCHAR AS example_id, conversation, '' AS domain FROM example
        WHERE example_id IN (SELECT example_id::UUID FROM wanted)
        AND example_id NOT IN (SELECT example_id FROM loss WHERE loss_set_id = ?) ORDER BY example.example_id
    """
    return store.arrow(sql, [evaluation.loss_set], wanted=evaluation.example_ids)


def create_evaluation_job(store: Store, evaluation: Evaluation, missing: pa.Table, beside: Mapping[str, Any]) -> Job:
    """Create the job for an evaluation's missing losses; it is not started. `beside`: fields of one that may run beside
    others of a trial (`core.jobs.side_by_side`)."""
    part = {"role": ROLE, "model": evaluation.model.to_fields(), "loss_set": evaluation.loss_set}
    request = {
        **beside,
        **evaluation.identity,
        "description": {
            "models": {ROLE: evaluation.model.to_fields()},
            "model_fingerprints": {ROLE: evaluation.model.fingerprint(evaluation.dtype)},
            "encoding": evaluation.encoding.to_fields(),
            "encoding_fingerprint": evaluation.encoding.fingerprint,
            "dtype": evaluation.dtype,
        },
        "base": evaluation.base.to_fields(),
        "encoding": evaluation.encoding.to_fields(),
        "device": evaluation.device,
        "dtype": evaluation.dtype,
        "parts": [part],
        "asks_base": True,
    }
    return create_job(store.workspace, request, {ROLE: missing})


def evaluated_losses(store: Store, evaluation: Evaluation) -> pd.DataFrame:
    """Losses of an evaluation's examples: example_id, nll_sum [nats], token_count, end_nll_sum, end_token_count."""
    sql = """
        SELECT example_id::VARCHAR AS example_id, nll_sum, token_count, end_nll_sum, end_token_count
        FROM loss WHERE loss_set_id = ? AND example_id IN (SELECT example_id::UUID FROM wanted) ORDER BY example_id
    """
    found: pd.DataFrame = store.arrow(sql, [evaluation.loss_set], wanted=evaluation.example_ids).to_pandas()
    return found
