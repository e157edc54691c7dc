"""The value of a row by when it is taken."""

import numpy as np

from core.data.taking_order import shares_taken_after


def test_the_first_row_has_all_others_after_it_and_the_last_none() -> None:
    assert shares_taken_after(np.array([2, 0, 4, 1, 3])).tolist() == [0.75, 0.25, 1.0, 0.0, 0.5]
    assert shares_taken_after(np.array([0])).tolist() == [1.0]
    assert shares_taken_after(np.zeros(0, np.int64)).tolist() == []
