"""Planning a trial: the request, a probe of what its models cost, and the plan that follows from both."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from ..data.errors import TrialInvalid
from ..data.json_types import checked_fields
from ..data.training_methods import LEARNING_RATES
from ..evidence import ARMS, Arm, TrialBudget, TrialPlan, TrialTraining, arm_rows, cells, trial_cost
from ..evidence.held_out_rows import held_out_rows
from ..evidence.trial import DEFAULT_SEEDS
from ..evidence.trial_folder import Trial, save_trial
from ..evidence.trial_jobs import budget_input_tokens, create_probe_job
from ..jobs.job import Job, start_worker
from ..near_duplicates.jobs import DEFAULT_THRESHOLD, begin_near_duplicates
from ..selection import saved_selection
from ..store import Store
from ..system.paths import is_folder_name

DEFAULT_ARMS = ("random-by-domain", "length-matched-random", "longest", "lowest-score", "highest-base-loss", "all")
_LISTS = ("selections", "arms", "ratios")
_MEASURED = (
    "loading_seconds",
    "training_rate",
    "scoring_rate",
    "input_tokens",
    "scored_tokens",
    "held_out_tokens",
)


@dataclass(frozen=True)
class TrialRequest:
    """What a user decides of a trial. `selections`: names of saved ones. `arms`: kinds of `ARMS` beside them.
    `seeds`: how many, from 1 on. `held_out`: None takes the rows that the run's reference held out. `budget`: None for
    as many input tokens as `epochs` passes over the first selection have. `learning_rate`: None for the method's."""

    name: str
    run: str
    selections: tuple[str, ...]
    arms: tuple[str, ...] = DEFAULT_ARMS
    draws: int = 0
    seeds: int = len(DEFAULT_SEEDS)
    ratios: tuple[float, ...] = ()
    budget: float | None = None
    budget_kind: str = "input_tokens"
    epochs: float = 1.0
    held_out: float | None = None
    held_out_seed: int = 0
    method: str = "lora"
    learning_rate: float | None = None
    batch_tokens: int = 4096
    metric: str = "token_weighted"
    device: str = "auto"
    keep_models: bool = False

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields."""
        return {**asdict(self), **{name: list(getattr(self, name)) for name in _LISTS}}

    @classmethod
    def from_fields(cls, given: Any) -> "TrialRequest":
        """Reverse of `to_fields`. Raises `TrialInvalid`."""
        return cls(**checked_fields(given, cls, "request for a trial", TrialInvalid))


@dataclass(frozen=True)
class TrialDraft:
    """A trial before its cost is known. `plan` has a budget only if the request has one; `fixed`: what its jobs need;
    `rows`: example ids of the first selection at the largest ratio."""

    request: TrialRequest
    plan: TrialPlan
    fixed: dict[str, Any]
    held_out: pd.DataFrame
    rows: list[str]


def begin_search(store: Store, request: TrialRequest) -> Job | None:
    """Start or join the near-duplicate search that a held-out split of its own needs; None if there is one."""
    run = store.run(request.run)
    return None if request.held_out is None else begin_near_duplicates(store, run["dataset"], DEFAULT_THRESHOLD)


def check_request(store: Store, request: TrialRequest) -> TrialPlan:
    """The plan of a request, without its budget. Raises a `UserError` for what can be told before any job."""
    if not is_folder_name(request.name):
        raise TrialInvalid(
            f"{request.name!r} is not a valid trial name. Use up to 60 letters, digits, '-', '_', '.', spaces."
        )
    description = store.run(request.run)["description"]
    if "models" not in description or "encoding" not in description:
        raise TrialInvalid(f"The run {request.run!r} does not record its base. Score the dataset again.")
    return _plan(store, request, 1 if request.budget is None else request.budget)


def draft_trial(store: Store, request: TrialRequest) -> TrialDraft:
    """What a request means for the data there is; the same again for the same data. Raises a `UserError`."""
    plan, run = check_request(store, request), store.run(request.run)
    description = run["description"]
    held_out = held_out_rows(store, run, request.held_out, request.held_out_seed)
    fixed = {
        "dataset": run["dataset"],
        "base": description["models"]["base"],
        "encoding": description["encoding"],
        "device": request.device,
        "keep_models": request.keep_models,
    }
    return TrialDraft(request, plan, fixed, held_out, _largest_arm(store, plan, held_out))


def begin_probe(store: Store, draft: TrialDraft) -> Job:
    """Start the job that measures what a trial's models cost."""
    ids = draft.held_out["example_id"].tolist()
    job = create_probe_job(store, draft.fixed, draft.plan.training, draft.rows, ids)
    start_worker(job)
    return job


def fix_trial(store: Store, draft: TrialDraft, outcome: Mapping[str, Any]) -> Trial:
    """Fix a trial after its probe's outcome. Raises `NameTaken` if there is another one of that name."""
    request, plan = draft.request, draft.plan
    probe = {name: outcome[name] for name in _MEASURED}
    if request.budget is None:
        unit = "scored_tokens" if request.budget_kind == "scored_tokens" else "input_tokens"
        tokens = max(1, round(len(draft.rows) * outcome[unit] * request.epochs))
        value = request.epochs if request.budget_kind == "passes" else tokens
        plan = replace(plan, budget=TrialBudget(value, request.budget_kind))
    cost = _cost(plan, probe, outcome["device"], len(draft.held_out), len(draft.rows))
    return save_trial(store.workspace, plan, {**draft.fixed, "probe": probe, "cost": cost}, draft.held_out)


def _plan(store: Store, request: TrialRequest, budget: float) -> TrialPlan:
    if not request.selections:
        raise TrialInvalid("The trial has no selection. Name at least one with --selection.")
    unknown = sorted(set(request.arms) - {kind for kind in ARMS if kind not in ("selection", "outside")})
    if unknown:
        known = ", ".join(kind for kind in ARMS if kind not in ("selection", "outside"))
        raise TrialInvalid(f"Unknown arm {', '.join(unknown)}. Must be one of: {known}.")
    arms = [Arm(_arm_name(name), "selection", saved_selection(store, name)) for name in request.selections]
    arms += [Arm(kind, kind, draws=request.draws if ARMS[kind].random else 0) for kind in request.arms]
    rate = LEARNING_RATES.get(request.method, 1.0) if request.learning_rate is None else request.learning_rate
    return TrialPlan(
        request.name,
        request.run,
        tuple(arms),
        TrialBudget(budget, request.budget_kind),
        tuple(range(1, request.seeds + 1)),
        TrialTraining(request.method, rate, request.batch_tokens, request.epochs),
        request.metric,
        request.ratios or (None,),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _arm_name(selection: str) -> str:
    """A selection's name as part of a file's name."""
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in selection).strip("-")[:60]


def _largest_arm(store: Store, plan: TrialPlan, held_out: pd.DataFrame) -> list[str]:
    """The rows of the first selection, at the largest ratio of the trial."""
    ratio = max((ratio for ratio in plan.ratios if ratio is not None), default=None)
    return arm_rows(store, plan, plan.arms[0], ratio, 1, held_out["example_id"].tolist())


def _cost(plan: TrialPlan, probe: dict[str, float], device: str, held_out: int, rows: int) -> dict[str, Any]:
    trained = [cell for cell in cells(plan) if ARMS[plan.arm(cell.arm).kind].trained]
    found = trial_cost(
        device,
        len(trained),
        budget_input_tokens(plan, probe, rows),
        probe["training_rate"],
        held_out * probe["held_out_tokens"],
        probe["scoring_rate"],
        probe["loading_seconds"],
    )
    return {**asdict(found), "sentence": found.sentence}
