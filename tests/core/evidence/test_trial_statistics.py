"""The statistics of a trial: by hand, against a bootstrap that is really drawn, and in simulated trials."""

import numpy as np
import pytest
from scipy import stats

from core.evidence.trial_statistics import (
    NOT_DISTINGUISHABLE,
    ArmLosses,
    difference_from_random,
    held_out_loss,
    holm,
    loss_band,
    too_few_runs,
    verdict,
    verdict_sentence,
)

Draws = tuple[int, int]
"""Random draws (clusters), and seeds of each."""


def arm_of(nll_sum: list[list[float]], cluster: list[int] | None = None, group: list[int] | None = None) -> ArmLosses:
    """An arm on three rows of 1, 2 and 4 tokens."""
    runs = range(len(nll_sum))
    return ArmLosses(
        np.array(nll_sum, float), np.array([1, 2, 4]), np.array(group or [0, 1, 2]), np.array(cluster or runs)
    )


def simulated(
    random: np.random.Generator, shape: Draws, other: Draws, groups: int = 120
) -> tuple[ArmLosses, ArmLosses]:
    """Two arms without a true difference. Noise of draws and seeds, of groups (part of it the arm's own), and of rows;
    of very uneven group sizes and lengths."""
    groups = 120
    group = np.repeat(np.arange(groups), random.geometric(0.6, groups))
    tokens = np.maximum(1, random.lognormal(4, 0.8, len(group))).astype(np.int64)
    shared = random.normal(2, 0.5, groups)[group]

    def arm(draws: int, seeds: int) -> ArmLosses:
        cluster = np.repeat(np.arange(draws), seeds)
        run = random.normal(0, 0.02, draws)[cluster] + random.normal(0, 0.02, draws * seeds)
        own = random.normal(0, 0.05, groups)[group]
        row = random.normal(0, 0.15, (draws * seeds, len(group)))
        return ArmLosses((shared + run[:, None] + own + row) * tokens, tokens, group, cluster)

    return arm(*shape), arm(*other)


def test_both_losses_are_those_computed_by_hand() -> None:
    arm = arm_of([[1, 4, 4], [3, 4, 12]])
    assert held_out_loss(arm) == pytest.approx((9 / 7 + 19 / 7) / 2)
    assert held_out_loss(arm, by_row=True) == pytest.approx(((1 + 2 + 1) / 3 + (3 + 2 + 3) / 3) / 2)


def test_draws_count_alike_however_many_of_their_seeds_are_there() -> None:
    assert held_out_loss(arm_of([[7, 0, 0], [14, 0, 0], [28, 0, 0]], [0, 0, 1])) == pytest.approx((1.5 + 4) / 2)


def test_the_difference_is_welchs_where_held_out_rows_add_nothing() -> None:
    """Each run's rows all have the run's loss, so groups do not differ, and only runs vary."""
    losses, others = [1.0, 1.1, 1.3], [1.5, 1.2, 1.4, 1.9]
    arm, random = (arm_of([[loss, 2 * loss, 4 * loss] for loss in arms]) for arms in (losses, others))
    found = difference_from_random(arm, random)
    by_scipy = stats.ttest_ind(losses, others, equal_var=False)
    assert found is not None
    assert (found.p, found.degrees_of_freedom) == pytest.approx((by_scipy.pvalue, by_scipy.df))
    assert (found.low, found.high) == pytest.approx(tuple(by_scipy.confidence_interval()))
    assert found.value < 0


def test_the_standard_error_is_that_of_a_two_level_bootstrap_with_its_known_bias_removed() -> None:
    random = np.random.default_rng(3)
    arm, other = simulated(random, (4, 1), (5, 3))
    found = difference_from_random(arm, other)
    assert found is not None
    tokens = np.bincount(arm.group, arm.token_count)
    sums = [
        np.array([np.bincount(a.group, a.nll_sum[a.cluster == c].mean(0)) for c in range(a.clusters)])
        for a in (arm, other)
    ]
    drawn_groups = random.multinomial(len(tokens), np.full(len(tokens), 1 / len(tokens)), 20_000)
    replicates = 0.0
    for sign, of_arm in zip((1, -1), sums, strict=True):
        n = len(of_arm)
        drawn = random.multinomial(n, np.full(n, 1 / n), len(drawn_groups)) / n
        unbiased = of_arm.mean(0) + np.sqrt(n / (n - 1)) * (drawn @ of_arm - of_arm.mean(0))
        replicates += sign * (unbiased * drawn_groups).sum(1) / (drawn_groups @ tokens)
    assert found.standard_error == pytest.approx(np.std(replicates), rel=0.1)


