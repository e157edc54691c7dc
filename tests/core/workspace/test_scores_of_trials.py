"""Imported scores that a trial uses keep their values."""

import json
from pathlib import Path

import pytest

from core.data.errors import NameTaken
from core.data.filters import Range, RowFilter
from core.evidence import Arm
from core.selection import Amount, Selection
from core.store import Store, imported_scores
from core.workspace.score_imports import import_scores, remove_score
from tests.fakes import ScoredRecord, build_scored_store
from tests.trial_files import plan_of, write_trial

SCORE = "imported_judge"
USES = {
    "ranked by it": Selection("planets", SCORE, amount=Amount("ratio", 0.1)),
    "added with a weight": Selection("planets", amount=Amount("ratio", 0.1), added={SCORE: 0.5}),
    "filtered by it": Selection(
        "planets", amount=Amount("ratio", 0.1), filter=RowFilter(ranges=(Range(SCORE, 1.0, 9.0),))
    ),
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A run "planets" with the scores imported_judge and imported_other."""
    store = build_scored_store(
        tmp_path / "ws", [ScoredRecord("chat", 1.0, n / 20, 10, f"answer {n}") for n in range(20)]
    )
    import_scores(store, "space", judged(tmp_path / "first.jsonl", 1), "row")
    return store


def judged(path: Path, factor: int) -> Path:
    rows = [{"row": n, "judge": n * factor, "other": n * factor} for n in range(1, 21)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("use", USES)
def test_a_score_that_a_trial_uses_is_neither_replaced_nor_removed(store: Store, tmp_path: Path, use: str) -> None:
    arms = (Arm("judged", "selection", USES[use]), Arm("random-by-domain", "random-by-domain"))
    write_trial(store, plan_of("planets", arms=arms), done=0)
    second = judged(tmp_path / "second.jsonl", 2)
    with pytest.raises(
        NameTaken, match=r"The trial 'tenth' uses the score imported_judge, so its values cannot change"
    ):
        import_scores(store, "space", second, "row", ["judge"], replace=True)
    with pytest.raises(NameTaken, match="uses the score imported_judge"):
        remove_score(store, "space", "judge")
    assert store.rows(f"SELECT max({SCORE}) FROM scored_1") == [(20.0,)]

    import_scores(store, "space", second, "row", ["other"], replace=True)
    assert store.rows("SELECT max(imported_other) FROM scored_1") == [(40.0,)]
    remove_score(store, "space", "imported_other")
    assert [score.name for score in imported_scores(store, "space")] == [SCORE]
