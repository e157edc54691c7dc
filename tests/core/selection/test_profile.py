"""The profile of a selection, held against pandas, and its line."""

import random
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from core.selection import Amount, Selection, kept_rows, profile_sentence, selection_profile
from core.selection.profile import FLAG_LABELS
from core.store import Store
from tests.two_runs import TwiceScored, import_rows, score_rows

HALF = Selection("first", amount=Amount("ratio", 0.3))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """60 rows of two domains, scored by two references of one base; the first was trained on a third of them."""
    draw = random.Random(4)
    rows = [
        TwiceScored(
            draw.choice(["chat", "math"]),
            10.0,
            10 * draw.random(),
            10 * draw.random(),
            "so it goes on and " * 5 + str(number) if number % 7 == 0 else f"answer {number}",
            draw.randrange(1, 30),
        )
        for number in range(60)
    ]
    with Store.open(tmp_path_factory.mktemp("profile") / "workspace", "a test") as opened:
        import_rows(opened, rows)
        ids = [str(row.example.example_id) for row in rows]
        opened.record_training("one weights", ids[::3])
        score_rows(opened, rows, "first", "one")
        yield opened


def kept(store: Store, selection: Selection) -> pd.DataFrame:
    numbers = [row[0] for row in store.rows(*kept_rows(store, selection))]
    rows = data(store, selection.run)
    return rows[rows["row_number"].isin(numbers)]


def data(store: Store, run: str = "first") -> pd.DataFrame:
    return store.frame(f"SELECT * FROM {store.run(run)['table']}")


@pytest.mark.parametrize("scope", ["domain", "pooled"])
@pytest.mark.parametrize("bands", [0, 3])
def test_length_tokens_and_flags_are_counted_beside_the_data(store: Store, scope: str, bands: int) -> None:
    selection = Selection("first", scope=scope, amount=Amount("ratio", 0.3), length_bands=bands)
    found, rows, chosen = selection_profile(store, selection), data(store), kept(store, selection)
    medians = [part["token_count"].median() for part in (chosen, rows)]
    assert [found.median_tokens, found.data_median_tokens] == medians
    assert found.token_share == pytest.approx(chosen["token_count"].sum() / rows["token_count"].sum())
    assert found.row_share == pytest.approx(len(chosen) / len(rows))
    assert list(found.flags) == list(FLAG_LABELS)
    for flag, share in found.flags.items():
        assert share.rows == chosen[flag].sum(), flag
        assert share.share == pytest.approx(chosen[flag].mean()), flag
        assert share.data_share == pytest.approx(rows[flag].mean()), flag
    assert found.flags["repetitive"].data_share > 0
    assert found.flags["trained_on"].data_share == pytest.approx(1 / 3)


def test_a_second_reference_is_asked_for_the_same_recipe(tmp_path: Path) -> None:
    draw = random.Random(1)
    rows = [TwiceScored("chat", 10.0, 10 * draw.random(), 10 * draw.random(), f"answer {n}") for n in range(40)]
    with Store.open(tmp_path / "workspace", "a test") as store:
        import_rows(store, rows)
        score_rows(store, rows, "first", "one")
        assert selection_profile(store, HALF).second_reference is None
        score_rows(store, rows, "second", "two")
        found = selection_profile(store, HALF).second_reference
        mine = set(kept(store, HALF)["row_number"])
        theirs = set(kept(store, Selection("second", amount=HALF.amount))["row_number"])
        assert found is not None
        assert (found.run, found.rows, found.share) == ("second", len(mine & theirs), len(mine & theirs) / len(mine))
        sentence = profile_sentence(selection_profile(store, HALF).to_fields())
        assert f"run 'second' selects {found.share:.1%} of these rows by the same recipe." in sentence
        random_order = Selection("first", order="random", amount=HALF.amount)
        assert selection_profile(store, random_order).second_reference is None


def test_an_empty_selection_has_a_profile(store: Store) -> None:
    found = selection_profile(store, Selection("first", amount=Amount("rows", 0)))
    assert (found.median_tokens, found.token_share, found.flags["short_response"].share) == (None, 0.0, None)
    assert "median response - tokens" in profile_sentence(found.to_fields())
