"""Scores the responses of a run without their prompts: under its base for IFD, its reference for PVI-like, or a null
reference, which was trained without prompts, for PVI.

The losses are those of an evaluation with another encoding, so they are cached and resumed like any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..data.errors import ModelUnusable
from ..encoding.encoding_spec import CUT, EncodingSpec
from ..jobs.job import Job
from ..models.cross_fitted import combined_key, cross_fitted, is_cross_fitted
from ..models.folder_check import read_json
from ..models.provenance import PROVENANCE
from ..models.resolving import ModelSpec
from ..scoring.evaluating import Evaluation, evaluation_of
from ..store import Store
from ..store.combined_losses import Combination, combine_losses
from .evaluation import begin_evaluation, compute_losses
from .running import Wait

ROLES = {"base": "base_alone", "reference": "reference_alone", "null reference": "null_reference"}
"""The role of the losses without prompts, by that of the model."""


_Models = Sequence[tuple[int, ModelSpec, bool]]
"""Models that score a run, with their seeds, and whether each scores only the rows that it did not see."""


def score_without_prompts(
    store: Store,
    run: str,
    wait: Wait,
    reference: bool = False,
    device: str = "auto",
    null_reference: str | None = None,
) -> dict[str, Any]:
    """Compute what is missing of the losses without prompts under a run's base (or its reference, or the null reference
    of that name), and add them to the run. Each row is scored by the models of a cross-fitted reference that did not
    see it.

    Returns run, role, model, computed and rows (with such a loss). Raises `NotFound`, or `ModelUnusable` if the run
    does not say which models it has, or for a null reference that is not cross-fitted, or not trained for this run.
    """
    asked = _asked(store, run, reference, device, null_reference)
    computed = sum(compute_losses(store, evaluation, wait) for _, evaluation in asked.plans)
    rows = _add(store, asked)
    return {"run": run, "role": ROLES[asked.part], "model": asked.part, "computed": computed, "rows": rows}


def begin_without_prompts(store: Store, run: str, reference: bool = False) -> Job | None:
    """Start or join the next job of those losses; None if none is missing, and then the run has them. Call it again
    when the job has ended. Raises as `score_without_prompts`."""
    asked = _asked(store, run, reference, "auto", None)
    for _, evaluation in asked.plans:
        if job := begin_evaluation(store, evaluation):
            return job
    _add(store, asked)
    return None


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is computed for a run: the evaluations by the seeds of their models. `part`: a key of `ROLES`; `combines`:
    each row is judged by the models that did not see it."""

    run: str
    dataset: str
    part: str
    plans: list[tuple[int, Evaluation]]
    combines: bool


def _asked(store: Store, run: str, reference: bool, device: str, null_reference: str | None) -> _Asked:
    found = store.run(run)
    description = found["description"]
    if not {"models", "encoding", "dtype"} <= description.keys() or "base" not in description["models"]:
        raise ModelUnusable(f"The run {run!r} does not say which models it has. Score its dataset here first.")
    if null_reference is not None:
        part, models = "null reference", _null_models(store, found, null_reference)
    else:
        part = "reference" if reference else "base"
        models = _own_models(description, part)
    return _Asked(run, str(found["dataset"]), part, _evaluations(store, found, models, device), models[0][2])


def _add(store: Store, asked: _Asked) -> int:
    """Add the losses to the run; returns the number of rows with one."""
    loss_set = _combined(store, asked.dataset, asked.plans) if asked.combines else asked.plans[0][1].loss_set
    role = ROLES[asked.part]
    store.save_run(asked.run, asked.dataset, {role: loss_set})
    return int(store.rows(f"SELECT count({role}_nll_sum) FROM {store.run(asked.run)['table']}")[0][0])


def _own_models(description: dict[str, Any], part: str) -> _Models:
    models = {name: ModelSpec(**fields) for name, fields in description["models"].items()}
    cross = description.get("cross_fitted")
    if cross and part == "reference":
        return [(int(one["seed"]), models[str(one["role"])], True) for one in cross["models"]]
    return [(0, models[part], False)]


def _null_models(store: Store, run: dict[str, Any], name: str) -> _Models:
    """The models of a null reference, after what they were trained on is recorded."""
    description = run["description"]
    base = ModelSpec(**description["models"]["base"])
    if "cross_fitted" not in description or not is_cross_fitted(name, store.workspace):
        run_reference = f"The reference of the run {run['name']!r}"
        which = f"The reference {name!r}" if "cross_fitted" in description else run_reference
        raise ModelUnusable(
            f"{which} is not a cross-fitted one of this workspace, and models that saw a row know more of it than its "
            "prompt tells. Train both with --folds 2, or use pvi_like."
        )
    null = cross_fitted(name, store.workspace, base)
    wanted = replace(EncodingSpec(**description["encoding"]), prompt=CUT).to_fields()
    for model in null.models:
        provenance = read_json(Path(model.spec.adapter or model.spec.path) / PROVENANCE)
        if provenance.get("encoding") != wanted or provenance.get("base_weights_hash") != base.weights_hash:
            raise ModelUnusable(
                f"The reference {name!r} was not trained without prompts on the base, template and length of the run "
                f"{run['name']!r}. Train one with train --without-prompts, otherwise as the run's reference."
            )
        store.record_training(model.spec.fingerprint(str(description["dtype"])), null.trained_examples(model))
    return [(model.seed, model.spec, True) for model in null.models]


def _evaluations(store: Store, run: dict[str, Any], models: _Models, device: str) -> list[tuple[int, Evaluation]]:
    """What to compute, model by model, each with its seed."""
    description, dataset = run["description"], str(run["dataset"])
    base, dtype = ModelSpec(**description["models"]["base"]), str(description["dtype"])
    encoding = replace(EncodingSpec(**description["encoding"]), prompt=CUT)
    return [
        (
            seed,
            evaluation_of(
                store, model, base, dataset, encoding,
                _examples(store, dataset, model.fingerprint(dtype) if unseen_only else None), device, dtype,
            ),
        )
        for seed, model, unseen_only in models
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
