"""Batches for a token budget: as many steps and tokens for every set of rows."""

import numpy as np
import pytest

from core.training.token_batches import BudgetSampler


def sampler(lengths: list[int], budget: int, steps: int, seed: int = 0) -> BudgetSampler:
    return BudgetSampler(lengths, lengths, budget, steps, seed)


@pytest.mark.parametrize(("rows", "longest"), [(20, 200), (200, 50), (3000, 400)])
def test_rows_of_any_length_give_the_steps_and_tokens_of_the_budget(rows: int, longest: int) -> None:
    lengths = np.random.default_rng(rows).integers(1, longest, rows).tolist()
    batches = list(sampler(lengths, 20_000, 25))
    tokens = [sum(lengths[row] for row in batch) for batch in batches]
    assert len(batches) == 25
    assert abs(sum(tokens) - 20_000) <= longest / 2
    assert max(abs(count - 800) for count in tokens) <= longest


def test_every_row_is_seen_equally_often_to_within_one_pass() -> None:
    lengths = np.random.default_rng(1).integers(1, 60, 40).tolist()
    rows = [row for batch in sampler(lengths, 10_000, 10) for row in batch]
    counts = np.bincount(rows, minlength=40)
    assert counts.max() - counts.min() <= 1
    assert counts.min() > 5


def test_a_budget_below_one_pass_takes_a_random_part_of_the_rows() -> None:
    lengths = [10] * 500
    first, second = ({row for batch in sampler(lengths, 1000, 5, seed) for row in batch} for seed in (0, 1))
    assert len(first) == len(second) == 100
    assert 5 < len(first & second) < 50
    assert first == {row for batch in sampler(lengths, 1000, 5, 0) for row in batch}


def test_scored_tokens_can_be_what_is_equal() -> None:
    scored, lengths = [5, 50] * 40, [100] * 80
    batches = BudgetSampler(scored, lengths, 1000, 4, 0)
    assert abs(sum(scored[row] for batch in batches for row in batch) - 1000) <= 25
