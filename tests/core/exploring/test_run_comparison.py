"""Two runs side by side, held against numbers worked out by hand, by pandas or by SciPy."""

from collections.abc import Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from core.data.errors import SelectionInvalid
from core.data.filters import RowFilter
from core.exploring.compared_runs import cautions, compared_run, noise_caution, other_runs, what_differs
from core.exploring.rank_changes import TOP_SHARES, rank_movers, top_overlap
from core.exploring.run_comparison import RunPair, compared_counts, score_correlations, score_plane, score_points
from core.store import Store
from tests.two_runs import TwiceScored, import_rows, score_rows


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path, "a test") as opened:
        yield opened


def random_rows(count: int) -> list[TwiceScored]:
    """Rows of three domains whose scores agree in part, a third of them tied with others, some not scored."""
    random = np.random.default_rng(11)
    base = random.uniform(5, 30, count)
    one = base * np.round(random.uniform(0.3, 1.1, count), 1 if count < 50 else 2)
    two = np.where(random.random(count) < 0.3, base / 2, one * random.uniform(0.8, 1.2, count))
    return [
        TwiceScored(
            ("math", "chat", "code")[number % 3],
            float(base[number]),
            None if number % 17 == 3 else float(one[number]),
            None if number % 23 == 5 else float(two[number]),
            f"answer {number}",
        )
        for number in range(count)
    ]


def add_pair(store: Store, rows: Sequence[TwiceScored], score: str = "learnability") -> RunPair:
    import_rows(store, rows)
    return RunPair(score_rows(store, rows, "one", "one"), score_rows(store, rows, "two", "two"), score)


def joined(store: Store, pair: RunPair) -> pd.DataFrame:
    """Both runs' scores by row, joined by pandas, as a selection would rank them: ties by example_id, row number."""
    one, two = (
        store.frame(f"SELECT row_number, example_id, domain, {pair.score} AS score FROM {table}").dropna()
        for table in (pair.first, pair.second)
    )
    both = one.merge(two[["row_number", "score"]], on="row_number", suffixes=("_first", "_second"))
    return both.assign(example_id=both["example_id"].astype(str)).sort_values(["example_id", "row_number"])


def test_spearman_agrees_with_scipy_overall_and_by_domain(store: Store) -> None:
    pair = add_pair(store, random_rows(400))
    both = joined(store, pair)
    assert both["score_first"].duplicated().sum() > 100
    found = score_correlations(store, pair)
    assert found["domain"].tolist() == ["", "chat", "code", "math"]
    assert found["overall"].tolist() == [True, False, False, False]
    for line in found.itertuples():
        part = both if line.overall else both[both["domain"] == line.domain]
        assert line.rows == len(part)
        assert line.spearman == pytest.approx(spearmanr(part["score_first"], part["score_second"]).statistic)


def test_spearman_of_a_score_that_does_not_vary_is_empty_not_zero(store: Store) -> None:
    rows = [TwiceScored("chat", 10.0, 5.0, float(number), f"answer {number}") for number in range(1, 6)]
    assert score_correlations(store, add_pair(store, rows))["spearman"].isna().all()


@pytest.mark.parametrize("score", ["learnability", "implicit_reward", "base_loss"])
def test_the_overlap_of_the_tops_agrees_with_pandas(store: Store, score: str) -> None:
    pair = add_pair(store, random_rows(300), score)
    both = joined(store, pair)
    found = top_overlap(store, pair)
    assert len(found) == 4 * len(TOP_SHARES)
    assert found[["rows", "top", "both"]].dtypes.tolist() == ["int64"] * 3
    for line in found.itertuples():
        part = both if line.overall else both[both["domain"] == line.domain]
        top = int((Decimal(str(line.share)) * len(part)).to_integral_value(ROUND_HALF_UP))
        tops = [
            set(part.sort_values(name, ascending=False, kind="stable")["row_number"].head(top))
            for name in ("score_first", "score_second")
        ]
        assert (line.rows, line.top, line.both) == (len(part), top, len(tops[0] & tops[1]))
        assert line.chance == pytest.approx(top / len(part))
        assert (line.overlap == line.both / top) if top else np.isnan(line.overlap)
    assert found[found["share"] == 1]["overlap"].tolist() == [1.0] * 4


def test_the_top_is_what_a_selection_of_that_share_keeps(store: Store) -> None:
    """Half a row rounds up, and rows of one score are taken in order of example_id, as a selection takes them."""
    rows = [TwiceScored("chat", 10.0, 5.0, 6.0, f"answer {number}") for number in range(50)]
    found = top_overlap(store, add_pair(store, rows), (0.01, 0.05, 0.5))
    assert found[found["overall"]][["top", "both"]].values.tolist() == [[1, 1], [3, 3], [25, 25]]


def test_opposite_orders_share_no_top_and_then_the_middle(store: Store) -> None:
    rows = [TwiceScored("chat", 20.0, 1.0 + n, 10.0 - n, f"answer {n}") for n in range(10)]
    found = top_overlap(store, add_pair(store, rows), (0.04, 0.5, 0.6, 1.0))
    pooled = found[found["overall"]]
    assert pooled["both"].tolist() == [0, 0, 2, 10]
    assert pooled["overlap"].tolist() == pytest.approx([np.nan, 0, 1 / 3, 1], nan_ok=True)
    assert score_correlations(store, RunPair("scored_1", "scored_2", "learnability"))["spearman"].tolist() == [-1, -1]


