"""Losses combined from several models' equal those that pandas computes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from core.jobs.shards import SHARD_SCHEMA
from core.store import Store
from core.store.combined_losses import Combination, combine_losses
from tests.fakes import ScoredRecord, build_scored_store

ROWS = 40


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return build_scored_store(tmp_path, [ScoredRecord("chat", 1.0, 0.5) for _ in range(ROWS)])


def ids_of(store: Store) -> list[str]:
    return [row[0] for row in store.rows("SELECT example_id::VARCHAR FROM dataset_row ORDER BY row_number")]


def add_models(
    store: Store, without: int | None = None, with_ends: bool = True
) -> tuple[list[list[int]], pd.DataFrame]:
    """Two seeds of two models; each saw half of the rows but the last four. Their loss sets by seed, and all losses."""
    ids, random, groups, frames = ids_of(store), np.random.default_rng(3), [], []
    for seed in range(2):
        group = []
        for fold in range(2):
            key = f"model {fold} {seed}"
            loss_set = store.ensure_loss_set(key, "plain text", key)
            losses = random.gamma(3.0, 2.0, ROWS)
            rows = [
                {
                    **{"example_id": one, "nll_sum": float(loss), "token_count": 10, "truncated": False},
                    **({"end_nll_sum": float(loss) / 4, "end_token_count": 1} if with_ends else {}),
                }
                for number, (one, loss) in enumerate(zip(ids, losses, strict=True))
                if number != without
            ]
            store.ingest_shard(f"shard of {key}", loss_set, pa.Table.from_pylist(rows, SHARD_SCHEMA))
            seen = [number < ROWS - 4 and number % 2 != fold for number in range(ROWS)]
            store.record_training(key, [one for one, was in zip(ids, seen, strict=True) if was])
            frames.append(pd.DataFrame({"id": ids, "seed": seed, "nats": losses, "seen": seen}))
            group.append(loss_set)
        groups.append(group)
    return groups, pd.concat(frames)


def combined(store: Store, groups: list[list[int]], how: Combination) -> dict[str, float]:
    target = store.ensure_loss_set(f"combined {how}", "plain text", "combined")
    combine_losses(store, target, groups, "space", how)
    return dict(store.rows("SELECT example_id::VARCHAR, nll_sum FROM loss WHERE loss_set_id = ?", [target]))


@pytest.mark.parametrize("with_ends", [True, False], ids=["this version's", "an earlier version's"])
def test_losses_of_the_end_of_turn_are_combined_alike_where_all_have_them(store: Store, with_ends: bool) -> None:
    with store:
        groups, _ = add_models(store, with_ends=with_ends)
        for how in Combination:
            found = combined(store, groups, how)
            ends = store.rows(
                "SELECT example_id::VARCHAR, end_nll_sum, end_token_count FROM loss JOIN loss_set "
                "USING (loss_set_id) WHERE model_fingerprint = ?",
                [f"combined {how}"],
            )
            assert len(found) == len(ends) > 0
            for key, nats, count in ends:
                assert (nats, count) == ((pytest.approx(found[key] / 4), 1) if with_ends else (None, None))


def test_unseen_own_and_spread_are_those_that_pandas_finds(store: Store) -> None:
    with store:
        groups, losses = add_models(store)
        by_seed = losses.groupby(["id", "seen", "seed"])["nats"].mean()
        unseen, own = by_seed.xs(False, level="seen"), by_seed.xs(True, level="seen")
        expected = {
            Combination.UNSEEN: unseen.groupby("id").mean(),
            Combination.OWN: own.groupby("id").mean(),
            Combination.SPREAD: unseen.groupby("id").std(),
        }
        for how, values in expected.items():
            assert combined(store, groups, how) == pytest.approx(values.to_dict(), rel=1e-12), how
        assert len(expected[Combination.OWN]) == ROWS - 4, "no model saw what was held out"


def test_an_example_waits_until_every_model_that_counts_has_a_loss(store: Store) -> None:
    with store:
        groups, _ = add_models(store, without=6)
        lacking = ids_of(store)[6]
        assert set(ids_of(store)) - combined(store, groups, Combination.UNSEEN).keys() == {lacking}


def test_combining_again_changes_nothing_and_later_rows_are_added(store: Store) -> None:
    with store:
        groups, _ = add_models(store, without=6)
        target = store.ensure_loss_set("combined unseen", "plain text", "combined")
        first = combined(store, groups, Combination.UNSEEN)
        assert combine_losses(store, target, groups, "space", Combination.UNSEEN) == 0
        missing = ids_of(store)[6]
        for seed, group in enumerate(groups):
            row = {"example_id": missing, "nll_sum": 4.0 + seed, "token_count": 10, "truncated": False}
            for loss_set in group:
                store.ingest_shard(f"late {loss_set}", loss_set, pa.Table.from_pylist([row], SHARD_SCHEMA))
        assert combined(store, groups, Combination.UNSEEN) == {**first, missing: 4.5}


def test_what_a_model_was_trained_on_can_be_corrected(store: Store) -> None:
    with store:
        ids = ids_of(store)
        store.record_training("a model", ids[:3])
        store.record_training("a model", ids[2:5])
        found = store.rows("SELECT example_id::VARCHAR FROM trained_example WHERE model_fingerprint = 'a model'")
        assert {row[0] for row in found} == set(ids[2:5])
