"""Distributions, the loss plane and length bias, held against numbers worked out by hand or by SciPy."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from core.data.errors import SelectionInvalid
from core.data.filters import EVERYTHING, Range, RowFilter
from core.data.scores import SCORES
from core.data.text_search import TextSearch
from core.exploring.distributions import (
    domain_counts,
    flag_counts,
    histogram,
    robust_bounds,
    scored_rows,
    summary,
    with_shares,
)
from core.exploring.length_bias import LENGTH_SCORES, length_bias, length_plane, length_points, length_sentence
from core.exploring.loss_plane import loss_plane, loss_points
from core.store import Store
from tests.core.scored_rows import ScoredRow, add_scored_run
from tests.fakes import ScoredRecord, build_scored_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path, "a test") as opened:
        yield opened


def random_rows(count: int) -> list[ScoredRow]:
    """Rows with many ties in length, whose difference grows with length."""
    random = np.random.default_rng(7)
    tokens = random.integers(1, 40, count)
    base = random.uniform(0.5, 3.0, count) * tokens
    reference = base * random.uniform(0.4, 1.1, count)
    return [
        ScoredRow(("math", "chat")[number % 2], float(base[number]), float(reference[number]), int(tokens[number]))
        for number in range(count)
    ]


def test_every_row_is_in_a_bin_or_counted_outside(store: Store) -> None:
    rows = [ScoredRow("chat", 8.0, 8.0 - gain) for gain in (-32, 1, 2, 3, 4, 8)]  # eighths: exact in binary
    table = add_scored_run(store, [*rows, ScoredRow("math", 8.0, 4.0), ScoredRow("math", 0.0, 0.0)])
    found = histogram(store, table, "learnability", EVERYTHING, bins=4, bounds=(0.0, 0.5))
    chat = found.bins[found.bins["domain"] == "chat"]
    assert chat["rows"].tolist() == [0, 1, 1, 2]
    assert found.outside.set_index("domain").to_dict("index") == {
        "chat": {"below": 1, "above": 1, "no_score": 0},
        "math": {"below": 0, "above": 0, "no_score": 1},
    }
    assert found.bins["bin_low"].min() == 0.0
    assert found.bins["bin_high"].max() == pytest.approx(0.5)


def test_a_domain_without_scores_keeps_its_empty_bins(store: Store) -> None:
    table = add_scored_run(store, [ScoredRow("chat", 10.0, 5.0), ScoredRow("math", None, None)])
    found = histogram(store, table, "learnability", EVERYTHING, bins=4)
    assert found.bins.groupby("domain")["rows"].agg(["size", "sum"]).to_dict("index") == {
        "chat": {"size": 4, "sum": 1},
        "math": {"size": 4, "sum": 0},
    }


def test_robust_bounds_leave_out_a_lone_outlier_but_not_a_near_extreme(store: Store) -> None:
    rows = [ScoredRow("chat", 100.0, 100.0 - number / 10) for number in range(1000)]
    table = add_scored_run(store, [*rows, ScoredRow("chat", 1.0, 500.0)])
    low, high = robust_bounds(store, table, "learnability", EVERYTHING)
    assert low == pytest.approx(0.004, abs=1e-6)
    assert high == pytest.approx(0.999)


def test_bounds_of_equal_scores_have_a_width(store: Store) -> None:
    table = add_scored_run(store, [ScoredRow("chat", 10.0, 5.0, response=str(n)) for n in range(5)])
    found = histogram(store, table, "learnability", EVERYTHING, bins=10)
    assert found.low < 0.5 < found.high
    assert found.bins["rows"].sum() == 5


def test_a_filter_that_no_row_passes_gives_empty_tables(store: Store) -> None:
    table = add_scored_run(store, random_rows(10))
    nothing = RowFilter(search=TextSearch("no such words"))
    assert histogram(store, table, "learnability", nothing).bins.empty
    assert summary(store, table, "learnability", nothing).empty
    assert length_bias(store, table, nothing).empty
    assert loss_plane(store, table, nothing) is None
    assert length_plane(store, table, "learnability", nothing) is None


def test_an_unknown_column_is_refused(store: Store) -> None:
    table = add_scored_run(store, random_rows(4))
    for bounds in (None, (0.0, 1.0)):
        with pytest.raises(SelectionInvalid, match="Unknown column 'row_number; DROP'"):
            histogram(store, table, "row_number; DROP", EVERYTHING, bounds=bounds)


def test_mean_of_ratios_and_ratio_of_means_are_told_apart(store: Store) -> None:
    rows = [ScoredRow("chat", 10.0, 5.0, 10), ScoredRow("chat", 90.0, 81.0, 30), ScoredRow("chat", 50.0, None, 7)]
    table = add_scored_run(store, [*rows, ScoredRow("math", 10.0, 12.0, 5, truncated=True)])
    found = summary(store, table, "learnability", EVERYTHING)
    assert found["domain"].tolist() == ["", "chat", "math"]
    assert found["overall"].tolist() == [True, False, False]
    chat = found[found["domain"] == "chat"].iloc[0]
    assert chat["mean"] == pytest.approx((0.5 + 0.1) / 2)
    assert chat["ratio_of_means"] == pytest.approx(1 - 86 / 100)
    assert (chat["rows"], chat["scored"], chat["no_score"], chat["tokens"]) == (3, 2, 1, 47)
    math = found[found["domain"] == "math"].iloc[0]
    assert (math["share_negative"], math["share_quality_flag"]) == (1.0, 1.0)
    difference = summary(store, table, "loss_difference", EVERYTHING).set_index("domain")
    assert difference.loc["chat", "mean"] == pytest.approx((0.5 + 0.3) / 2)
    assert difference.loc["chat", "ratio_of_means"] == pytest.approx(14 / 40)
    perplexity = summary(store, table, "base_perplexity", EVERYTHING).set_index("domain")
    assert perplexity.loc["chat", "ratio_of_means"] == pytest.approx(np.exp(150 / 47))
    assert summary(store, table, "implicit_reward", EVERYTHING)["ratio_of_means"].isna().all()


def test_the_ratios_of_means_of_the_end_of_turn_are_of_sums_too(tmp_path: Path) -> None:
    # 20 and 40 nats under the base, 10 and 10 under the reference; of the end of turn 4 and 5, and 2 and 0.
    ends = [((4.0, 2.0), 1.0), ((5.0, 0.0), 2.0)]
    records = [ScoredRecord("chat", base * 2, 1.0, 10, end_losses=losses) for losses, base in ends]
    with build_scored_store(tmp_path, [*records, ScoredRecord("chat", 3.0, 1.0, 10)]) as store:
        table = store.run("planets")["table"]
        without = summary(store, table, "learnability_without_end", EVERYTHING)
        share = summary(store, table, "end_share_of_gain", EVERYTHING)
    assert without["ratio_of_means"].tolist() == [pytest.approx(33 / 51)] * 2
    assert share["ratio_of_means"].tolist() == [pytest.approx(7 / 40)] * 2
    assert share["no_score"].tolist() == [1, 1]


def test_quartiles_and_extremes_agree_with_numpy(store: Store) -> None:
    rows = random_rows(101)
    table = add_scored_run(store, rows)
    expected = np.array([1 - row.reference / row.base for row in rows if row.base and row.reference])
    overall = summary(store, table, "learnability", EVERYTHING).iloc[0]
    found = [overall[name] for name in ("min", "q25", "median", "q75", "max")]
    assert found == pytest.approx(np.quantile(expected, [0, 0.25, 0.5, 0.75, 1]).tolist())
    assert overall["share_negative"] == pytest.approx((expected < 0).mean())


def test_counts_name_every_domain_even_where_no_row_passes(store: Store) -> None:
    table = add_scored_run(store, [ScoredRow("chat", 9.0, 5.0, 3), ScoredRow("math", 9.0, 5.0, 50, truncated=True)])
    counts = domain_counts(store, table, RowFilter(ranges=(Range("token_count", 10, None),)))
    assert counts.to_dict("records") == [
        {"domain": "chat", "rows": 0, "tokens": 0, "all_rows": 1, "all_tokens": 3},
        {"domain": "math", "rows": 1, "tokens": 50, "all_rows": 1, "all_tokens": 50},
    ]
    flags = flag_counts(store, table, EVERYTHING).set_index("domain")
    assert flags["truncated"].to_dict() == {"chat": 0, "math": 1}
    assert flags["non_finite"].sum() == 0


def test_spearman_agrees_with_scipy_by_domain_and_overall(store: Store) -> None:
    rows = random_rows(300)
    table = add_scored_run(store, rows)
    found = length_bias(store, table, EVERYTHING)
    assert found["domain"].tolist() == ["", "chat", "math"]
    for _, line in found.iterrows():
        chosen = [row for row in rows if line["overall"] or row.domain == line["domain"]]
        tokens = np.array([row.tokens for row in chosen])
        base = np.array([row.base for row in chosen], float)
        reference = np.array([row.reference for row in chosen], float)
        assert line["rows"] == len(chosen)
        assert line["spearman_implicit_reward"] == pytest.approx(spearmanr(tokens, base - reference).statistic)
        assert line["spearman_learnability"] == pytest.approx(spearmanr(tokens, 1 - reference / base).statistic)
        assert line["spearman_loss_difference"] == pytest.approx(
            spearmanr(tokens, base / tokens - reference / tokens).statistic
        )


def correlations(**domains: tuple[float, float, float]) -> pd.DataFrame:
    """As `length_bias` gives them: by domain, of implicit reward, loss difference and learnability."""
    lines = [(True, "", 0.9, 0.9, 0.0), *((False, domain, *values) for domain, values in domains.items())]
    return pd.DataFrame(lines, columns=["overall", "domain", *(f"spearman_{name}" for name in LENGTH_SCORES)])


@pytest.mark.parametrize(
    ("domains", "sentence"),
    [
        (
            {"chat": (0.6, -0.1, -0.5), "math": (0.8, 0.7, -0.2), "code": (0.1, 0.2, 0.3)},
            "Within 3 domains, lowest to highest: implicit reward (sum) +0.10 to +0.80; loss difference (mean) "
            "−0.10 to +0.70; learnability (ratio) −0.50 to +0.30.",
        ),
        (
            {"chat": (-0.5, 0.5, 0.5), "flat": (np.nan, np.nan, np.nan)},
            "Within 1 domain: implicit reward (sum) −0.50; loss difference (mean) +0.50; learnability (ratio) +0.50.",
        ),
        (
            {"flat": (np.nan, np.nan, np.nan)},
            "No domain has rows of different lengths and scores, so there is no correlation with length",
        ),
    ],
)
def test_the_sentence_on_length_says_what_the_figures_within_domains_say(
    domains: dict[str, tuple[float, float, float]], sentence: str
) -> None:
    assert length_sentence(correlations(**domains)).startswith(sentence)


def test_spearman_of_equal_lengths_is_empty_not_zero(store: Store) -> None:
    table = add_scored_run(store, [ScoredRow("chat", 10.0, float(n)) for n in range(1, 6)])
    assert length_bias(store, table, EVERYTHING)["spearman_learnability"].isna().all()


def test_the_loss_plane_counts_every_row_with_both_losses(store: Store) -> None:
    rows = [ScoredRow("chat", 10.0, 5.0, response=str(n)) for n in range(400)]
    table = add_scored_run(store, [*rows, ScoredRow("chat", 500.0, 900.0), ScoredRow("chat", 10.0, None)])
    plane = loss_plane(store, table, EVERYTHING, bins=10)
    assert plane is not None
    assert (plane.rows, plane.outside) == (401, 1)
    assert plane.high == pytest.approx(1.0)
    assert plane.cells[["base_bin", "reference_bin", "rows"]].values.tolist() == [[9, 5, 400]]
    assert (plane.base_median, plane.reference_median) == (1.0, 0.5)


def test_points_carry_the_row_they_stand_for(store: Store) -> None:
    table = add_scored_run(store, [ScoredRow("chat", 10.0, 5.0, 4), ScoredRow("math", 8.0, None)])
    points = loss_points(store, table, EVERYTHING)
    assert points[["row_number", "base_loss", "reference_loss"]].values.tolist() == [[1, 2.5, 1.25]]
    assert length_points(store, table, "base_loss", EVERYTHING, 10)["row_number"].tolist() == [1, 2]


def test_the_length_plane_holds_every_length_in_one_bin(store: Store) -> None:
    rows = random_rows(200)
    table = add_scored_run(store, rows)
    plane = length_plane(store, table, "learnability", EVERYTHING, bins=12)
    assert plane is not None
    assert plane.cells["rows"].sum() + plane.outside == 200
    assert plane.medians["rows"].sum() == 200
    low, high = plane.length_edges[3], plane.length_edges[4]
    expected = np.median([1 - row.reference / row.base for row in rows if low <= row.tokens < high])
    assert plane.medians.set_index("length_bin").loc[3, "median"] == pytest.approx(expected)
    assert plane.length_edges == sorted(set(plane.length_edges))


def test_bins_of_a_log_axis_have_equal_ratios_and_hold_every_positive_row(store: Store) -> None:
    rows = [ScoredRow("chat", loss * 10, 1.0, 10) for loss in (0.5, 1.0, 1.5, 3.0, 7.9)]
    table = add_scored_run(store, [*rows, ScoredRow("chat", 0.0, 1.0, 10), ScoredRow("chat", 99.0, 1.0, 10)])
    found = histogram(store, table, "base_loss", EVERYTHING, bins=4, bounds=(0.5, 8.0), log=True)
    assert found.log
    assert found.bins["bin_low"].tolist() == pytest.approx([0.5, 1.0, 2.0, 4.0])
    assert found.bins["rows"].tolist() == [1, 2, 1, 1]
    assert found.outside[["below", "above"]].values.tolist() == [[1, 1]]


def test_robust_bounds_of_a_log_axis_leave_zero_and_outliers_out(store: Store) -> None:
    rows = [ScoredRow("chat", 10.0 * 2 ** (number / 100), 5.0) for number in range(400)]
    table = add_scored_run(store, [*rows, ScoredRow("chat", 0.0, 5.0), ScoredRow("chat", 1e9, 5.0)])
    low, high = robust_bounds(store, table, "base_loss", EVERYTHING, log=True)
    assert low == pytest.approx(1.0)
    assert low <= 1.0  # the least row is on the axis, whatever its logarithm was rounded to
    assert 14 < high < 17
    assert robust_bounds(store, table, "base_loss", RowFilter(domains=("none",)), log=True) == (1.0, 10.0)


def test_a_column_that_may_be_negative_has_no_log_axis(store: Store) -> None:
    table = add_scored_run(store, random_rows(4))
    for bounds in (None, (0.1, 1.0)):
        with pytest.raises(SelectionInvalid, match="learnability can be zero or negative, so it has no log axis"):
            histogram(store, table, "learnability", EVERYTHING, bounds=bounds, log=True)


@pytest.mark.parametrize("log", [False, True])
def test_bins_of_lengths_have_whole_edges_and_none_is_empty_for_want_of_a_length(store: Store, log: bool) -> None:
    table = add_scored_run(store, [ScoredRow("chat", 10.0, 5.0, tokens) for tokens in range(1, 131)])
    found = histogram(store, table, "token_count", EVERYTHING, bins=60, bounds=(1.0, 130.0), log=log)
    assert all(float(edge).is_integer() for edge in found.bins["bin_low"])
    assert found.bins["rows"].sum() == 130
    expected = (found.bins["bin_high"] - found.bins["bin_low"]).tolist()
    assert found.bins["rows"].tolist()[:-1] == expected[:-1]
    assert found.bins["rows"].min() > 0


def test_shares_at_the_bins_edges_are_those_of_the_rows_themselves(store: Store) -> None:
    rows = random_rows(400)
    table = add_scored_run(store, [*rows, ScoredRow("chat", None, 5.0)])
    found = with_shares(histogram(store, table, "learnability", EVERYTHING, bins=7, bounds=(0.1, 0.4)))
    for domain, part in found.groupby("domain"):
        scores = np.array([1 - row.reference / row.base for row in rows if row.domain == domain])  # type: ignore[operator]
        assert part["share_low"].tolist() == pytest.approx([(scores < edge).mean() for edge in part["bin_low"]])
        assert part["share_high"].tolist() == pytest.approx([(scores < edge).mean() for edge in part["bin_high"]])
    counted = histogram(store, table, "learnability", EVERYTHING, bins=7, bounds=(0.1, 0.4))
    assert scored_rows(counted) == {"chat": 200, "math": 200}


def test_every_score_has_a_summary(store: Store) -> None:
    table = add_scored_run(store, random_rows(4))
    for name in SCORES:
        assert len(summary(store, table, name, EVERYTHING)) > 0, name
