"""Changes of whole datasets say what depends on them, and wait for jobs."""

from pathlib import Path

import pytest

from core.data.errors import NameTaken
from core.importing import SourceOptions
from core.jobs.job import create_job
from core.selection import Selection, save_selection
from core.store import Store, removed_datasets
from core.workspace.datasets import dataset_use, merge, remove, rename
from core.workspace.import_batch import HubChoice, import_batch


def test_what_depends_on_a_dataset_is_said(scored_store: Store) -> None:
    assert dataset_use(scored_store, "space").sentence() == "1 run (planets), no selection."
    save_selection(scored_store, "best", Selection.from_fields({"run": "planets"}))
    assert dataset_use(scored_store, "space").sentence() == "1 run (planets), 1 selection (best)."
    scored_store.add_source("new", "new.jsonl", "jsonl", "sha", {}, [])
    assert dataset_use(scored_store, "new").sentence() == "No run or selection uses it."


def test_a_dataset_in_use_by_a_job_does_not_change(scored_store: Store) -> None:
    scored_store.add_source("new", "new.jsonl", "jsonl", "sha", {}, [])
    job = create_job(scored_store.workspace, {"kind": "train", "name": "taught", "dataset": "space"}, {})
    for change in (
        lambda: rename(scored_store, "space", "cosmos"),
        lambda: remove(scored_store, "space"),
        lambda: merge(scored_store, "new", "space"),
        lambda: merge(scored_store, "space", "new"),
    ):
        with pytest.raises(NameTaken, match="used by an unfinished job"):
            change()
    job.finish({"state": "cancelled", "message": ""})
    job.settle()
    rename(scored_store, "space", "cosmos")
    remove(scored_store, "cosmos")
    assert [removed.name for removed in removed_datasets(scored_store)] == ["cosmos"]


def test_an_import_goes_to_the_dataset_of_that_name_whatever_white_space_is_around_it_and_needs_a_name(
    scored_store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "more.jsonl"
    path.write_text('{"prompt": "Name a moon.", "completion": "Titan."}\n')
    with pytest.raises(NameTaken, match="A dataset needs a name"):
        import_batch(scored_store, " ", [str(path)], SourceOptions(), HubChoice())
    before = scored_store.rows("SELECT name FROM dataset ORDER BY name")
    batch = import_batch(scored_store, "space ", [str(path)], SourceOptions(), HubChoice())
    assert (batch.dataset, batch.rows) == ("space", 1)
    assert scored_store.rows("SELECT name FROM dataset ORDER BY name") == before
