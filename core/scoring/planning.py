"""Plans a scoring job: resolves models, finds cached losses, and requests only the missing ones."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from ..data import settings
from ..data.errors import FoldsUnusable, ModelUnusable, NoUsableRows
from ..encoding.encoding_spec import EncodingSpec
from ..encoding.template_choice import AUTO, choose_template, parsed_date, template_source
from ..encoding.templates import REPLIES, asks_for_date
from ..jobs.job import Job, create_job
from ..models.adapter_facts import check_repeatable
from ..models.config_facts import window_length
from ..models.cross_fitted import CrossFitted, cross_fitted, is_cross_fitted
from ..models.devices import resolve_device, resolve_dtype
from ..models.quantizing import quantization_notice, quantized, storage_difference, storage_notice
from ..models.resolving import (
    ModelSpec,
    adapter_notice,
    resolve_model,
    tokenizer_fingerprint,
)
from ..models.tokenizer_comparison import compare_tokenizers
from ..models.vocabulary import vocabulary_notice
from ..store import Store
from ..store.store import DATASET_KEY
from .cross_fitting import combined_sets

ROLES = ("base", "reference")
"""Roles of the losses in a scoring request with one reference model."""
_ESTIMATE_ROWS = 512


class EncodingRequest(Protocol):
    """The fields of a request that decide how rows are encoded."""

    @property
    def template(self) -> str: ...
    @property
    def max_length(self) -> int | None: ...
    @property
    def replies(self) -> str: ...
    @property
    def template_date(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """A user's scoring request; `auto` and None are resolved by `plan_scoring`. `own`: with a cross-fitted reference,
    also score each row by the models that were trained on it, to show what is memory."""

    dataset: str
    base: str
    reference: str
    run: str | None = None
    template: str = AUTO
    max_length: int | None = None
    device: str = "auto"
    dtype: str = "auto"
    replies: str = "all"
    template_date: str | None = None
    own: bool = False
    quantization: str | None = None

    @property
    def run_name(self) -> str:
        """The run's name: as given, or made from dataset and reference."""
        reference = self.reference.rstrip("/").rsplit("/", 1)[-1]
        return self.run or (reference if reference.startswith(self.dataset) else f"{self.dataset}-{reference}")


@dataclass(frozen=True, slots=True)
class ScorePlan:
    """A resolved request: exactly what would be computed. `models`, `loss_sets`, `wanted` (losses needed) and
    `computed` (those missing) are by role: base and reference, or base and each model of a cross-fitted reference
    (`cross`);
    `template_sentence`: which template is used; `notices`: warnings about the models that affect how far the scores can
    be trusted."""

    request: ScoreRequest
    models: dict[str, ModelSpec]
    loss_sets: dict[str, int]
    encoding: EncodingSpec
    device: str
    dtype: str
    row_count: int
    unique_examples: int
    computed: dict[str, int]
    wanted: dict[str, int]
    template_sentence: str
    notices: tuple[str, ...] = ()
    cross: CrossFitted | None = None
    dataset_key: str = ""

    @property
    def roles(self) -> tuple[str, ...]:
        """Names of the models whose losses are computed."""
        return tuple(self.models)

    @property
    def cached(self) -> dict[str, int]:
        """Number of cached losses, by role."""
        return {role: self.wanted[role] - self.computed[role] for role in self.roles}

    @property
    def is_complete(self) -> bool:
        """Whether no loss is missing."""
        return not any(self.computed.values())

    @property
    def identity(self) -> dict[str, Any]:
        """Fields that identify a job: two jobs with the same fields do the same work."""
        fields = {
            "kind": "score",
            "dataset": self.request.dataset,
            DATASET_KEY: self.dataset_key,
            "loss_sets": self.loss_sets,
        }
        return fields | ({"own": True} if self.cross and self.request.own else {})

    @property
    def description(self) -> dict[str, Any]:
        """The run's settings, for its record and for manifests."""
        return {
            "models": {role: spec.to_fields() for role, spec in self.models.items()},
            "model_fingerprints": {role: spec.fingerprint(self.dtype) for role, spec in self.models.items()},
            "encoding": self.encoding.to_fields(),
            "encoding_fingerprint": self.encoding.fingerprint,
            "dtype": self.dtype,
            **({"notices": list(self.notices)} if self.notices else {}),
            **({"cross_fitted": self.cross.to_fields() | {"own": self.request.own}} if self.cross else {}),
        }


