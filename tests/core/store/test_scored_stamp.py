"""A scored table is made anew when something that it is made from has changed, and only then."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from core.data.examples import DatasetRow, Example, Message
from core.jobs.shards import SHARD_SCHEMA
from core.store import Store
from tests.core.scored_rows import ScoredRow, add_scored_run

ROWS = [ScoredRow("chat", 20.0, 10.0), ScoredRow("chat", 8.0, 4.0)]
UNSCORED = Example((Message("user", "What is it?"), Message("assistant", "something new")))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "workspace", "a test") as opened:
        add_scored_run(opened, ROWS)
        yield opened


def save_again(store: Store) -> bool:
    """Save the run as it is once more; whether its table was made anew."""
    loss_sets = dict(store.rows("SELECT role, loss_set_id FROM run_loss"))
    before = (store.table_state("scored_1"), store.changes)
    store.save_run("first", "data", loss_sets, {})
    return (store.table_state("scored_1"), store.changes) != before


def add_row(store: Store) -> None:
    store.add_source("data", "more.jsonl", "jsonl", "more", {}, [DatasetRow(1, "chat", UNSCORED, b"{}")])


def lose_a_loss(store: Store) -> None:
    store.write(lambda connection: connection.execute("DELETE FROM loss WHERE nll_sum = 4.0").fetchall())


def add_loss(store: Store) -> None:
    add_row(store)
    save_again(store)
    values = [[str(UNSCORED.example_id)], [3.0], [10], [False], [None], [0.0], [1.0], [1]]
    shard = pa.Table.from_arrays([pa.array(v) for v in values], names=SHARD_SCHEMA.names).cast(SHARD_SCHEMA)
    store.ingest_shard("more", 1, shard)


def raise_noise_floor(store: Store) -> None:
    store.set_noise_floor(1, 0.5)


def train_on_a_row(store: Store) -> None:
    ((example_id,),) = store.rows("SELECT example_id::VARCHAR FROM dataset_row LIMIT 1")
    store.record_training("reference model", [example_id])


@pytest.mark.parametrize("change", [add_row, lose_a_loss, add_loss, raise_noise_floor, train_on_a_row])
def test_the_table_is_made_anew_when_what_it_is_made_from_has_changed(
    store: Store, change: Callable[[Store], None]
) -> None:
    change(store)
    assert save_again(store)
    assert not save_again(store)


def test_the_table_is_made_anew_when_a_setting_has_changed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOBASS_LOW_BASE_LOSS", "1.5")
    assert save_again(store)
    assert store.rows("SELECT row_number FROM scored_1 WHERE low_base_loss") == [(2,)]


def test_a_table_that_is_gone_is_made_anew(store: Store) -> None:
    store.write(lambda connection: connection.execute("DROP TABLE scored_1").fetchall())
    assert save_again(store)
    assert store.rows("SELECT count(*) FROM scored_1") == [(2,)]


def test_an_equal_run_is_not_made_anew_after_the_store_was_opened_again(store: Store) -> None:
    assert not save_again(store)
    store.close()
    with Store.open(store.workspace, "a test") as opened:
        assert not save_again(opened)


@pytest.mark.parametrize("column", ["base_perplexity", "duplicate"])
def test_a_table_that_lacks_a_score_or_flag_gets_it_when_the_store_is_opened(store: Store, column: str) -> None:
    whole = store.frame("SELECT * FROM scored_1")
    store.write(lambda connection: connection.execute(f"ALTER TABLE scored_1 DROP COLUMN {column}").fetchall())
    store.close()
    with Store.open(store.workspace, "a test") as opened:
        pd.testing.assert_frame_equal(opened.frame("SELECT * FROM scored_1"), whole)
        changes = opened.changes
        assert not save_again(opened)
    with Store.open(store.workspace, "a test") as again:
        assert again.changes == changes


def test_relabelling_makes_the_table_anew_once(store: Store) -> None:
    ((domain,),) = store.rows("SELECT DISTINCT domain FROM dataset_row")
    store.relabel_domain("data", domain, "another")
    save_again(store)
    assert not save_again(store)
    assert store.rows("SELECT DISTINCT domain FROM scored_1") == [("another",)]
