"""Stability: agreement of seeds, of own and cross-fitted scores, and of two runs, within domains."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.evidence.stability import own_agreement, run_agreements, seed_agreement, spread_by_domain
from core.store import Store
from tests.cross_fitted_rows import JudgedRow, add_judged_run
from tests.two_runs import TwiceScored, import_rows, score_rows


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "workspace", "a test") as opened:
        yield opened


def test_two_seeds_agree_where_their_tops_are_the_same_rows(store: Store) -> None:
    same = [JudgedRow("chat", 100.0, (float(n), float(n))) for n in range(100)]
    turned = [JudgedRow("math", 100.0, (float(n), 99.0 - n)) for n in range(100)]
    add_judged_run(store, [*same, *turned])
    found = seed_agreement(store, store.run("cross"))
    assert found is not None
    assert found.ranks["domain"].tolist() == ["", "chat", "math"]
    assert found.ranks["spearman"].tolist() == pytest.approx([0.0, 1.0, -1.0])
    at_six = found.tops[found.tops["share"] == 0.06].set_index("domain")
    assert at_six["top"].to_dict() == {"": 12, "chat": 6, "math": 6}
    assert at_six["overlap"].to_dict() == pytest.approx({"": 0.5, "chat": 1.0, "math": 0.0})
    assert at_six["chance"].to_dict() == pytest.approx({"": 0.06, "chat": 0.06, "math": 0.06})
    assert found.sentence("two references") == "At 6 % two references agree on 50% of these rows; chance is 6%."


def test_all_pairs_of_three_seeds_are_averaged_with_their_range(store: Store) -> None:
    rows = [JudgedRow("chat", 100.0, (float(n), float(n), 49.0 - n)) for n in range(50)]
    add_judged_run(store, rows)
    found = seed_agreement(store, store.run("cross"))
    assert found is not None
    assert found.pairs == 3
    overall = found.ranks[found.ranks["overall"]].iloc[0]
    assert overall[["spearman", "lowest", "highest"]].tolist() == pytest.approx([-1 / 3, -1.0, 1.0])
    assert found.spearman == pytest.approx(-1 / 3)


def test_unrelated_seeds_agree_by_chance(store: Store) -> None:
    chance = random.Random(0)
    rows = [JudgedRow("chat", 100.0, (chance.uniform(0, 90), chance.uniform(0, 90))) for _ in range(2_000)]
    add_judged_run(store, rows)
    found = seed_agreement(store, store.run("cross"))
    assert found is not None
    assert abs(found.spearman) < 0.07
    at_third = found.tops.query("overall and share == 0.33").iloc[0]
    assert at_third["overlap"] == pytest.approx(at_third["chance"], abs=0.05)


def test_a_larger_share_is_said_where_a_small_one_has_too_few_rows(store: Store) -> None:
    add_judged_run(store, [JudgedRow("chat", 100.0, (float(n), float(n))) for n in range(30)])
    found = seed_agreement(store, store.run("cross"))
    assert found is not None
    assert found.sentence("two references") == "At 33 % two references agree on 100% of these rows; chance is 33%."


def test_few_rows_have_no_sentence_and_one_seed_no_agreement(store: Store) -> None:
    add_judged_run(store, [JudgedRow("chat", 100.0, (float(n), float(n))) for n in range(5)])
    found = seed_agreement(store, store.run("cross"))
    assert found is not None
    assert found.sentence("two references") is None
    add_judged_run(store, [JudgedRow("chat", 100.0, (float(n),)) for n in range(5)], "one", "more")
    assert seed_agreement(store, store.run("one")) is None
    assert own_agreement(store, store.run("one")) is None
    assert spread_by_domain(store, store.run("one")["table"]).empty


def test_own_scores_are_set_beside_cross_fitted_ones(store: Store) -> None:
    add_judged_run(store, [JudgedRow("chat", 100.0, (50.0 - n,), float(n)) for n in range(50)])
    found = own_agreement(store, store.run("cross"))
    assert found is not None
    assert found.spearman == pytest.approx(-1.0)


def test_the_spread_over_seeds_is_set_beside_that_between_rows(store: Store) -> None:
    rows = [JudgedRow("chat", 100.0, (50.0 + n - 1, 50.0 + n + 1)) for n in range(41)]
    found = spread_by_domain(store, add_judged_run(store, rows)).set_index("domain")
    assert found.loc["chat", "seed_spread"] == pytest.approx(0.02 / 2**0.5)
    assert found.loc["chat", "row_spread"] == pytest.approx(0.2 / 1.349)
    assert found.loc["chat", "ratio"] == pytest.approx(0.02 / 2**0.5 / (0.2 / 1.349))
    assert found.loc["", "rows"] == 41


def test_another_run_of_the_dataset_counts_if_only_its_reference_differs(store: Store) -> None:
    rows = [TwiceScored("chat", 100.0, float(n), 60.0 - n, f"row {n}") for n in range(60)]
    import_rows(store, rows)
    score_rows(store, rows, "one", "one")
    score_rows(store, rows, "two", "two")
    score_rows(store, rows, "same", "one")
    other_encoding = {"encoding_fingerprint": "another"}
    score_rows(store, rows, "longer", "two", **other_encoding)
    found = run_agreements(store, store.run("one"))
    assert [(agreement.label, agreement.pairs) for agreement in found] == [("two", 1)]
    assert found[0].spearman == pytest.approx(-1.0)
