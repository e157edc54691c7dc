"""Hand picks beside the rows they name."""

from pathlib import Path

import pandas as pd

from core.selection import Pick
from core.selection.hand_picks import pick_table
from core.store import Store
from tests.fakes import ScoredRecord, build_scored_store

NOWHERE = "11111111-1111-1111-1111-111111111111"


def example_of(store: Store, row: int) -> str:
    return str(store.rows("SELECT example_id FROM scored_1 WHERE row_number = ?", [row])[0][0])


def test_picks_stand_in_their_order_with_rows_score_and_text(scored_store: Store) -> None:
    picks = [Pick(example_of(scored_store, 12), False, "wrong"), Pick(example_of(scored_store, 3), True)]
    found = pick_table(scored_store, "scored_1", "learnability", picks)
    shown = found[["rows", "domain", "keep", "note", "prompt"]].values.tolist()
    assert shown == [["12", "math", False, "wrong", "What is it?"], ["3", "chat", True, "", "What is it?"]]
    assert found["value"].round(6).tolist() == [0.85, 0.7]


def test_a_pick_that_the_run_does_not_hold_has_no_row(scored_store: Store) -> None:
    found = pick_table(scored_store, "scored_1", "learnability", [Pick(NOWHERE, True)])
    assert found["row_number"].tolist() == [pd.NA]


def test_a_conversation_that_stands_in_many_rows_is_one_line(tmp_path: Path) -> None:
    rows = [ScoredRecord(f"d{number % 2}", 1.0, 0.5, response="twin") for number in range(7)]
    with build_scored_store(tmp_path, rows) as store:
        found = pick_table(store, "scored_1", "learnability", [Pick(example_of(store, 1), True)])
    assert found[["row_number", "rows", "domain"]].values.tolist() == [[1, "1, 2, 3, 4, 5, ...", "d0, d1"]]