def test_a_share_above_one_is_refused(store: Store) -> None:
    with pytest.raises(SelectionInvalid, match=r"The share 1\.5"):
        top_overlap(store, add_pair(store, random_rows(5)), (0.5, 1.5))


def test_an_unknown_score_is_refused() -> None:
    with pytest.raises(SelectionInvalid, match="Unknown score 'row_number; DROP'"):
        RunPair("scored_1", "scored_2", "row_number; DROP")


def test_movers_agree_with_average_ranks_by_pandas(store: Store) -> None:
    pair = add_pair(store, random_rows(300))
    both = joined(store, pair)
    ranks = {name: both.groupby("domain")[f"score_{name}"].rank(pct=True) for name in ("first", "second")}
    both["moved"] = 100 * (ranks["second"] - ranks["first"])
    found = rank_movers(store, pair, 20)
    assert len(found) == 40
    assert found["moved"].is_monotonic_decreasing
    expected = both.set_index("row_number")["moved"]
    assert found["moved"].tolist() == pytest.approx(expected[found["row_number"]].tolist())
    assert found["moved"].head(20).tolist() == pytest.approx(expected.nlargest(20).tolist())
    assert found["moved"].tail(20).tolist() == pytest.approx(expected.nsmallest(20).tolist()[::-1])
    places = both.groupby("domain")["score_first"].rank(ascending=False, method="min").set_axis(both["row_number"])
    assert found["first_rank"].tolist() == places[found["row_number"]].tolist()
    assert found["domain_rows"].tolist() == both["domain"].value_counts()[found["domain"]].tolist()
    assert found["prompt"].unique().tolist() == ["What is it?"]
    assert found["response"].tolist() == [f"answer {number - 1}" for number in found["row_number"]]


def test_a_row_that_stays_is_no_mover_and_ties_do_not_move_apart(store: Store) -> None:
    tied = [TwiceScored("chat", 10.0, 5.0, 7.0, f"tied {number}") for number in range(6)]
    swapped = [TwiceScored("math", 10.0, 1.0, 3.0, "falls"), TwiceScored("math", 10.0, 2.0, 2.0, "rises")]
    found = rank_movers(store, add_pair(store, [*tied, *swapped]), 10)
    assert found[["row_number", "moved", "first_rank", "second_rank"]].values.tolist() == [
        [8, 50.0, 2, 1],
        [7, -50.0, 1, 2],
    ]


def test_the_same_conversation_in_two_rows_counts_twice(store: Store) -> None:
    rows = [*random_rows(30), *random_rows(30)[:4]]
    pair = add_pair(store, rows)
    both = joined(store, pair)
    assert int(compared_counts(store, pair)["compared"].sum()) == len(both) > both["example_id"].nunique()
    overlap = top_overlap(store, pair)
    assert overlap[overlap["overall"]]["rows"].unique().tolist() == [len(both)]


def test_every_row_of_either_run_is_compared_or_counted_with_its_reason(store: Store) -> None:
    rows = random_rows(60)
    pair = add_pair(store, rows)
    found = compared_counts(store, pair).set_index("domain")
    missing = {domain: sum(r.domain == domain and None in (r.one, r.two) for r in rows) for domain in found.index}
    assert found["no_score"].to_dict() == missing
    assert (found["compared"] + found["no_score"]).tolist() == [20, 20, 20]
    chat = compared_counts(store, RunPair(pair.first, pair.second, pair.score, RowFilter(domains=("chat",))))
    assert chat.set_index("domain")["filtered"].to_dict() == {"chat": 0, "code": 20, "math": 20}
    # A base loss needs no reference: the score decides which rows have a number.
    assert int(compared_counts(store, RunPair(pair.first, pair.second, "base_loss"))["no_score"].sum()) == 0


def test_a_flag_in_either_run_leaves_the_row_out_of_both(store: Store) -> None:
    rows = [TwiceScored("chat", 10.0, 5.0, 10.0, "unresolved in two"), TwiceScored("chat", 10.0, 5.0, 6.0, "clear")]
    pair = add_pair(store, rows)
    kept = RunPair(pair.first, pair.second, pair.score, RowFilter(without_flags=("unresolved",)))
    assert score_points(store, kept, 10)["row_number"].tolist() == [2]
    assert compared_counts(store, kept)[["compared", "filtered"]].values.tolist() == [[1, 1]]