@pytest.mark.parametrize(("shape", "other"), [((3, 1), (5, 3)), ((5, 1), (5, 1)), ((3, 1), (3, 1))])
@pytest.mark.parametrize("by_row", [False, True])
def test_the_interval_holds_the_true_difference_about_95_times_in_100(shape: Draws, other: Draws, by_row: bool) -> None:
    random = np.random.default_rng(11)
    held = 0
    for _ in range(400):
        found = difference_from_random(*simulated(random, shape, other), by_row)
        assert found is not None
        held += found.low <= 0 <= found.high
    assert 0.93 <= held / 400 <= 0.99


def test_of_two_equal_arms_at_least_95_of_100_trials_say_not_distinguishable() -> None:
    random = np.random.default_rng(5)
    said = []
    for _ in range(100):
        found = difference_from_random(*simulated(random, (3, 1), (5, 3)))
        assert found is not None
        said.append(verdict(found.value, found.p))
    assert said.count(NOT_DISTINGUISHABLE) >= 95


def test_a_difference_of_the_smallest_visible_size_is_found_about_80_times_in_100() -> None:
    random = np.random.default_rng(7)
    trials = [simulated(random, (5, 1), (5, 3)) for _ in range(300)]
    found = [difference_from_random(*trial) for trial in trials]
    size = np.median([each.smallest_visible for each in found if each])
    worse = [ArmLosses(a.nll_sum + size * a.token_count, a.token_count, a.group, a.cluster) for a, _ in trials]
    seen = [difference_from_random(a, b) for a, (_, b) in zip(worse, trials, strict=True)]
    assert 0.7 <= np.mean([each.p <= 0.05 for each in seen if each]) <= 0.93


def test_holm_is_his_step_down_and_keeps_the_order() -> None:
    assert holm([0.04, 0.01, 0.03, 0.5]) == pytest.approx([0.09, 0.04, 0.09, 0.5])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_verdict_says_for_what_it_holds_and_on_what_it_rests() -> None:
    arm = arm_of([[1, 2, 4], [1.01, 2.02, 4.04], [0.99, 1.98, 3.96]])
    random = arm_of([[1.5, 3, 6], [1.51, 3.02, 6.04], [1.49, 2.98, 5.96]])
    found = difference_from_random(arm, random)
    assert found is not None
    assert verdict_sentence(verdict(found.value, found.p), found) == (
        "better than random, for this base, budget and held-out set: 3 runs against 3, "
        "difference -0.500 nats per token [-0.523, -0.477]"
    )
    assert verdict(-found.value, found.p) == "worse than random"
    assert verdict(found.value, 0.06) == "not distinguishable from random"


def test_there_is_no_verdict_with_fewer_than_three_runs_or_three_draws() -> None:
    two, three, six = (arm_of([[1, 2, 4]] * runs) for runs in (2, 3, 6))
    assert too_few_runs(two, six, 3) == "too few runs for a verdict: 2 of at least 3"
    two_draws = arm_of([[1, 2, 4]] * 6, cluster=[0, 0, 0, 1, 1, 1])
    assert too_few_runs(three, two_draws, 3) == "too few random draws for a verdict: 2 of at least 3"
    assert too_few_runs(three, six, 3) is None
    assert too_few_runs(three, six, 5) == "too few runs for a verdict: 3 of at least 5"


def test_without_anything_that_varies_there_is_no_interval() -> None:
    one, three = arm_of([[1, 2, 4]]), arm_of([[1, 2, 4]] * 3)
    assert difference_from_random(one, three) is None
    assert difference_from_random(three, one) is None
    same_group = arm_of([[1, 2, 4]] * 3, group=[0, 0, 0])
    assert difference_from_random(same_group, same_group) is None
    assert loss_band(one).low is None
    equal = difference_from_random(three, three)
    assert equal is not None
    assert (equal.value, equal.p) == (0, 1)


def test_the_band_of_an_arm_is_the_t_interval_of_its_runs() -> None:
    losses = [1.0, 1.2, 1.1]
    band = loss_band(arm_of([[loss, 2 * loss, 4 * loss] for loss in losses]))
    low, high = stats.t.interval(0.95, 2, np.mean(losses), stats.sem(losses))
    assert (band.loss, band.low, band.high) == pytest.approx((1.1, low, high))


def test_arms_on_different_rows_are_not_compared() -> None:
    with pytest.raises(ValueError, match="different held-out rows"):
        difference_from_random(arm_of([[1, 2, 4]] * 3), arm_of([[1, 2, 4]] * 3, group=[0, 0, 1]))
