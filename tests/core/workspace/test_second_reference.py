"""A second reference: the settings of the first, another seed, and nothing started where more would differ."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.data.errors import ModelUnusable
from core.evidence.findings import evidence_of
from core.jobs.job import all_jobs
from core.store import Store
from core.workspace.second_reference import begin_second_reference, second_reference
from core.workspace.supervisor import ingest_finished_jobs
from tests.core.scored_rows import ScoredRow, add_scored_run
from tests.cross_fitted import DATASET, NAME
from tests.inline_executor import run_jobs_inline

SETTINGS = ("method", "epochs", "learning_rate", "batch_tokens", "lora_rank", "device", "encoding", "dataset")


@pytest.fixture
def store(cross_fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A workspace with a real cross-fitted run; its jobs run in this process."""
    shutil.copytree(cross_fitted / "workspace", tmp_path / "workspace")
    run_jobs_inline(monkeypatch)
    with Store.open(tmp_path / "workspace", "a test") as opened:
        yield opened


def test_a_second_reference_differs_in_its_seed_only_and_is_compared_with(store: Store) -> None:
    first = next(job for job in all_jobs(store.workspace) if job.kind == "train").request
    assert evidence_of(store, NAME).stability_unknown
    job = begin_second_reference(store, NAME)
    assert job is not None
    second = job.request
    assert {name: second[name] for name in SETTINGS} == {name: first[name] for name in SETTINGS}
    assert second["folds_file"] == first["folds_file"]
    assert [(one["fold"], one["seed"]) for one in second["members"]] == [(0, 1), (1, 1)]
    assert second["base"]["weights_hash"] == first["base"]["weights_hash"]
    for _ in range(2):  # the training, then the scoring that follows it
        ingest_finished_jobs(store)
    (other,) = evidence_of(store, NAME).other_runs
    assert other.label == f"{NAME}-seed-1"
    losses = [store.rows(f"SELECT reference_loss FROM {store.run(run)['table']}") for run in (NAME, other.label)]
    assert losses[0] != losses[1]
    assert begin_second_reference(store, NAME) is None  # it is there


def test_a_reference_that_was_not_trained_here_gives_no_settings(store: Store) -> None:
    add_scored_run(store, [ScoredRow("chat", 10.0, 5.0)])
    with pytest.raises(ModelUnusable, match="was not trained here"):
        second_reference(store, "first")


@pytest.mark.parametrize(("field", "value"), [("base_weights_hash", "other"), ("encoding", {"template": "plain"})])
def test_nothing_starts_if_more_than_the_seed_would_differ(store: Store, field: str, value: object) -> None:
    path = store.workspace / "models" / NAME / "provenance.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    fields[field] = {**fields[field], **value} if isinstance(value, dict) else value
    fields["encoding"]["version"] = 0 if field == "encoding" else fields["encoding"]["version"]
    path.write_text(json.dumps(fields), encoding="utf-8")
    before = len(all_jobs(store.workspace))
    with pytest.raises(ModelUnusable, match="than when the first reference was trained"):
        begin_second_reference(store, NAME)
    assert len(all_jobs(store.workspace)) == before


def test_settings_that_are_not_recorded_are_a_sentence(store: Store) -> None:
    path = store.workspace / "models" / NAME / "provenance.json"
    path.write_text(json.dumps({"name": NAME, "dataset": DATASET}), encoding="utf-8")
    with pytest.raises(ModelUnusable, match="does not record its settings"):
        second_reference(store, NAME)
