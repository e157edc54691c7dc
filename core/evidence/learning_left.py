"""What a training's curves say is left to learn in each domain, and the weights that ADO would give the domains.

Read from the loss of every step of the first pass: later passes see rows again, whose loss then is memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..data.errors import JsonInvalid, ModelUnusable, NotFound
from ..models.folder_check import read_json
from ..models.provenance import PROVENANCE
from ..system.untrusted_json import parse_json_object
from ..training.recorded_models import STEPS
from .power_law import FEWEST_POINTS, PowerLaw, fit_power_law

LEAST_WEIGHT = 0.01
"""Share that every domain gets at least."""
_SHARE_POWER = 1.5
_FARTHEST = 2
_POINTS = ("model", "domain", "seen", "nats", "tokens")


@dataclass(frozen=True, slots=True)
class DomainLearning:
    """A domain's curve in the first pass. `steps` it was seen in and its `share` of the scored tokens; `loss` as fitted
    at the end, by how much it has `fallen` since the first step, `floor`, `scale` and `exponent` of the power law,
    `learning_left` (loss - floor), all in nats per token, and the same of the odd and of the even steps alone
    (`left_range`); `speed` at the end [nats per token, per million tokens of all domains]; `weight`: suggested share
    [per cent]."""

    domain: str
    steps: int
    share: float
    loss: float
    fallen: float
    floor: float
    scale: float
    exponent: float
    scatter: float
    learning_left: float
    left_range: tuple[float, float]
    speed: float
    weight: float

    @property
    def is_guess(self) -> bool:
        """Whether what is left is so far beyond what the curve shows that the floor is a guess."""
        low, high = self.left_range
        return self.learning_left > _FARTHEST * self.fallen or high > 2 * low

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields."""
        return asdict(self) | {"is_guess": self.is_guess}


def learning_left(folders: Sequence[Path]) -> list[DomainLearning]:
    """What is left to learn in each domain, by the curves of a reference's models; most learning left first. One curve
    is fitted to the steps of all models, which differ in their rows or seeds.

    Raises `NotFound` for a reference whose training kept no losses by step, and `ModelUnusable` if they are damaged, or
    too short to fit, with the number of steps that it needs.
    """
    if not all((folder / STEPS).is_file() for folder in folders):
        raise NotFound(
            f"Training kept no losses by step in {folders[0]}: it was made elsewhere, or before version 0.12.0. Train "
            "a reference here."
        )
    points = pd.concat([_first_pass(folder, number) for number, folder in enumerate(folders)])
    counts = points.groupby("domain").size()
    if (fewest := int(counts.min() if len(counts) else 0)) < FEWEST_POINTS:
        curve = f"The curve of {counts.idxmin()!r}" if len(counts) else "Every curve"
        raise ModelUnusable(
            f"{curve} has {fewest:,} steps in the first pass after the warm-up, and a fit needs {FEWEST_POINTS}. "
            f"{_advice(folders[0], fewest)}"
        )
    end, total = float(points.groupby("model")["seen"].max().mean()), points["tokens"].sum()
    parts = {str(domain): part for domain, part in points.groupby("domain")}
    laws = {domain: _laws(part) for domain, part in parts.items()}
    shares = {domain: float(part["tokens"].sum() / total) for domain, part in parts.items()}
    weights = suggested_weights(shares, {domain: law.speed(end) for domain, (law, *_) in laws.items()})
    found = []
    for domain, part in parts.items():
        span = float(part["seen"].min()), end
        found.append(_learning(domain, laws[domain], span, len(part), shares[domain], weights[domain]))
    return sorted(found, key=lambda each: -each.learning_left)


def suggested_weights(shares: Mapping[str, float], speeds: Mapping[str, float]) -> dict[str, float]:
    """ADO's preference as weights that add up to 100: share^1.5 x speed, each at least `LEAST_WEIGHT` of the whole."""
    wanted = {domain: shares[domain] ** _SHARE_POWER * speeds[domain] for domain in shares}
    least = min(LEAST_WEIGHT, 1 / len(wanted))
    low: set[str] = set()
    while True:
        free = {domain: value for domain, value in wanted.items() if domain not in low}
        total, room = sum(free.values()), 1 - least * len(low)
        below = {domain for domain, value in free.items() if (value * room / total if total else 0.0) < least}
        if not below:
            return {domain: 100 * (least if domain in low else wanted[domain] * room / total) for domain in wanted}
        if low | below == wanted.keys():
            return dict.fromkeys(wanted, 100 / len(wanted))
        low |= below


def _learning(
    domain: str,
    laws: tuple[PowerLaw, PowerLaw, PowerLaw],
    span: tuple[float, float],
    steps: int,
    share: float,
    weight: float,
) -> DomainLearning:
    begin, end = span
    law, left = laws[0], [each.loss(end) - each.floor for each in laws]
    return DomainLearning(
        domain, steps, share, law.loss(end), law.loss(begin) - law.loss(end), law.floor, law.scale, law.exponent,
        law.scatter, left[0], (min(left[1:]), max(left[1:])), law.speed(end) * 1e6, weight,
    )  # fmt: skip


def _laws(points: pd.DataFrame) -> tuple[PowerLaw, PowerLaw, PowerLaw]:
    """The fits to all points, to the odd and to the even ones."""
    points = points.sort_values("seen", kind="stable")
    tokens, losses = points["seen"].to_numpy(float), (points["nats"] / points["tokens"]).to_numpy(float)
    whole, odd, even = (fit_power_law(tokens[part], losses[part]) for part in (np.s_[:], np.s_[::2], np.s_[1::2]))
    return whole, odd, even


def _first_pass(folder: Path, model: int) -> pd.DataFrame:
    """The points of a model's first pass after the warm-up; `seen`: scored tokens of all domains up to and with the
    step."""
    provenance = read_json(folder / PROVENANCE)
    steps = int(provenance.get("steps") or 0)
    passes = provenance.get("seen_examples", 0) / (provenance.get("trained_examples") or 1)
    last = int(steps / max(1.0, passes))
    warm_up, seen, found = steps // 30, 0, []
    try:
        for number, line in enumerate((folder / STEPS).read_text(encoding="utf-8").splitlines(), 1):
            fields = parse_json_object(line, f"Line {number}")
            tokens, nats = fields["tokens"], fields["nats"]
            seen += sum(tokens.values())
            if warm_up < fields["step"] <= last:
                found += [(model, domain, seen, nats[domain], count) for domain, count in tokens.items()]
        points = pd.DataFrame(found, columns=list(_POINTS))
        points = points.astype({"seen": float, "nats": float, "tokens": float})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, JsonInvalid) as error:
        raise ModelUnusable(f"{folder / STEPS} cannot be read ({error}). Train the reference again.") from error
    return points[(points["nats"] > 0) & (points["tokens"] > 0)]


def _advice(folder: Path, fewest: int) -> str:
    batch = read_json(folder / PROVENANCE).get("batch_tokens")
    if not isinstance(batch, int) or not fewest:
        return "Train on more rows."
    smaller = max(1, batch * fewest // (FEWEST_POINTS * 3 // 2))  # by a half more steps than needed
    return f"Train with --batch-tokens {smaller} or less, or on more rows."
