"""The folds of a training job: near-copies of a row, found in its text, share its fold."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from core.data.errors import FoldsUnusable
from core.data.examples import DatasetRow
from core.jobs.job import Job
from core.store import Store
from core.training.folding import folds_of
from core.training.training_plan import TrainRequest, create_train_job
from tests.tiny_models import example

WORDS = [*"abcdefghijklmnop"]


def answer(number: int, ending: str = "") -> str:
    """Twenty words that only this number gives, so that answers of two numbers are not alike."""
    return " ".join(f"{WORDS[(number * 7 + place * 5) % 16]}{number}" for place in range(20)) + ending


def rows(copies: int) -> list[DatasetRow]:
    """Forty answers in two domains, and near-copies of the first ones, which end in another word."""
    texts = [answer(number) for number in range(40)] + [answer(number, " indeed") for number in range(copies)]
    return [
        DatasetRow(place, "odd" if place % 2 else "even", example(("user", "Say it."), ("assistant", text)), b"{}")
        for place, text in enumerate(texts, 1)
    ]


def made(tmp_path: Path, base: Path, copies: int, **fields: object) -> tuple[Job, pd.DataFrame]:
    with Store.open(tmp_path / "workspace", "a test") as store:
        store.add_source("data", "data", "jsonl", "data", {}, rows(copies))
        request = TrainRequest("data", str(base), "crossed", device="cpu", template="plain", **fields)  # type: ignore[arg-type]
        job = create_train_job(store, request)
    table = pq.read_table(job.folder / "examples.parquet").to_pandas()
    folds = folds_of(job, table["example_id"].tolist(), table["domain"].tolist())
    assert folds is not None
    return job, table.merge(folds, on="example_id", validate="many_to_one")


@pytest.mark.parametrize("folds", [2, 4])
def test_a_row_and_its_near_copy_share_a_fold(tmp_path: Path, tiny_base: Path, folds: int) -> None:
    _, found = made(tmp_path, tiny_base, 15, folds=folds, held_out=0.1)
    first, copies = found.iloc[:15], found.iloc[40:]
    for column in ("fold", "held_out", "group"):
        assert first[column].tolist() == copies[column].tolist()
    assert found["group"].nunique() == 40
    assert sorted(found["fold"].unique()) == list(range(folds))


def test_a_resumed_job_has_the_folds_that_it_began_with(tmp_path: Path, tiny_base: Path) -> None:
    job, found = made(tmp_path, tiny_base, 3, folds=2)
    path = job.folder / "folds.parquet"
    kept = pq.read_table(path).to_pandas()
    path.unlink()
    kept.assign(fold=1 - kept["fold"]).to_parquet(path)
    again = folds_of(job, found["example_id"].tolist(), found["domain"].tolist())
    assert again is not None
    assert (again.set_index("example_id")["fold"] == 1 - kept.set_index("example_id")["fold"]).all()


def test_more_folds_than_a_domain_has_groups_are_refused(tmp_path: Path, tiny_base: Path) -> None:
    with pytest.raises(FoldsUnusable, match="too few for 30 folds"):
        made(tmp_path, tiny_base, 0, folds=30)
