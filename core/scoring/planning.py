"""Plans a scoring or training job: resolves models, finds cached losses, and requests only the missing ones."""

import hashlib
import json
import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..data import settings
from ..data.errors import ModelUnusable, NameTaken, NoUsableRows
from ..encoding.encoding_spec import EncodingSpec
from ..encoding.template_choice import AUTO, choose_template, parsed_date, template_source
from ..encoding.templates import REPLIES, asks_for_date
from ..jobs.job import Job, create_job
from ..models.adapter_facts import check_repeatable
from ..models.config_facts import window_length
from ..models.devices import resolve_device, resolve_dtype
from ..models.resolving import (
    PROVENANCE,
    ModelSpec,
    adapter_notice,
    resolve_model,
    tokenizer_fingerprint,
)
from ..models.tokenizer_comparison import compare_tokenizers
from ..models.vocabulary import vocabulary_notice
from ..store import Store

ROLES = ("base", "reference")
"""Roles of the losses in a scoring request."""
_ESTIMATE_ROWS = 512
_REFERENCE_NAME = re.compile(r"\w[\w. -]{0,58}\w|\w")


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """A user's scoring request; `auto` and None are resolved by `plan_scoring`."""

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

    @property
    def run_name(self) -> str:
        """The run's name: as given, or made from dataset and reference."""
        reference = self.reference.rstrip("/").rsplit("/", 1)[-1]
        return self.run or (reference if reference.startswith(self.dataset) else f"{self.dataset}-{reference}")


@dataclass(frozen=True, slots=True)
class ScorePlan:
    """A resolved request: exactly what would be computed. `computed`: number of missing losses by role;
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
    template_sentence: str
    notices: tuple[str, ...] = ()

    @property
    def cached(self) -> dict[str, int]:
        """Number of cached losses, by role."""
        return {role: self.unique_examples - self.computed[role] for role in ROLES}

    @property
    def is_complete(self) -> bool:
        """Whether no loss is missing."""
        return not any(self.computed.values())

    @property
    def identity(self) -> dict[str, Any]:
        """Fields that identify a job: two jobs with the same fields do the same work."""
        return {"kind": "score", "dataset": self.request.dataset, "loss_sets": self.loss_sets}

    @property
    def description(self) -> dict[str, Any]:
        """The run's settings, for its record and for manifests."""
        return {
            "models": {role: self.models[role].to_fields() for role in ROLES},
            "model_fingerprints": {role: self.models[role].fingerprint(self.dtype) for role in ROLES},
            "encoding": self.encoding.to_fields(),
            "encoding_fingerprint": self.encoding.fingerprint,
            "dtype": self.dtype,
            **({"notices": list(self.notices)} if self.notices else {}),
        }


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """A user's request to train a reference; None means the method's default."""

    dataset: str
    base: str
    name: str
    method: str = "lora"
    epochs: float = 1.0
    learning_rate: float | None = None
    seed: int = 0
    template: str = AUTO
    max_length: int | None = None
    device: str = "auto"
    batch_tokens: int = 4096
    lora_rank: int = 16
    replies: str = "all"
    template_date: str | None = None
    then: tuple[dict[str, Any], ...] = field(default=())


LEARNING_RATES = {"lora": 2e-4, "full": 2e-5}
"""Default learning rate by method: common starting points for adapters and for whole models."""


def plan_scoring(store: Store, request: ScoreRequest) -> ScorePlan:
    """Resolve a request and find missing losses; no model is loaded.

    Raises `NotFound`, `ModelUnusable`, `TokenizerMismatch`, `NameTaken` or `NoUsableRows`.
    """
    row_count, unique_examples = _count_rows(store, request.dataset)
    base = resolve_model(request.base, store.workspace)
    reference = resolve_model(request.reference, store.workspace, base)
    for spec in (base, reference):
        check_repeatable(spec)
    notices = compare_models(base, reference)
    encoding, template_sentence = resolve_encoding(store, base, reference, request)
    device = resolve_device(request.device)
    dtype = resolve_dtype(request.dtype, device)
    models = {"base": base, "reference": reference}
    loss_sets = {
        role: store.ensure_loss_set(spec.fingerprint(dtype), encoding.fingerprint, spec.label)
        for role, spec in models.items()
    }
    computed = {role: store.missing_count(request.dataset, loss_sets[role]) for role in ROLES}
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
        template_sentence,
        notices,
    )
    store.check_run_name(request.run_name, request.dataset, loss_sets, plan.description)
    return plan


def compare_models(base: ModelSpec, reference: ModelSpec) -> tuple[str, ...]:
    """Warnings about comparing these two models, one sentence each.

    Raises `TokenizerMismatch` if ids of the base's tokenizer mean other tokens to the reference.
    """
    tokenizers = compare_tokenizers(Path(base.path), Path(reference.path))
    rows = [vocabulary_notice(role, spec, base) for role, spec in (("base", base), ("reference", reference))]
    found = (adapter_notice(reference, base), *tokenizers.notices, *rows)
    return tuple(notice for notice in found if notice)