def test_rows_that_came_after_a_run_was_scored_are_counted_and_not_compared(store: Store) -> None:
    rows, later = random_rows(40), [TwiceScored("poems", 9.0, 3.0, 4.0, f"poem {number}") for number in range(5)]
    import_rows(store, rows)
    first = score_rows(store, rows, "one", "one")
    import_rows(store, later, "later.jsonl")
    pair = RunPair(first, score_rows(store, [*rows, *later], "two", "two"), "learnability")
    found = compared_counts(store, pair).set_index("domain")
    assert found["only_second"].to_dict() == {"chat": 0, "code": 0, "math": 0, "poems": 5}
    assert found["only_first"].sum() == 0
    assert "poems" not in score_correlations(store, pair)["domain"].tolist()
    turned = compared_counts(store, RunPair(pair.second, pair.first, "learnability")).set_index("domain")
    assert turned.loc["poems", "only_first"] == 5
    score_rows(store, later, "one", "one")
    assert compared_counts(store, pair).set_index("domain").loc["poems", "compared"] == 5


def test_rows_whose_losses_differ_by_no_more_than_the_noise_are_counted(store: Store) -> None:
    rows = [TwiceScored("chat", 10.0, 5.0, 5.0 + gap, f"gap {gap}") for gap in (0.0, 0.005, 0.02, 1.0)]
    import_rows(store, rows)
    tables = [score_rows(store, rows, reference, reference, noise=1e-3) for reference in ("one", "two")]
    found = {
        score: int(compared_counts(store, RunPair(*tables, score))["within_noise"].sum())
        for score in ("learnability", "reference_loss", "base_loss")
    }
    assert found == {"learnability": 2, "reference_loss": 2, "base_loss": 4}
    assert noise_caution(4, found["learnability"]) is None
    assert "4 of 4 rows" in str(noise_caution(4, found["base_loss"]))
    assert noise_caution(0, 0) is None


def test_the_plane_counts_every_row_in_a_cell_or_outside(store: Store) -> None:
    rows = [TwiceScored("chat", 10.0, 10.0 - n / 100, 10.0 - n / 50, f"answer {n}") for n in range(400)]
    pair = add_pair(store, [*rows, TwiceScored("chat", 1.0, 900.0, 1.0, "lone")])
    plane = score_plane(store, pair, bins=20)
    points = score_points(store, pair, 1_000)
    assert (plane.rows, plane.outside) == (401, 1)
    assert len(plane.edges) == 21
    inside = points[points["first_score"] >= plane.low]
    expected = np.histogram2d(inside["first_score"], inside["second_score"], bins=[plane.edges, plane.edges])[0]
    counted = np.zeros((20, 20))
    counted[plane.cells["first_bin"], plane.cells["second_bin"]] = plane.cells["rows"]
    assert counted.sum() == 400
    # A value on an edge may fall to either side in floating point.
    assert np.abs(counted - expected).sum() <= 8
    assert score_points(store, pair, 3)["row_number"].tolist() == [1, 2, 3]


def test_where_no_row_passes_everything_is_empty(store: Store) -> None:
    pair = add_pair(store, random_rows(20))
    nothing = RunPair(pair.first, pair.second, pair.score, RowFilter(domains=("no such domain",)))
    assert score_correlations(store, nothing).empty
    assert top_overlap(store, nothing).empty
    assert rank_movers(store, nothing, 10).empty
    plane = score_plane(store, nothing)
    assert (plane.rows, plane.outside, len(plane.cells)) == (0, 0, 0)


def test_only_runs_of_the_same_dataset_stand_beside_a_run(store: Store) -> None:
    rows = random_rows(6)
    add_pair(store, rows)
    import_rows(store, rows, dataset="other")
    score_rows(store, rows, "elsewhere", "one", dataset="other")
    assert other_runs(store, "one") == ["two"]
    assert other_runs(store, "elsewhere") == []


def test_what_differs_goes_by_weights_not_names(store: Store) -> None:
    add_pair(store, random_rows(6))
    one, two = (compared_run(store.run(name)) for name in ("one", "two"))
    assert what_differs(one, two) == "One base, two references"
    assert what_differs(one, one) == "The same base and the same reference"
    assert (one.base, one.reference, one.noise_floor) == ("base", "reference one", 1e-9)
    assert cautions(one, two) == []


def test_other_text_tokens_or_precision_are_cautioned_against(store: Store) -> None:
    rows = random_rows(6)
    import_rows(store, rows)
    score_rows(store, rows, "one", "one")
    other = {"template": "alpaca", "max_length": 2048, "tokenizer_fingerprint": "another", "version": 1}
    score_rows(store, rows, "two", "two", encoding=other, encoding_fingerprint="other", dtype="bfloat16")
    one, two = (compared_run(store.run(name)) for name in ("one", "two"))
    tokenizers, encodings, precisions = cautions(one, two)
    assert "tokenizers differ" in tokenizers
    assert "A: template chat, at most 512 tokens; B: template alpaca, at most 2,048 tokens" in encodings
    assert "A: float32; B: bfloat16" in precisions


def test_a_run_whose_description_says_nothing_is_described_all_the_same(store: Store) -> None:
    rows = random_rows(6)
    import_rows(store, rows)
    score_rows(store, rows, "bare", "one", models={}, encoding={}, encoding_fingerprint="x", dtype="float32")
    bare = compared_run(store.run("bare"))
    assert (bare.base, bare.max_length) == ("not recorded", None)
    assert bare.encoding_words == "template not recorded, length not recorded"
    assert what_differs(bare, bare) == "Two runs, some of whose models were not recorded"
