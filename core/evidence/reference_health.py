"""The health of a reference: its loss on rows it never saw beside that on its own rows, after each pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..data import settings
from ..data.listing import first_sentences
from .training_records import TrainedModel

HELD_OUT, OWN = "held_out", "own"
_SMALL_FALL = 0.005
"""A loss that moves by less than this share of the base's did not move."""


@dataclass(frozen=True)
class Health:
    """What training recorded. `steps`: fewest optimiser steps of a model, None if not recorded.

    `by_pass`: overall, domain, rows ("held_out" or "own"), place (0: the base), passes, models, loss (mean over the
    models [nats per token]), lowest and highest. `falls`: overall, domain, held_out_fall and own_fall (shares of the
    base's loss; negative: it rose), memory_share (1 - held_out_fall / own_fall; NaN where own losses did not fall).
    Both are empty if training kept no rows out.
    """

    models: int
    steps: int | None
    by_pass: pd.DataFrame
    falls: pd.DataFrame
    one_order: bool = False
    """Whether every pass showed the rows in the order of the first, as versions up to 0.8.0 trained."""

    @property
    def rose_after(self) -> int | None:
        """The pass (0: the base) with the least held-out loss over all domains, if it is not the last; else None."""
        held = self.by_pass[self.by_pass["overall"] & (self.by_pass["rows"] == HELD_OUT)]
        if held.empty:
            return None
        best = int(held["place"].iloc[held["loss"].argmin()])
        return best if best < held["place"].max() else None

    @property
    def too_few_steps(self) -> bool:
        """Whether there was too little training to rank by."""
        return self.steps is not None and self.steps < settings.integer("fewest_training_steps")


def health_of(models: Sequence[TrainedModel]) -> Health:
    """The health of the models of a run's reference, averaged over them."""
    provenances = [model.provenance() for model in models]
    steps = [int(found["steps"]) for found in provenances if "steps" in found]
    passes = [model.passes().assign(model=number) for number, model in enumerate(models)]
    by_pass = _by_pass(pd.concat(passes)) if any(len(found) for found in passes) else _NO_PASSES.copy()
    return Health(
        len(models), min(steps, default=None), by_pass, _falls(by_pass), any(map(_had_one_order, provenances))
    )


def fall_sentences(health: Health) -> list[str]:
    """What fell where, one sentence a domain, of the first ones."""
    falls = health.falls[~health.falls["overall"]]
    found = [_fall_sentence(*fall) for fall in falls[_FALLS[1:]].itertuples(index=False)]
    return first_sentences(found, "domains")


def health_warnings(health: Health) -> list[str]:
    """What was wrong with the training, if anything."""
    found = []
    if health.rose_after is not None:
        after = f"after pass {health.rose_after}" if health.rose_after else "from the first pass on"
        found.append(f"The held-out loss rose {after}: fewer passes would be better.")
    if health.too_few_steps:
        found.append(f"{health.steps:,} step{'' if health.steps == 1 else 's'}: too little training to rank by.")
    if health.one_order:
        found.append("Every pass showed its rows in the same order: it was trained by a version up to 0.8.0.")
    return found


def moved(fall: float) -> str:
    """A fall, as a share of the loss before, in words; negative: it rose."""
    return f"rose {-fall:.0%}" if fall <= -_SMALL_FALL else f"fell {max(fall, 0):.0%}"


_FALLS = ["overall", "domain", "held_out_fall", "own_fall", "memory_share"]
_NO_PASSES = pd.DataFrame(
    {
        "overall": pd.Series(dtype=bool),
        **{name: pd.Series(dtype=str) for name in ("domain", "rows")},
        **{name: pd.Series(dtype=int) for name in ("place", "models")},
        **{name: pd.Series(dtype=float) for name in ("passes", "loss", "lowest", "highest")},
    }
)


def _had_one_order(provenance: Mapping[str, Any]) -> bool:
    epochs = provenance.get("epochs")
    several = isinstance(epochs, int | float) and epochs > 1
    return several and not provenance.get("budget") and "order" not in provenance


def _by_pass(lines: pd.DataFrame) -> pd.DataFrame:
    """Token-weighted losses of each model, then their mean and range over the models."""
    both = pd.concat([lines.assign(overall=True, domain=""), lines.assign(overall=False)])
    group = ["overall", "domain", "rows", "place"]
    sums = both.groupby([*group, "model"], as_index=False).agg(
        nll_sum=("nll_sum", "sum"), tokens=("tokens", "sum"), passes=("passes", "first")
    )
    sums["loss"] = sums["nll_sum"] / sums["tokens"].where(sums["tokens"] > 0)
    found = sums.groupby(group, as_index=False).agg(
        passes=("passes", "mean"), models=("model", "nunique"), loss=("loss", "mean"), lowest=("loss", "min"),
        highest=("loss", "max"),
    )  # fmt: skip
    return found.sort_values(["overall", "domain", "rows", "place"], ascending=[False, True, True, True]).reset_index(
        drop=True
    )


def _falls(by_pass: pd.DataFrame) -> pd.DataFrame:
    """From the base to the last pass."""
    if by_pass.empty:
        return pd.DataFrame(columns=_FALLS).astype({"overall": bool})
    ends = by_pass.groupby(["overall", "domain", "rows"])["loss"].agg(["first", "last"])
    fall = (1 - ends["last"] / ends["first"]).unstack("rows").reindex(columns=[HELD_OUT, OWN])
    found = fall.rename(columns={HELD_OUT: "held_out_fall", OWN: "own_fall"}).reset_index()
    found["memory_share"] = (1 - found["held_out_fall"] / found["own_fall"]).where(found["own_fall"] > _SMALL_FALL)
    ordered: pd.DataFrame = found[_FALLS].sort_values(["overall", "domain"], ascending=[False, True], ignore_index=True)
    return ordered


def _fall_sentence(domain: str, held_out: float, own: float, memory: float) -> str:
    if pd.isna(held_out) or pd.isna(own):
        return f"{domain}: only one of held-out and own rows was measured."
    if pd.isna(memory):
        return f"{domain}: the loss on its own rows did not fall ({moved(own)}), so nothing was learned here."
    verdict = "most of the score is memory" if memory > 0.5 else "most of the fall carries over to unseen rows"
    return f"{domain}: on unseen rows loss {moved(held_out)}, on its own rows it {moved(own)}: {verdict}."
