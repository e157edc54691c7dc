"""A run holds loss sets by role: any number of them, and a score of a new role needs nothing of the store."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from core.data import scores
from core.data.errors import SelectionInvalid
from core.data.loss_roles import LOSS_ROLES, PAIRS, LossRole, missing_roles_sentence
from core.data.scores import SCORES, Score
from core.selection import Amount, Selection, select_summary
from core.store import Store
from tests.core.scored_rows import ScoredRow, add_scored_run, ingest_losses

ROWS = [ScoredRow("chat", 20.0, 5.0), ScoredRow("chat", 40.0, 30.0), ScoredRow("math", 10.0, 8.0)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "workspace", "a test") as opened:
        add_scored_run(opened, ROWS)
        yield opened


def add_losses(store: Store, name: str, sums: list[float]) -> int:
    """A loss set with one loss for each example, in the order of the rows."""
    loss_set = store.ensure_loss_set(f"{name} model", "encoding", name)
    ids = [str(row) for (row,) in store.rows("SELECT example_id FROM dataset_row ORDER BY row_number")]
    ingest_losses(store, name, loss_set, ids, sums, ROWS)
    return loss_set


@pytest.fixture
def prompt_gain(monkeypatch: pytest.MonkeyPatch) -> str:
    """A score of a role that this program does not have: what the prompt gives, in nats per token."""
    role = LossRole("promptless", "losses without the prompt", "python -m core promptless")
    score = Score(
        "prompt_gain",
        "Prompt gain",
        "prompt-less loss − base loss",
        "nats per token",
        "the prompt helps more",
        "promptless_loss - base_loss",
        lambda columns: np.subtract(columns["promptless_loss"], columns["base_loss"]),
        roles=("promptless", "base"),
    )
    monkeypatch.setitem(LOSS_ROLES, role.name, role)
    monkeypatch.setitem(SCORES, score.name, score)
    return score.name


def test_a_score_of_a_new_role_is_computed_once_the_run_has_its_losses(store: Store, prompt_gain: str) -> None:
    store.save_run("first", "data", {"promptless": add_losses(store, "promptless", [25.0, 40.0, 30.0])})
    found = store.rows("SELECT promptless_nll_sum, prompt_gain, learnability FROM scored_1 ORDER BY row_number")
    assert found == [(25.0, 0.5, 0.75), (40.0, 0.0, 0.25), (30.0, 2.0, pytest.approx(0.2))]
    assert store.run("first")["loss_sets"].keys() == {"base", "reference", "promptless"}


def test_until_then_it_is_empty_and_selecting_by_it_names_the_command(store: Store, prompt_gain: str) -> None:
    store.save_run("first", "data", {})
    assert store.rows("SELECT DISTINCT prompt_gain, not_scored FROM scored_1") == [(None, False)]
    with pytest.raises(SelectionInvalid, match=r"needs losses without the prompt.*python -m core promptless"):
        select_summary(store, Selection("first", score=prompt_gain, amount=Amount("rows", 1)))


def test_a_role_that_is_saved_again_keeps_the_others(store: Store) -> None:
    before = store.run("first")["loss_sets"]
    store.save_run("first", "data", {"base": before["base"]})
    assert store.run("first")["loss_sets"] == before


def test_a_run_may_hold_base_losses_alone(store: Store, tmp_path: Path) -> None:
    store.save_run("base only", "data", {"base": store.run("first")["loss_sets"]["base"]}, {})
    table = store.run("base only")["table"]
    found = store.rows(f"SELECT base_loss, base_perplexity, learnability, not_scored FROM {table} ORDER BY row_number")
    assert found == [(base, pytest.approx(math.exp(base)), None, False) for base in (2.0, 4.0, 1.0)]
    summary = select_summary(store, Selection("base only", score="base_loss", amount=Amount("rows", 1)))
    assert [pool.kept_rows for pool in summary.pools] == [1, 0]
    with pytest.raises(SelectionInvalid, match="Learnability needs losses under the fine-tuned reference model"):
        select_summary(store, Selection("base only", amount=Amount("rows", 1)))


def test_every_score_needs_roles_that_there_are() -> None:
    assert {role for score in SCORES.values() for role in score.roles} <= {*LOSS_ROLES, PAIRS}
    alone = ["base_alone", "reference_alone", "null_reference"]
    assert scores.needed_roles() == ["base", "reference", "own", "seed_spread", *alone]
    assert missing_roles_sentence("Base loss", ("base",), ["base"]) is None
