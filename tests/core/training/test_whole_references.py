"""A reference counts as whole only if all its files are on disk and are those that were trained."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.data.errors import FoldsUnusable, JobIncomplete, ModelUnusable
from core.jobs.job import Job
from core.models.cross_fitted import cross_fitted
from core.models.provenance import PROVENANCE
from core.models.resolving import resolve_model
from core.store import Store
from core.training.publish import publish_reference
from core.training.train import train_reference
from core.training.training_plan import TrainRequest, create_train_job, trained_already
from core.workspace.maintenance.checking import check_workspace
from tests.counted_rows import counted_rows
from tests.disk_order import disk_order

ADAPTER = "adapter_model.safetensors"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with counted_rows(tmp_path / "workspace") as opened:
        yield opened


def request(base: Path, **fields: object) -> TrainRequest:
    return TrainRequest("counts", str(base), "taught", device="cpu", template="plain", **fields)  # type: ignore[arg-type]


def arrived(job: Job) -> None:
    """As if the folder had been copied here from where it was trained: nothing in it is flushed."""
    elsewhere = job.folder.with_name("elsewhere")
    job.folder.rename(elsewhere)
    shutil.copytree(elsewhere, job.folder)
    shutil.rmtree(elsewhere)


@pytest.fixture
def taught(store: Store, tiny_base: Path) -> Path:
    """The folder of a published adapter."""
    job = create_train_job(store, request(tiny_base))
    train_reference(job)
    publish_reference(store, job)
    return store.workspace / "models" / "taught"


@pytest.mark.parametrize("fields", [{}, {"method": "full", "held_out": 0.2}, {"folds": 2}], ids=str)
def test_a_reference_is_flushed_before_it_is_marked_as_whole_and_before_it_gets_its_name(
    store: Store, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, object]
) -> None:
    job = create_train_job(store, request(tiny_base, **fields))
    with disk_order(monkeypatch) as order:
        train_reference(job)
    model = job.folder / "model"
    for mark in model.rglob(PROVENANCE):
        assert order.unflushed(mark.parent, mark) == []
        assert order.unflushed(mark.parent, mark.parent) == []
    assert not list(job.folder.rglob("checkpoint-*"))
    arrived(job)
    with disk_order(monkeypatch) as order:
        publish_reference(store, job)
    named = store.workspace / "models" / "taught"
    assert order.unflushed(named, named / PROVENANCE) == []
    assert order.unflushed(named, named) == []
    listed = json.loads((named / PROVENANCE).read_text(encoding="utf-8"))["files"]
    assert {str(path.relative_to(named)) for path in named.rglob("*") if path.is_file()} == {*listed, PROVENANCE}
    assert [found.sentence for found in check_workspace(store, lambda _: None)] == []


def zeroed(path: Path) -> None:
    """As a power cut leaves a file whose size, but not whose content, reached the disk."""
    path.write_bytes(path.read_bytes()[:-64] + bytes(64))


@pytest.mark.parametrize("change", [zeroed, lambda path: path.write_bytes(path.read_bytes()[:-1]), Path.unlink])
def test_a_reference_with_damaged_weights_is_used_for_nothing(
    store: Store, tiny_base: Path, taught: Path, change: Callable[[Path], object]
) -> None:
    base = resolve_model(str(tiny_base), store.workspace)
    assert resolve_model("taught", store.workspace, base).adapter == str(taught)
    assert trained_already(store, request(tiny_base))
    change(taught / ADAPTER)
    with pytest.raises(ModelUnusable, match=r"are not those that were trained|has no adapter_model|bytes of weights"):
        resolve_model("taught", store.workspace, base)
    with pytest.raises(ModelUnusable, match=r"The reference 'taught' is damaged\. .*adapter_model\.safetensors"):
        trained_already(store, request(tiny_base))
    (found,) = check_workspace(store, lambda _: None)
    assert found.check == "references"
    assert ADAPTER in found.sentence


def test_a_reference_of_an_earlier_version_has_no_list_and_is_accepted(
    store: Store, tiny_base: Path, taught: Path
) -> None:
    fields = json.loads((taught / PROVENANCE).read_text(encoding="utf-8"))
    del fields["files"], fields["weights"]
    (taught / PROVENANCE).write_text(json.dumps(fields), encoding="utf-8")
    assert resolve_model("taught", store.workspace).adapter == str(taught)
    assert trained_already(store, request(tiny_base))
    assert check_workspace(store, lambda _: None) == []


def test_a_list_that_names_files_elsewhere_is_told_and_they_are_not_read(store: Store, taught: Path) -> None:
    fields = json.loads((taught / PROVENANCE).read_text(encoding="utf-8"))
    fields["files"] |= {"../../store.duckdb": "0" * 64, "/etc/hostname": "0" * 64}
    (taught / PROVENANCE).write_text(json.dumps(fields), encoding="utf-8")
    found = [finding.sentence for finding in check_workspace(store, lambda _: None)]
    assert len(found) == 2
    assert all("lists a file outside its folder" in sentence for sentence in found)


def test_a_model_that_was_damaged_before_it_was_taken_in_is_not_published_and_is_trained_again(
    store: Store, tiny_base: Path
) -> None:
    job = create_train_job(store, request(tiny_base))
    train_reference(job)
    weights = job.folder / "model" / ADAPTER
    content = weights.read_bytes()
    zeroed(weights)
    with pytest.raises(JobIncomplete, match=r"is not whole here\. .*adapter_model\.safetensors has changed"):
        publish_reference(store, job)
    train_reference(job)
    assert weights.read_bytes() == content
    publish_reference(store, job)


def test_folds_that_are_not_those_of_the_training_are_refused(store: Store, tiny_base: Path) -> None:
    job = create_train_job(store, request(tiny_base, folds=2))
    train_reference(job)
    publish_reference(store, job)
    base = resolve_model(str(tiny_base), store.workspace)
    assert cross_fitted("taught", store.workspace, base).fold_count == 2
    zeroed(store.workspace / "models" / "taught" / "folds.parquet")
    with pytest.raises(FoldsUnusable, match=r"The folds of the reference 'taught' are damaged"):
        cross_fitted("taught", store.workspace, base)