def plan_scoring(store: Store, request: ScoreRequest) -> ScorePlan:
    """Resolve a request and find missing losses; no model is loaded.

    Raises `NotFound`, `ModelUnusable`, `TokenizerMismatch`, `NameTaken` or `NoUsableRows`.
    """
    row_count, unique_examples = count_rows(store, request.dataset)
    base = resolve_model(request.base, store.workspace)
    cross = None
    if is_cross_fitted(request.reference, store.workspace):
        cross = cross_fitted(request.reference, store.workspace, base)
        models = {"base": base, **{model.role: model.spec for model in cross.models}}
    else:
        models = {"base": base, "reference": resolve_model(request.reference, store.workspace, base)}
    _check_own(request, cross)
    models = {role: quantized(spec, request.quantization) for role, spec in models.items()}
    base = models["base"]
    for spec in models.values():
        check_repeatable(spec)
    references = [spec for role, spec in models.items() if role != "base"]
    found = [(storage_notice(base), quantization_notice(spec), *compare_models(base, spec)) for spec in references]
    notices = tuple(dict.fromkeys(notice for of_one in found for notice in of_one if notice))
    encoding, template_sentence = resolve_encoding(store, base, references[0], request)
    device = resolve_device(request.device)
    dtype = resolve_dtype(request.dtype, device)
    loss_sets = {
        role: store.ensure_loss_set(spec.fingerprint(dtype), encoding.fingerprint, spec.label)
        for role, spec in models.items()
    }
    if cross:
        for model in cross.models:
            store.record_training(models[model.role].fingerprint(dtype), cross.trained_examples(model))
    computed = {
        role: store.missing_count(request.dataset, loss_set, unseen_only(cross, role, request.own))
        for role, loss_set in loss_sets.items()
    }
    wanted = {
        role: store.wanted_count(request.dataset, loss_set, unseen_only(cross, role, request.own))
        for role, loss_set in loss_sets.items()
    }
    plan = ScorePlan(
        request,
        models,
        loss_sets,
        encoding,
        device,
        dtype,
        row_count,
        unique_examples,
        computed,
        wanted,
        template_sentence,
        notices,
        cross,
        store.dataset_key(request.dataset),
    )
    if cross:
        combined = {role: found.loss_set for role, found in combined_sets(store, plan.description).items()}
        loss_sets = {"base": loss_sets["base"], **combined}
    store.check_run_name(request.run_name, request.dataset, loss_sets, plan.description)
    return plan


def unseen_only(cross: CrossFitted | None, role: str, own: bool) -> bool:
    """Whether a model scores only the rows that it was not trained on."""
    return cross is not None and role != "base" and not own


def _check_own(request: ScoreRequest, cross: CrossFitted | None) -> None:
    if request.own and cross is None:
        raise FoldsUnusable(
            f"The reference {request.reference!r} is one model, so no loss of unseen rows can be compared with own "
            "ones. Leave out --own, or train a reference with --folds 2."
        )


def compare_models(base: ModelSpec, reference: ModelSpec) -> tuple[str, ...]:
    """Warnings about comparing these two models, one sentence each.

    Raises `TokenizerMismatch` if ids of the base's tokenizer mean other tokens to the reference.
    """
    tokenizers = compare_tokenizers(Path(base.path), Path(reference.path))
    rows = [vocabulary_notice(role, spec, base) for role, spec in (("base", base), ("reference", reference))]
    found = (storage_difference(base, reference), adapter_notice(reference, base), *tokenizers.notices, *rows)
    return tuple(notice for notice in found if notice)


