"""Evaluations, run to their end: the losses of one model on a dataset, by domain."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..data.errors import ExportFailed
from ..exporting.exporter import check_folder
from ..jobs.job import Job
from ..models.resolving import resolve_model
from ..scoring.evaluating import (
    Evaluation,
    create_evaluation_job,
    evaluated_losses,
    missing_examples,
    plan_evaluation,
)
from ..scoring.planning import ScoreRequest, count_rows, resolve_encoding
from ..store import Store
from ..store.example_domains import example_domains
from ..system.atomic_files import replaced_durably
from ..system.paths import named_path
from ..system.workspace_files import check_output
from .running import Wait
from .supervisor import join_or_compute


def evaluate(
    store: Store, request: ScoreRequest, wait: Wait, example_ids: Sequence[str] | None = None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Losses of `request.reference` on its dataset's examples, or on some of them; computed where they are not cached.

    Returns one row an example (example_id, domain, nll_sum [nats], token_count) and a report: model, dataset, examples,
    computed, unscored, and overall and by domain the token-weighted and row-weighted loss [nats per token].
    """
    count_rows(store, request.dataset)
    base = resolve_model(request.base, store.workspace)
    encoding, _ = resolve_encoding(store, base, None, request)
    domains = example_domains(store, request.dataset)
    if example_ids is not None:
        domains = domains[domains["example_id"].isin(set(example_ids))]
    found = plan_evaluation(
        store, request.reference, base, request.dataset, encoding, domains["example_id"].tolist(), request.device,
        request.dtype,
    )  # fmt: skip
    computed = compute_losses(store, found, wait)
    losses = domains.merge(evaluated_losses(store, found), on="example_id").sort_values("example_id", ignore_index=True)
    return losses, {"model": found.model.label, "dataset": request.dataset, "computed": computed, **_report(losses)}


def compute_losses(store: Store, evaluation: Evaluation, wait: Wait) -> int:
    """Compute an evaluation's missing losses; an interrupted job's results are taken first. Returns how many."""
    first = int(missing_examples(store, evaluation).num_rows)
    while job := begin_evaluation(store, evaluation):
        wait(store, job)
    return first


def begin_evaluation(store: Store, evaluation: Evaluation, beside: Mapping[str, Any] | None = None) -> Job | None:
    """Start or join the job that computes an evaluation's missing losses; None if there are none. `beside`: as of
    `create_evaluation_job`."""

    def create() -> Job | None:
        missing = missing_examples(store, evaluation)
        return create_evaluation_job(store, evaluation, missing, beside or {}) if missing.num_rows else None

    return join_or_compute(store, evaluation.identity, create)


def check_evaluation_file(path: Path, workspace: Path) -> None:
    """Raise `ExportFailed` for another ending than .parquet and .csv, `PathRefused` for a place in the workspace. Call
    this before anything is computed."""
    check_output(named_path(str(path)), workspace)
    if path.suffix not in (".parquet", ".csv"):
        raise ExportFailed(f"{path.name!r} ends in neither .parquet nor .csv. Choose one of these endings.")
    check_folder(path.parent)


def write_evaluation(path: Path, losses: pd.DataFrame) -> None:
    """Write one row an example as .parquet or .csv. Raises `ExportFailed` if the disk refuses."""
    try:
        with replaced_durably(path) as temporary:
            (losses.to_csv if path.suffix == ".csv" else losses.to_parquet)(temporary, index=False)
    except OSError as error:
        raise ExportFailed(f"{path} cannot be written ({error.strerror}). Nothing was left behind.") from error


def _report(losses: pd.DataFrame) -> dict[str, Any]:
    scored = losses[losses["nll_sum"].notna() & (losses["token_count"] > 0)]
    return {
        "examples": len(losses),
        "unscored": len(losses) - len(scored),
        **_means(scored),
        "domains": {str(domain): _means(rows) for domain, rows in scored.groupby("domain")},
    }


def _means(rows: pd.DataFrame) -> dict[str, Any]:
    return {
        "rows": len(rows),
        "tokens": int(rows["token_count"].sum()),
        "loss": float(rows["nll_sum"].sum() / rows["token_count"].sum()) if len(rows) else None,
        "row_weighted_loss": float((rows["nll_sum"] / rows["token_count"]).mean()) if len(rows) else None,
    }
