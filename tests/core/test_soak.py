"""The quick form of the soak: ten kills of everything that writes."""

from pathlib import Path

from tests.soak import QUICK, VICTIMS, soak


def test_ten_kills_of_everything_that_writes_leave_the_workspace_whole(tmp_path: Path) -> None:
    tally = soak(tmp_path, list(QUICK), seed=1, report=lambda _: None)
    assert tally.kills.total() == len(QUICK)
    assert set(tally.kills) == set(VICTIMS)
    assert tally.recomputed == 0