def resolve_encoding(
    store: Store, base: ModelSpec, reference: ModelSpec | None, request: EncodingRequest
) -> tuple[EncodingSpec, str]:
    """The encoding of a request for a base, and a sentence on which template is used.

    A template that asks for the date gets the request's, else the workspace's (the day it was first needed), so that
    rows scored on different days get the same text.
    """
    if request.replies not in REPLIES:
        raise ModelUnusable(f"Unknown replies {request.replies!r}. Must be one of: {', '.join(REPLIES)}.")
    chosen = choose_template(request.template, base, reference)
    length = request.max_length or settings.integer("max_length")
    window = window_length(Path(base.path))
    encoding = EncodingSpec(
        chosen.name,
        min(length, window) if window else length,
        tokenizer_fingerprint(base),
        chat_template=chosen.source,
        replies=request.replies,
    )
    given = parsed_date(request.template_date) if request.template_date else None
    if not asks_for_date(template_source(encoding, base)):
        return encoding, chosen.sentence
    day = given or store.template_day()
    return replace(encoding, day=day), f"{chosen.sentence} It uses the date; {day} is given."


def create_score_job(store: Store, plan: ScorePlan, then: tuple[dict[str, Any], ...] = ()) -> Job:
    """Create the job for the plan's missing losses; it is not started."""
    roles = [role for role in plan.roles if plan.computed[role]]
    parts = [{"role": role, "model": plan.models[role].to_fields(), "loss_set": plan.loss_sets[role]} for role in roles]
    request = {
        **plan.identity,
        "run": plan.request.run_name,
        "description": plan.description,
        "base": plan.models["base"].to_fields(),
        "encoding": plan.encoding.to_fields(),
        "device": plan.request.device,
        "dtype": plan.dtype,
        "parts": parts,
        "asks_base": True,  # earlier versions took a model with a disabled adapter for the base
        "then": list(then),
    }
    missing = {role: _missing_losses(store, plan, role) for role in roles}
    return create_job(store.workspace, request, missing)


def create_estimate_job(store: Store, plan: ScorePlan) -> Job:
    """Create the job that times a short probe of the plan; its examples are an even sample of the ids."""
    role = max(plan.roles, key=lambda role: plan.computed[role])
    sample = _missing_losses(store, plan, role, max(1, plan.computed[role] // _ESTIMATE_ROWS))
    references = [role for role in plan.roles if role != "base"]
    request = {
        "kind": "estimate",
        "dataset": plan.request.dataset,
        "base": plan.models["base"].to_fields(),
        "reference": plan.models[references[0]].to_fields(),
        "encoding": plan.encoding.to_fields(),
        "device": plan.request.device,
        "dtype": plan.dtype,
        "missing": {
            "base": plan.computed["base"],
            "reference": sum(plan.computed[role] for role in references),
        },
    }
    return create_job(store.workspace, request, {"examples": sample})


def _missing_losses(store: Store, plan: ScorePlan, role: str, every: int = 1) -> Iterator[pa.RecordBatch]:
    unseen = unseen_only(plan.cross, role, plan.request.own)
    return store.missing_losses(plan.request.dataset, plan.loss_sets[role], every, unseen)


def count_rows(store: Store, dataset: str) -> tuple[int, int]:
    """Rows and unique examples of a dataset. Raises `NotFound`, or `NoUsableRows` if it is empty."""
    rows, unique = store.rows(
        "SELECT count(*), count(DISTINCT example_id) FROM dataset_row WHERE dataset_id = ?", [store.dataset_id(dataset)]
    )[0]
    if not rows:
        raise NoUsableRows(f"The dataset {dataset!r} has no rows to score. Import a file into it first.")
    return int(rows), int(unique)
