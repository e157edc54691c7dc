"""A run with a cross-fitted reference: its loss sets are combined from those of the reference's models."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..data.loss_roles import seed_role
from ..models.cross_fitted import combined_key
from ..store import Store
from ..store.combined_losses import Combination, combine_losses

_LABELS = {Combination.UNSEEN: "cross-fitted", Combination.OWN: "own rows", Combination.SPREAD: "spread over seeds"}


@dataclass(frozen=True, slots=True)
class CombinedSet:
    """One loss set of such a run: its id, how it is combined, and of which models (by seed)."""

    loss_set: int
    how: Combination
    models: tuple[tuple[str, ...], ...]


def combined_sets(store: Store, description: Mapping[str, Any]) -> dict[str, CombinedSet]:
    """The combined loss sets by role, from a run's description; created if new, not filled."""
    cross = description["cross_fitted"]
    by_seed = {seed: tuple(one["role"] for one in cross["models"] if one["seed"] == seed) for seed in cross["seeds"]}

    def combined(how: Combination, seeds: list[int]) -> CombinedSet:
        models = tuple(by_seed[seed] for seed in seeds)
        key = combined_key(how, [description["model_fingerprints"][role] for roles in models for role in roles])
        label = f"{cross['name']} ({_LABELS[how]})" + (f", seed {seeds[0]}" if len(seeds) < len(by_seed) else "")
        return CombinedSet(store.ensure_loss_set(key, description["encoding_fingerprint"], label), how, models)

    seeds = list(by_seed)
    found = {"reference": combined(Combination.UNSEEN, seeds)}
    if len(seeds) > 1:
        found |= {seed_role(seed): combined(Combination.UNSEEN, [seed]) for seed in seeds}
        found["seed_spread"] = combined(Combination.SPREAD, seeds)
    if cross["own"]:
        found["own"] = combined(Combination.OWN, seeds)
    return found


def fill_combined_sets(
    store: Store, dataset: str, description: Mapping[str, Any], loss_sets: Mapping[str, int]
) -> dict[str, int]:
    """Combine the losses of a dataset; `loss_sets`: those of the models, by role. Returns the combined ones by role."""
    noise = [value for value in store.noise_floors(loss_sets.values()) if value is not None]
    found = combined_sets(store, description)
    for combined in found.values():
        groups = [[loss_sets[role] for role in roles] for roles in combined.models]
        combine_losses(store, combined.loss_set, groups, dataset, combined.how)
        if noise:
            store.set_noise_floor(combined.loss_set, max(noise))
    return {role: combined.loss_set for role, combined in found.items()}
