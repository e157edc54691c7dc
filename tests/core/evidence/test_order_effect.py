"""Order effect: a planted one is found with its sign, none is not."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.evidence.order_effect import order_effect
from core.evidence.training_records import TrainedModel, trained_models
from core.store import Store
from tests.cross_fitted_rows import ENCODING, JudgedRow, add_judged_run, add_losses, example_of, write_model

ROWS, BATCHES = 300, 150


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "workspace", "a test") as opened:
        yield opened


def models_with(store: Store, folder: Path, effect: float, seeds: int = 2, folds: int = 1) -> list[TrainedModel]:
    """Models that saw the rows in an order of their own; a row's loss grows by `effect` from first to last."""
    chance = random.Random(1)
    rows = [JudgedRow("chat", 100.0, (50.0,)) for _ in range(ROWS)]
    hardness = [chance.gauss(50, 20) for _ in rows]
    folders = {}
    for fold in range(folds):
        for seed in range(seeds):
            order = chance.sample(range(ROWS), ROWS)
            ids = [str(example_of(number + 1).example_id) for number in order]
            place = {row: position / (ROWS - 1) for position, row in enumerate(order)}
            role = f"fold-{fold}-seed-{seed}"
            folders[role] = write_model(folder / role, data_order=ids, steps=3 * BATCHES, epochs=3.0)
            add_losses(
                store,
                f"{role} weights",
                [hardness[n] + effect * place[n] + chance.gauss(0, 1) for n in range(ROWS)],
                rows,
            )
    add_judged_run(store, rows, models=folders)
    return trained_models(store.run("cross"))


@pytest.mark.parametrize(("effect", "which"), [(-3.0, "later"), (3.0, "earlier")])
def test_a_planted_effect_is_found_with_its_sign(store: Store, tmp_path: Path, effect: float, which: str) -> None:
    found = order_effect(store, models_with(store, tmp_path, effect), ENCODING)
    assert found is not None
    assert (found.rows, found.pairs) == (ROWS, 1)
    assert (found.correlation > 0.4) == (effect > 0)
    assert abs(found.correlation) > 0.4
    assert found.low < found.correlation < found.high
    assert found.sentence().startswith(f"Rows that came {which} in training end with a lower loss")


def test_without_an_effect_the_interval_has_zero_in_it(store: Store, tmp_path: Path) -> None:
    found = order_effect(store, models_with(store, tmp_path, 0.0), ENCODING)
    assert found is not None
    assert found.low < 0 < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 / (BATCHES - 3) ** 0.5, rel=0.02)
    assert found.sentence().startswith("No effect of the data order is seen")


def test_models_of_one_fold_are_paired_and_neither_pairs_nor_folds_count_as_independent(
    store: Store, tmp_path: Path
) -> None:
    found = order_effect(store, models_with(store, tmp_path, 0.0, seeds=3, folds=2), ENCODING)
    assert found is not None
    assert (found.pairs, found.rows) == (6, 6 * ROWS)
    assert found.high - found.low == pytest.approx(2 * 1.96 / (2 * (BATCHES - 3)) ** 0.5, rel=0.02)


def test_one_seed_or_models_without_an_order_give_none(store: Store, tmp_path: Path) -> None:
    models = models_with(store, tmp_path, 0.0)
    assert order_effect(store, models[:1], ENCODING) is None
    assert order_effect(store, models, "another encoding") is None
    for model in models:
        (model.folder / "provenance.json").unlink()
    with Store.open(tmp_path / "other", "a test") as other:
        assert order_effect(other, models, ENCODING) is None