def resolve_encoding(
    store: Store, base: ModelSpec, reference: ModelSpec | None, request: ScoreRequest | TrainRequest
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
    roles = [role for role in ROLES if plan.computed[role]]
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
    dataset = plan.request.dataset
    return create_job(
        store.workspace, request, {role: store.missing_losses(dataset, plan.loss_sets[role]) for role in roles}
    )


def create_estimate_job(store: Store, plan: ScorePlan) -> Job:
    """Create the job that times a short probe of the plan; its examples are an even sample of the ids."""
    role = max(ROLES, key=lambda role: plan.computed[role])
    every = max(1, plan.computed[role] // _ESTIMATE_ROWS)
    sample = store.missing_losses(plan.request.dataset, plan.loss_sets[role], every)
    request = {
        "kind": "estimate",
        "dataset": plan.request.dataset,
        "base": plan.models["base"].to_fields(),
        "reference": plan.models["reference"].to_fields(),
        "encoding": plan.encoding.to_fields(),
        "device": plan.request.device,
        "dtype": plan.dtype,
        "missing": plan.computed,
    }
    return create_job(store.workspace, request, {"examples": sample})


def create_train_job(store: Store, request: TrainRequest) -> Job:
    """Create the job that trains a reference on all rows of a dataset, duplicates included.

    Raises `NameTaken` if another reference has that name.
    """
    _count_rows(store, request.dataset)
    fields = train_fields(store, request)
    folder = store.workspace / "models" / request.name
    if folder.exists():
        raise NameTaken(f"A reference named {request.name!r} exists already in {folder}. Choose another name.")
    sql = """
        SELECT example_id::VARCHAR AS example_id, conversation, domain
        FROM dataset_row JOIN example USING (example_id) WHERE dataset_id = ? ORDER BY row_number
    """
    return create_job(store.workspace, fields, {"examples": store.batches(sql, [store.dataset_id(request.dataset)])})


def train_fields(store: Store, request: TrainRequest) -> dict[str, Any]:
    """A training job's request, with every default resolved; `identity` stands for the work and its data."""
    if not _REFERENCE_NAME.fullmatch(request.name):
        raise ModelUnusable(
            f"{request.name!r} is not a valid reference name. Use up to 60 letters, digits, '-', '_', '.', spaces."
        )
    if request.method not in LEARNING_RATES:
        raise ModelUnusable(f"Unknown method {request.method!r}. Must be one of: {', '.join(LEARNING_RATES)}.")
    rate = LEARNING_RATES[request.method] if request.learning_rate is None else request.learning_rate
    if not 0 < rate < math.inf:
        raise ModelUnusable(f"The learning rate {rate} is invalid. Give one above 0, such as 2e-4.")
    base = resolve_model(request.base, store.workspace)
    if base.adapter:
        raise ModelUnusable(f"{request.base!r} is an adapter. Train the reference from a full model instead.")
    fields = {
        "kind": "train",
        "name": request.name,
        "dataset": request.dataset,
        "base": base.to_fields(),
        "encoding": resolve_encoding(store, base, None, request)[0].to_fields(),
        "method": request.method,
        "epochs": request.epochs,
        "learning_rate": rate,
        "seed": request.seed,
        "batch_tokens": request.batch_tokens,
        "lora_rank": request.lora_rank,
        "device": request.device,
    }
    sql = "SELECT example_id::VARCHAR FROM dataset_row WHERE dataset_id = ? ORDER BY row_number"
    data = [row[0] for row in store.rows(sql, [store.dataset_id(request.dataset)])]
    text = json.dumps([fields, data], sort_keys=True)
    identity = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    notice = vocabulary_notice("base", base, base)
    description = {"description": {"notices": [notice]}} if notice else {}
    return {**fields, "identity": identity, "then": list(request.then), **description}


def trained_already(store: Store, request: TrainRequest) -> bool:
    """Whether the reference with that name was trained with exactly this request and data."""
    path = store.workspace / "models" / request.name / PROVENANCE
    if not path.exists():
        return False
    known = json.loads(path.read_text(encoding="utf-8")).get("identity")
    return bool(known == train_fields(store, request)["identity"])


def _count_rows(store: Store, dataset: str) -> tuple[int, int]:
    rows, unique = store.rows(
        "SELECT count(*), count(DISTINCT example_id) FROM dataset_row WHERE dataset_id = ?", [store.dataset_id(dataset)]
    )[0]
    if not rows:
        raise NoUsableRows(f"The dataset {dataset!r} has no rows to score. Import a file into it first.")
    return int(rows), int(unique)
