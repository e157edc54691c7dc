"""Ranking within bands of response length, held against pandas."""

import json
import random
from collections.abc import Iterator

import pandas as pd
import pytest

from core.data.errors import SelectionInvalid
from core.selection import Amount, Pick, Selection, kept_rows, matched_control, row_outcome, select_summary
from core.store import Store
from tests.fakes import ScoredRecord, build_scored_store

BANDS = 4


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """200 rows of two domains, in which short responses score high; many have the same length."""
    draw = random.Random(5)
    records = []
    for number in range(200):
        tokens = round(2 + 40 * draw.random() ** 3)
        reference = tokens / 60 + draw.random() / 4
        records.append(ScoredRecord(draw.choice(["chat", "math"]), 1.0, reference, tokens, f"answer {number}"))
    with build_scored_store(tmp_path_factory.mktemp("bands") / "workspace", records) as opened:
        yield opened


def ranked_by_pandas(rows: pd.DataFrame, ascending: bool = False) -> list[int]:
    """Row numbers of one pool in the order of the definition."""
    first = rows["token_count"].rank(method="min") - 1
    rows = rows.assign(band=(first * BANDS // len(rows)).astype(int), id=rows["example_id"].astype(str))
    rows = rows.sort_values(["learnability", "id"], ascending=[ascending, True])
    of_band = rows.groupby("band")["learnability"]
    rows["share"] = (of_band.cumcount() + 1) / of_band.transform("size")
    order = ["share", "learnability", "id"]
    return rows.sort_values(order, ascending=[True, ascending, True])["row_number"].tolist()


def all_rows(store: Store) -> pd.DataFrame:
    return store.frame("SELECT * FROM scored_1")


def kept(store: Store, selection: Selection) -> set[int]:
    return {row[0] for row in store.rows(*kept_rows(store, selection))}


@pytest.mark.parametrize("order", ["highest", "lowest"])
@pytest.mark.parametrize("share", [0.06, 0.33, 0.9])
def test_each_domain_is_ranked_within_its_own_bands(store: Store, order: str, share: float) -> None:
    selection = Selection("planets", order=order, amount=Amount("ratio", share), length_bands=BANDS)
    expected: set[int] = set()
    for pool in select_summary(store, selection).pools:
        rows = all_rows(store)
        of_pool = rows[rows["domain"] == pool.pool]
        expected |= set(ranked_by_pandas(of_pool, order == "lowest")[: pool.wanted])
    assert kept(store, selection) == expected


def test_bands_of_all_domains_together_give_their_shares(store: Store) -> None:
    selection = Selection("planets", scope="pooled", amount=Amount("ratio", 0.25), length_bands=BANDS)
    rows = all_rows(store)
    chosen = kept(store, selection)
    assert chosen == set(ranked_by_pandas(rows)[:50])
    band = ((rows["token_count"].rank(method="min") - 1) * BANDS // len(rows)).astype(int)
    shares = rows["row_number"].isin(chosen).groupby(band).mean()
    assert shares.between(0.22, 0.28).all()
    assert rows.loc[rows["row_number"].isin(chosen), "token_count"].median() > 2 * (
        rows.nlargest(50, "learnability")["token_count"].median()
    )


def test_there_is_no_score_at_the_cut_and_the_sentence_says_why(store: Store) -> None:
    selection = Selection("planets", amount=Amount("ratio", 0.1), length_bands=BANDS)
    assert [pool.cut_value for pool in select_summary(store, selection).pools] == [None, None]
    assert "ranked within 4 length bands." in row_outcome(store, selection, 1).sentence(selection)
    assert not matched_control(selection, select_summary(store, selection), "random").length_bands


def test_hand_picks_come_before_the_bands(store: Store) -> None:
    rows = all_rows(store)
    last = rows[rows["row_number"] == ranked_by_pandas(rows)[-1]].iloc[0]
    selection = Selection(
        "planets",
        scope="pooled",
        amount=Amount("rows", 2),
        length_bands=BANDS,
        picks=(Pick(str(last["example_id"]), True),),
    )
    found = row_outcome(store, selection, int(last["row_number"]))
    assert (found.picked, found.rank) == (True, 1)
    assert len(kept(store, selection)) == 2


def test_a_recipe_without_bands_is_written_as_before() -> None:
    assert "length_bands" not in json.dumps(Selection("planets").to_fields())
    banded = Selection("planets", length_bands=BANDS)
    assert banded.to_fields()["version"] == 2
    assert Selection.from_fields(banded.to_fields()) == banded


@pytest.mark.parametrize("bands", [-1, 101, "4", True])
def test_bands_that_cannot_be_are_refused(bands: object) -> None:
    with pytest.raises(SelectionInvalid, match="length"):
        Selection.from_fields({"run": "planets", "length_bands": bands})
