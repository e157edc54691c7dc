"""Memory: own against cross-fitted learnability, and rows of an in-sample reference's top that it was trained on."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from core.evidence.memory import in_sample_sentence, memory_by_domain, memory_sentences, trained_in_top
from core.store import Store
from tests.core.scored_rows import ScoredRow, add_scored_run
from tests.cross_fitted_rows import JudgedRow, add_judged_run


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "workspace", "a test") as opened:
        yield opened


def test_the_gap_is_measured_by_domain_on_rows_that_have_both(store: Store) -> None:
    chat = [JudgedRow("chat", 100.0, (100.0 - number,), 60.0 - number) for number in range(5)]
    math = [JudgedRow("math", 100.0, (60.0 + number,), 50.0 - number) for number in range(3)]
    held_out = [JudgedRow("chat", 100.0, (10.0,))]
    found = memory_by_domain(store, add_judged_run(store, [*chat, *math, *held_out]))
    assert found[["overall", "domain", "rows"]].values.tolist() == [
        [True, "", 8],
        [False, "chat", 5],
        [False, "math", 3],
    ]
    by_domain = found.set_index("domain")
    assert by_domain.loc["chat", ["own", "cross_fitted", "gap"]].tolist() == pytest.approx([0.42, 0.02, 0.4])
    assert by_domain.loc["chat", "memory_share"] == pytest.approx(1 - 10 / 210)
    assert by_domain.loc["math", "memory_share"] == pytest.approx(1 - 117 / 153)
    assert by_domain.loc[["chat", "math"], "spearman"].tolist() == pytest.approx([1.0, -1.0])
    assert by_domain.loc["chat", ["own_q25", "own_q75"]].tolist() == pytest.approx([0.41, 0.43])
    assert memory_sentences(found) == [
        "chat: models that saw a row removed 42% of its base loss (median), models that did not 2%; "
        "95% of the gain is memory.",
        "math: models that saw a row removed 51% of its base loss (median), models that did not 39%; "
        "24% of the gain is memory.",
    ]


def test_shares_beyond_all_or_nothing_are_said_in_words(store: Store) -> None:
    rows = [
        JudgedRow("worse", 10.0, (11.0,), 5.0),
        JudgedRow("same", 10.0, (5.0,), 6.0),
        JudgedRow("none", 9.0, (9.0,), 10.0),
    ]
    found = memory_by_domain(store, add_judged_run(store, rows))
    ends = [sentence.rsplit("; ", 1)[1] for sentence in memory_sentences(found)]
    assert ends == ["own rows gained nothing either.", "no memory is seen.", "all of the gain is memory."]


def test_a_run_without_own_losses_has_no_rows_here(store: Store) -> None:
    assert memory_by_domain(store, add_scored_run(store, [ScoredRow("chat", 10.0, 5.0)])).empty


def test_the_top_of_an_in_sample_run_is_set_beside_all_rows(store: Store) -> None:
    rows = [ScoredRow(("chat", "math")[number % 2], 100.0, 100.0 - number) for number in range(40)]
    table = add_scored_run(store, [*rows, ScoredRow("chat", 100.0, None)])
    ids = store.rows(f"SELECT example_id::VARCHAR FROM {table} WHERE row_number > 36 ORDER BY row_number")
    store.record_training("reference model", [example_id for (example_id,) in ids])
    store.remove_dataset("data")
    table = add_scored_run(store, [*rows, ScoredRow("chat", 100.0, None)])
    found = trained_in_top(store, table)
    assert found["domain"].tolist() == ["", "chat", "math"]
    assert found["rows"].tolist() == [40, 20, 20]
    assert found["trained_share"].tolist() == pytest.approx([0.1, 0.1, 0.1])
    assert found["top"].tolist() == [4, 2, 2]
    assert found["trained_top_share"].tolist() == pytest.approx([1.0, 1.0, 1.0])
    assert in_sample_sentence(found) == (
        "The reference was trained on 10% of the rows with a score, and on 100% of the top 10% of them."
    )


def test_a_top_says_nothing_where_all_or_no_rows_were_trained_on(store: Store) -> None:
    found = trained_in_top(store, add_scored_run(store, [ScoredRow("chat", 10.0, 5.0)]))
    assert in_sample_sentence(found) is None
    assert in_sample_sentence(pd.DataFrame({"overall": [True], "trained_share": [1.0]})) is None
