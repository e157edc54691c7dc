"""The plan of a trial: what is compared and how, fixed before the first model is trained.

Its fingerprint is stored with it, so that a plan changed afterwards is refused. Arms may be added later; they are
marked exploratory and change no verdict of the planned ones.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from hashlib import blake2b
from itertools import product
from typing import Any

from ..data.errors import SelectionInvalid, TrialInvalid
from ..data.json_types import checked_fields, shown
from ..data.training_methods import HIGHEST_RATE, LARGEST_SEED, LEARNING_RATES, MOST_EPOCHS
from ..selection.recipe import Selection
from .arm_kinds import ARMS, METRICS
from .plan_fields import check_date, check_distinct, check_one_of, checked_ratios, listed, positive

PLAN_VERSION = 1
LEAST_RUNS = 3
DEFAULT_SEEDS = (1, 2, 3)
BUDGET_KINDS = {
    "input_tokens": "tokens that the model reads, prompts included",
    "scored_tokens": "tokens that the training loss counts",
    "passes": "passes over an arm's rows, so that an arm of longer rows trains on more tokens",
}
_MOST_DRAWS = 1_000
_ARM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")  # part of a file's name


@dataclass(frozen=True, slots=True)
class TrialBudget:
    """What one run may use: `value` of a kind of `BUDGET_KINDS`."""

    value: float
    kind: str = "input_tokens"

    def __post_init__(self) -> None:
        check_one_of("budget", self.kind, BUDGET_KINDS)
        object.__setattr__(self, "value", positive("budget", self.value, whole=self.kind != "passes"))
        if self.kind == "passes" and self.value > MOST_EPOCHS:
            raise TrialInvalid(f"The trial's budget is {self.value:g} passes. Give at most {MOST_EPOCHS:,}.")


@dataclass(frozen=True, slots=True)
class TrialTraining:
    """Settings that all runs are trained with. `epochs`: passes that the trainer plans for; the budget ends a run."""

    method: str = "lora"
    learning_rate: float = LEARNING_RATES["lora"]
    batch_tokens: int = 4096
    epochs: float = 1.0

    def __post_init__(self) -> None:
        check_one_of("training method", self.method, LEARNING_RATES)
        for name, whole in (("learning_rate", False), ("batch_tokens", True), ("epochs", False)):
            object.__setattr__(self, name, positive(name.replace("_", " "), getattr(self, name), whole))
        for name, most in (("learning_rate", HIGHEST_RATE), ("epochs", MOST_EPOCHS)):
            if getattr(self, name) > most:
                found = f"{name.replace('_', ' ')} is {getattr(self, name):g}"
                raise TrialInvalid(f"The trial's {found}. Give at most {most:g}.")


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm. `recipe`: the selection, or whose tokens a control matches (None: those of the first selection).
    `draws`: 0 for the kind's default. `models`: those of an arm trained elsewhere. `exploratory`: added later."""

    name: str
    kind: str
    recipe: Selection | None = None
    draws: int = 0
    models: tuple[str, ...] = ()
    exploratory: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _ARM_NAME.fullmatch(self.name):
            raise TrialInvalid(
                f"{shown(self.name)} is not a valid arm name. Use up to 60 letters, digits, '-' and '_'."
            )
        check_one_of("kind of arm", self.kind, ARMS)
        kind = ARMS[self.kind]
        default = kind.draws if kind.trained else len(self.models)
        object.__setattr__(self, "draws", self.draws or default)
        if not 1 <= self.draws <= _MOST_DRAWS:
            raise TrialInvalid(f"The arm {self.name} is invalid. It needs 1 to {_MOST_DRAWS:,} draws, or models.")
        if not kind.random and self.draws != default:
            raise TrialInvalid(f"The arm {self.name} is not random, so it has {default} draws. Leave draws out.")
        if self.kind == "selection" and self.recipe is None:
            raise TrialInvalid(f"The arm {self.name} has no recipe. Give it a selection.")

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields."""
        own = {part.name: getattr(self, part.name) for part in fields(self)}
        return {**own, "recipe": self.recipe.to_fields() if self.recipe else None, "models": list(self.models)}

    @classmethod
    def from_fields(cls, given: Any) -> "Arm":
        """Reverse of `to_fields`. Raises `TrialInvalid`."""
        try:
            return cls(**checked_fields(given, cls, "arm", TrialInvalid, {"recipe": _recipe}))
        except SelectionInvalid as error:
            raise TrialInvalid(f"The recipe of the arm {shown(given.get('name'))} is invalid. {error}") from error


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """A trial, as it was fixed. `ratios`: shares of the rows that every selection is tried at; (None,): each recipe's
    own amount. `seeds`: of training, the same for all arms. `minimum_runs`: of an arm, for a verdict. `created_at`:
    ISO 8601. Raises `TrialInvalid`."""

    name: str
    run: str
    arms: tuple[Arm, ...]
    budget: TrialBudget
    seeds: tuple[int, ...] = DEFAULT_SEEDS
    training: TrialTraining = field(default_factory=TrialTraining)
    metric: str = "token_weighted"
    ratios: tuple[float | None, ...] = (None,)
    minimum_runs: int = LEAST_RUNS
    created_at: str = ""

    def __post_init__(self) -> None:
        for what in ("name", "run"):
            if not isinstance(getattr(self, what), str) or not getattr(self, what).strip():
                raise TrialInvalid(f"The trial has no {what}. Give it one.")
        check_one_of("metric", self.metric, METRICS)
        if any(type(seed) is not int or not 0 <= seed <= LARGEST_SEED for seed in self.seeds):
            raise TrialInvalid(
                f"The trial's seeds are {shown(list(self.seeds))}. Give whole numbers from 0 to {LARGEST_SEED:,}."
            )
        if type(self.minimum_runs) is not int or self.minimum_runs < LEAST_RUNS:
            raise TrialInvalid(f"The trial's minimum runs are {shown(self.minimum_runs)}. Give at least {LEAST_RUNS}.")
        object.__setattr__(self, "ratios", checked_ratios(self.ratios))
        check_distinct("seeds", self.seeds)
        check_distinct("arms", [arm.name.casefold() for arm in self.arms])  # some file systems ignore case
        check_date(self.created_at)
        self._check_arms()

    def _check_arms(self) -> None:
        if not any(ARMS[arm.kind].random and not arm.exploratory for arm in self.arms):
            kinds = ", ".join(kind.name for kind in ARMS.values() if kind.random)
            raise TrialInvalid(f"The trial has no random arm to compare with. Add one of: {kinds}.")
        for arm in self.arms:
            if ARMS[arm.kind].follows_selection and self.recipe_of(arm).run != self.run:
                raise TrialInvalid(
                    f"The arm {arm.name} selects from the run {shown(self.recipe_of(arm).run)}, but the trial is of "
                    f"{shown(self.run)}. Give a selection of the trial's run."
                )

    @property
    def baseline(self) -> Arm:
        """The random arm that the others are compared with: the first planned one, by the order of `ARMS`."""
        order = list(ARMS)
        planned = (arm for arm in self.arms if ARMS[arm.kind].random and not arm.exploratory)
        return min(planned, key=lambda arm: order.index(arm.kind))

    @property
    def fingerprint(self) -> str:
        """BLAKE2b of what was decided, as canonical JSON; date and exploratory arms are not part of it."""
        decided = self._plain_fields()
        del decided["created_at"]
        decided["arms"] = [arm for arm in decided["arms"] if not arm["exploratory"]]
        text = json.dumps(decided, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return blake2b(text.encode(), digest_size=16).hexdigest()

    def arm(self, name: str) -> Arm:
        """The arm of that name. Raises `TrialInvalid`, which lists the arms."""
        found = next((arm for arm in self.arms if arm.name == name), None)
        if found is None:
            names = ", ".join(arm.name for arm in self.arms)
            raise TrialInvalid(f"The trial {self.name!r} has no arm {name!r}. Its arms are: {names}.")
        return found

    def recipe_of(self, arm: Arm) -> Selection:
        """The selection of an arm, or the one that a control matches. Raises `TrialInvalid` if there is none."""
        found = arm.recipe or next((other.recipe for other in self.arms if other.kind == "selection"), None)
        if found is None:
            raise TrialInvalid(f"The arm {arm.name} has no selection to match. Give it a recipe, or add a selection.")
        return found

    def ratios_of(self, arm: Arm) -> tuple[float | None, ...]:
        """The ratios that an arm is trained at; arms that follow no selection are trained once."""
        return self.ratios if ARMS[arm.kind].follows_selection else (None,)

    def with_exploratory(self, arm: Arm) -> "TrialPlan":
        """The plan with one more arm, marked exploratory; its fingerprint stays."""
        return replace(self, arms=(*self.arms, replace(arm, exploratory=True)))

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields, with the format's `version` and the plan's `fingerprint`."""
        return {**self._plain_fields(), "fingerprint": self.fingerprint}

    def _plain_fields(self) -> dict[str, Any]:
        return {
            "version": PLAN_VERSION,
            **{part.name: getattr(self, part.name) for part in fields(self)},
            "arms": [arm.to_fields() for arm in self.arms],
            "budget": asdict(self.budget),
            "seeds": list(self.seeds),
            "training": asdict(self.training),
            "ratios": list(self.ratios),
        }

    @classmethod
    def from_fields(cls, given: Any) -> "TrialPlan":
        """Reverse of `to_fields`; missing fields get their defaults. Raises `TrialInvalid` for unknown or invalid
        fields, and if the plan does not have the fingerprint stored with it."""
        given = dict(given) if isinstance(given, Mapping) else {}
        version, stored = given.pop("version", PLAN_VERSION), given.pop("fingerprint", None)
        if version != PLAN_VERSION:
            raise TrialInvalid(
                f"The trial's plan has version {shown(version)}; this program reads version {PLAN_VERSION}. "
                "Use the program version that wrote it."
            )
        plan = cls(**checked_fields(given, cls, "plan of a trial", TrialInvalid, {"arms": _arms}))
        if stored is not None and stored != plan.fingerprint:
            raise TrialInvalid(
                f"The plan of the trial {plan.name!r} was changed after it was fixed. Restore it, or plan a new trial."
            )
        return plan


