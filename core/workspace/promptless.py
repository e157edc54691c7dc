"""Scores the responses of a run without their prompts, under its base or its reference, for IFD and PVI-like.

The losses are those of an evaluation with another encoding, so they are cached and resumed like any other.
"""

from dataclasses import replace
from typing import Any

from ..data.errors import ModelUnusable
from ..encoding.encoding_spec import CUT, EncodingSpec
from ..models.cross_fitted import combined_key
from ..models.resolving import ModelSpec
from ..scoring.evaluating import Evaluation, evaluation_of
from ..store import Store
from ..store.combined_losses import Combination, combine_losses
from .evaluation import compute_losses
from .running import Wait

ROLES = {"base": "base_alone", "reference": "reference_alone"}
"""The role of the losses without prompts, by that of the model."""


def score_without_prompts(
    store: Store, run: str, wait: Wait, reference: bool = False, device: str = "auto"
) -> dict[str, Any]:
    """Compute what is missing of the losses without prompts under a run's base (or its reference), and add them to the
    run. Each row is scored by the models of a cross-fitted reference that did not see it.

    Returns run, role, model, computed and rows (with such a loss). Raises `NotFound`, or `ModelUnusable` if the run
    does not say which models it has.
    """
    found = store.run(run)
    part = "reference" if reference else "base"
    plans = _evaluations(store, found, part, device)
    computed = sum(compute_losses(store, evaluation, wait) for _, evaluation in plans)
    loss_set = plans[0][1].loss_set
    if "cross_fitted" in found["description"] and reference:
        loss_set = _combined(store, str(found["dataset"]), plans)
    role = ROLES[part]
    store.save_run(run, str(found["dataset"]), {role: loss_set})
    rows = store.rows(f"SELECT count({role}_nll_sum) FROM {found['table']}")[0][0]
    return {"run": run, "role": role, "model": part, "computed": computed, "rows": int(rows)}


def _evaluations(store: Store, run: dict[str, Any], part: str, device: str) -> list[tuple[int, Evaluation]]:
    """What to compute, model by model, each with its seed."""
    description = run["description"]
    if not {"models", "encoding", "dtype"} <= description.keys() or "base" not in description["models"]:
        raise ModelUnusable(f"The run {run['name']!r} does not say which models it has. Score its dataset here first.")
    models = {name: ModelSpec(**fields) for name, fields in description["models"].items()}
    encoding = replace(EncodingSpec(**description["encoding"]), prompt=CUT)
    cross = description.get("cross_fitted")
    chosen = [(0, part)]
    if cross and part == "reference":
        chosen = [(int(one["seed"]), str(one["role"])) for one in cross["models"]]
    dtype = str(description["dtype"])
    return [
        (
            seed,
            evaluation_of(
                store, models[name], models["base"], str(run["dataset"]), encoding,
                _examples(store, str(run["dataset"]), models[name].fingerprint(dtype) if name != part else None),
                device, dtype,
            ),
        )
        for seed, name in chosen
    ]  # fmt: skip


def _examples(store: Store, dataset: str, unseen_by: str | None) -> list[str]:
    """Ids of a dataset's examples; `unseen_by`: only those that the model of this fingerprint was not trained on."""
    sql = (
        "SELECT DISTINCT example_id::VARCHAR FROM dataset_row WHERE dataset_id = ? AND example_id NOT IN "
        "(SELECT example_id FROM trained_example WHERE model_fingerprint = ?)"
    )
    return [example_id for (example_id,) in store.rows(sql, [store.dataset_id(dataset), unseen_by or ""])]


def _combined(store: Store, dataset: str, plans: list[tuple[int, Evaluation]]) -> int:
    """The loss set of the means over the models that have not seen a row."""
    fingerprints = [evaluation.model.fingerprint(evaluation.dtype) for _, evaluation in plans]
    key = combined_key(Combination.UNSEEN, fingerprints)
    target = store.ensure_loss_set(key, plans[0][1].encoding.fingerprint, "cross-fitted, without prompts")
    seeds = dict.fromkeys(seed for seed, _ in plans)
    groups = [[evaluation.loss_set for seed, evaluation in plans if seed == each] for each in seeds]
    combine_losses(store, target, groups, dataset, Combination.UNSEEN)
    return target
