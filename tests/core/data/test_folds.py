"""Folds: near-duplicates stay together, domains are spread evenly, and what cannot be is said."""

import numpy as np
import pandas as pd
import pytest

from core.data.errors import FoldsUnusable
from core.data.folds import assign_folds, trained_rows


def examples(count: int = 600, seed: int = 0) -> pd.DataFrame:
    """Rows of three domains; about a third of them are in groups of two to six near-duplicates."""
    random = np.random.default_rng(seed)
    groups = [
        group for number in range(count) for group in [number] * (int(random.integers(2, 7)) if number % 9 == 0 else 1)
    ]
    groups = groups[:count]
    domains = np.array(["chat", "code", "math"])[random.integers(0, 3, count)]
    ids = [f"{number:032x}" for number in random.permutation(count)]
    return pd.DataFrame({"example_id": ids, "domain": domains, "group": groups})


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_near_duplicates_share_a_fold_and_are_held_out_together(folds: int) -> None:
    rows = examples()
    found = rows.merge(assign_folds(rows, folds, 0.1).drop(columns="group"), on="example_id", validate="one_to_one")
    by_group = found.groupby("group")[["fold", "held_out"]].nunique()
    assert (by_group == 1).all(axis=None)
    assert sorted(found["fold"].unique()) == list(range(folds))
    assert (found.groupby("group").size() > 1).sum() > 20


def test_every_domain_is_spread_evenly_over_the_folds() -> None:
    rows = examples(2000)
    rows["group"] = range(len(rows))
    found = rows.merge(assign_folds(rows, 4, 0.1).drop(columns="group"), on="example_id")
    for _, members in found.groupby("domain"):
        sizes = members["fold"].value_counts()
        assert sizes.max() - sizes.min() <= 1
        assert members["held_out"].mean() == pytest.approx(0.1, abs=0.002)


def test_folds_do_not_depend_on_the_order_of_rows_or_the_numbers_of_groups() -> None:
    rows = examples()
    other = rows.assign(group=10_000 - rows["group"]).sample(frac=1.0, random_state=1)
    columns = ["example_id", "fold", "held_out"]
    pd.testing.assert_frame_equal(assign_folds(rows, 3, 0.2)[columns], assign_folds(other, 3, 0.2)[columns])
    assert (assign_folds(rows, 3)["fold"] != assign_folds(rows, 3, seed=1)["fold"]).mean() > 0.4


def test_a_model_is_trained_on_the_other_folds_and_never_on_held_out_rows() -> None:
    found = assign_folds(examples(), 3, 0.1)
    masks = [trained_rows(found, fold) for fold in range(3)]
    assert (sum(mask.astype(int) for mask in masks)[~found["held_out"]] == 2).all()
    assert not any(mask[found["held_out"]].any() for mask in masks)
    assert not any(masks[fold][found["fold"] == fold].any() for fold in range(3))
    assert (trained_rows(found, None) == ~found["held_out"]).all()


def test_a_domain_with_too_few_groups_is_named() -> None:
    rows = pd.DataFrame({"example_id": list("abcdefgh"), "domain": ["chat"] * 6 + ["law"] * 2, "group": range(8)})
    with pytest.raises(FoldsUnusable, match=r"'law' has 2 groups of near-duplicates, too few for 3 folds. Use fewer"):
        assign_folds(rows, 3)
    with pytest.raises(FoldsUnusable, match=r"'law' has 2 groups .* too few for 2 folds after 1 are held out"):
        assign_folds(rows, 2, 0.1)
    assert set(assign_folds(rows, 2)["fold"]) == {0, 1}


def test_a_held_out_share_leaves_one_group_of_every_domain() -> None:
    rows = pd.DataFrame({"example_id": list("abcdefgh"), "domain": ["chat"] * 5 + ["law"] * 3, "group": range(8)})
    held = rows.merge(assign_folds(rows, 2, 0.01)[["example_id", "held_out"]], on="example_id")
    assert held.groupby("domain")["held_out"].sum().to_dict() == {"chat": 1, "law": 1}