def _recipe(given: Any) -> Selection | None:
    return None if given is None else Selection.from_fields(given)


def _arms(given: Any) -> tuple[Arm, ...]:
    return tuple(Arm.from_fields(arm) for arm in listed("arms", given))


@dataclass(frozen=True, slots=True)
class Cell:
    """One model of a trial. `ratio`: None for the recipe's own amount, or none at all. `draw`: from 1, of the rows, or
    the number of a model trained elsewhere, which has no `seed`."""

    arm: str
    ratio: float | None
    draw: int
    seed: int | None

    @property
    def name(self) -> str:
        """File-safe, and the same whatever other cells there are: "top.r0.06.d1.s2"."""
        ratio = "" if self.ratio is None else f".r{self.ratio!r}"
        return f"{self.arm}{ratio}.d{self.draw}" + ("" if self.seed is None else f".s{self.seed}")


def cells(plan: TrialPlan) -> Iterator[Cell]:
    """Every model of a trial: arm by arm, each ratio, draw and seed."""
    for arm in plan.arms:
        seeds = plan.seeds if ARMS[arm.kind].trained else (None,)
        for ratio, draw, seed in product(plan.ratios_of(arm), range(1, arm.draws + 1), seeds):
            yield Cell(arm.name, ratio, draw, seed)
