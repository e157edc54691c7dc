"""Two signals in one ranking: the sum of columns by weight, held against pandas."""

import pandas as pd
import pytest

from core.data.errors import SelectionInvalid
from core.data.filters import EVERYTHING
from core.exploring.score_plane import spread_ratio, two_scores
from core.selection import Amount, Selection, kept_condition, kept_rows, row_outcome, scored_run, select_summary
from core.store import Store

BOTH = Selection(
    "planets", scope="pooled", amount=Amount("rows", 6), added={"base_loss": -0.25, "implicit_reward": 0.01}
)


def all_rows(store: Store) -> pd.DataFrame:
    return store.frame("SELECT * FROM scored_1 ORDER BY row_number")


def test_rows_are_ranked_by_the_weighted_sum_of_columns(scored_store: Store) -> None:
    rows = all_rows(scored_store)
    total = rows["learnability"] - 0.25 * rows["base_loss"] + 0.01 * rows["implicit_reward"]
    expected = rows.assign(total=total).nlargest(6, "total")["row_number"]
    kept = scored_store.rows(*kept_rows(scored_store, BOTH))
    assert sorted(row[0] for row in kept) == sorted(expected)
    assert [row[4] for row in kept] == pytest.approx([total[row[0] - 1] for row in kept])
    assert select_summary(scored_store, BOTH).kept_rows == 6
    sentence = row_outcome(scored_store, BOTH, int(expected.iloc[0])).sentence(BOTH)
    assert sentence.startswith("Selected: rank 1 of 20 eligible rows")


def test_a_row_that_lacks_one_of_the_scores_has_no_sum(scored_store: Store) -> None:
    gone = "UPDATE scored_1 SET base_perplexity = NULL WHERE row_number = 3"
    scored_store.write(lambda connection: connection.execute(gone).fetchall())
    outcomes = select_summary(scored_store, Selection("planets", added={"base_perplexity": 1.0})).outcomes
    assert outcomes.loc[outcomes["outcome"].str.startswith("no score"), "rows"].tolist() == [1]


def test_a_recipe_keeps_its_weights_and_one_without_them_is_as_before() -> None:
    assert Selection.from_fields(BOTH.to_fields()) == BOTH
    assert "added" not in Selection("planets").to_fields()
    assert BOTH.value_label == "Learnability + -0.25 × Base loss + 0.01 × Implicit reward"
    assert not BOTH.has_score_cut


@pytest.mark.parametrize(
    ("added", "sentence"),
    [
        ({"learnability": 1.0}, "added to itself"),
        ({"goodness": 1.0}, "Unknown score 'goodness'"),
        ({"base_loss": 0.0}, "other than 0"),
        ({"base_loss": float("nan")}, "other than 0"),
    ],
)
def test_a_sum_that_means_nothing_is_refused(added: dict[str, float], sentence: str) -> None:
    with pytest.raises(SelectionInvalid, match=sentence):
        Selection("planets", added=added)


def test_a_score_of_missing_losses_cannot_be_added(scored_store: Store) -> None:
    with pytest.raises(SelectionInvalid, match="needs losses of the responses without their prompts"):
        select_summary(scored_store, Selection("planets", added={"ifd": 1.0}))


def test_the_plane_of_both_counts_every_row_and_the_selected_ones(scored_store: Store) -> None:
    with kept_condition(scored_store, BOTH, scored_run(scored_store, "planets")) as kept:
        plane = two_scores(scored_store, "scored_1", "learnability", "base_loss", EVERYTHING, kept)
    assert plane is not None
    assert (plane.rows, plane.outside, plane.cells["rows"].sum(), plane.cells["kept"].sum()) == (20, 0, 20, 6)
    rows = all_rows(scored_store)
    spread = [rows[name].quantile(0.75) - rows[name].quantile(0.25) for name in ("learnability", "base_loss")]
    assert spread_ratio(scored_store, "scored_1", "learnability", "base_loss") == pytest.approx(spread[0] / spread[1])
    assert spread_ratio(scored_store, "scored_1", "learnability", "ifd") == 1.0
