"""A sample of a dataset: the same share of each domain, and a dataset like any other."""

from collections import Counter
from pathlib import Path

import pytest

from core.data.errors import NameTaken
from core.store import Store
from core.store.sampling import sample_dataset
from core.workspace import demo


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store.open(tmp_path / "workspace", "a test")
    demo.import_demo(opened)
    return opened


def test_each_domain_keeps_its_share_and_each_row_its_record(store: Store) -> None:
    assert sample_dataset(store, "demo", 100) == "demo-sample"
    rows = store.rows(
        "SELECT row_number, domain, original, line, source_id FROM dataset_row WHERE dataset_id = ? ORDER BY 1",
        [store.dataset_id("demo-sample")],
    )
    assert [row[0] for row in rows] == list(range(1, 101))
    assert Counter(row[1] for row in rows) == {"chat": 35, "math": 35, "code": 30}
    records = demo.DATASET.read_bytes().splitlines()
    assert all(records[row[3] - 1] == row[2] for row in rows)
    (source,) = {row[4] for row in rows}
    assert store.rows("SELECT row_count FROM source WHERE source_id = ?", [source]) == [(100,)]
    store.close()


def test_a_second_sample_of_that_name_is_refused(store: Store) -> None:
    sample_dataset(store, "demo", 10)
    with pytest.raises(NameTaken, match="demo-sample"):
        sample_dataset(store, "demo", 10)
    assert store.rows("SELECT count(*) FROM dataset") == [(2,)]
    store.close()


def test_a_sample_of_more_rows_than_there_are_is_all_of_them(store: Store) -> None:
    sample_dataset(store, "demo", 5_000)
    found = store.rows("SELECT count(*) FROM dataset_row WHERE dataset_id = ?", [store.dataset_id("demo-sample")])
    assert found == [(1_000,)]
    store.close()
