"""A model whose files change after a job was planned is never scored as the one that was planned."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.data.errors import ModelChanged, StoreUnusable, UserError
from core.jobs.job import Job
from core.jobs.shards import read_shard
from core.models.loading import load_model, load_tokenizer
from core.models.resolving import resolve_model, tokenizer_fingerprint
from core.models.unchanged_files import UnchangedModel
from core.scoring import loss_shards
from core.scoring.estimating import estimate
from core.scoring.planning import ScoreRequest, create_score_job, plan_scoring
from core.scoring.scoring_job import score
from core.store import Store
from core.training.train import train_reference
from core.training.trainer import ReferenceTrainer
from core.training.training_plan import TrainRequest, create_train_job
from core.workspace.maintenance.checking import check_workspace
from core.workspace.maintenance.kept_shards import notices_of
from core.workspace.supervisor import ingest_finished_jobs
from tests.counted_rows import counted_rows
from tests.tiny_models import save_model_folder

CHAT_TEMPLATE = "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + eos_token }}{% endfor %}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for number, name in enumerate(("base", "other", "reference")):
        save_model_folder(folder / name, "llama", seed=number)
    return folder


@pytest.fixture
def models(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "models")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with counted_rows(tmp_path / "workspace") as opened:
        yield opened


def other_weights(models: Path, name: str = "base") -> None:
    """Put other weights of the same size in place, and set the time back, as a copy with its times would."""
    path = models / name / "model.safetensors"
    found = path.stat()
    shutil.copyfile(models / "other" / "model.safetensors", path)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def other_tokenizer(models: Path) -> None:
    path = models / "base" / "tokenizer_config.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(fields | {"chat_template": CHAT_TEMPLATE}), encoding="utf-8")


def score_job(store: Store, models: Path) -> Job:
    request = ScoreRequest(
        "counts", str(models / "base"), str(models / "reference"), run="run", device="cpu", template="plain"
    )
    return create_score_job(store, plan_scoring(store, request))


def shard_losses(job: Job) -> dict[str, float]:
    tables = [read_shard(path).to_pydict() for path in job.shards_of("base")]
    return {row: nats for one in tables for row, nats in zip(one["example_id"], one["nll_sum"], strict=True)}


@pytest.mark.parametrize("change", [other_weights, other_tokenizer], ids=["weights", "tokenizer"])
def test_a_job_whose_model_was_changed_before_it_began_computes_nothing(
    store: Store, models: Path, change: Callable[[Path], None]
) -> None:
    job = score_job(store, models)
    change(models)
    with pytest.raises(ModelChanged, match="changed since this was started"):
        score(job)
    assert job.shards == []


@pytest.mark.parametrize("change", [other_weights, other_tokenizer], ids=["weights", "tokenizer"])
def test_what_was_computed_after_a_change_is_not_kept_and_what_was_before_is(
    store: Store, models: Path, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = score_job(store, models)
    monkeypatch.setenv("LOBASS_SHARD_SECONDS", "0")
    monkeypatch.setenv("LOBASS_CPU_BATCH_TOKENS", "32")
    score(undisturbed)
    job = score_job(store, models)
    written = loss_shards.write_shard

    def then_change(*arguments: Any) -> Path:
        path = written(*arguments)
        if len(job.shards) == 3:
            change(models)
        return path

    monkeypatch.setattr(loss_shards, "write_shard", then_change)
    with pytest.raises(ModelChanged):
        score(job)
    found, expected = shard_losses(job), shard_losses(undisturbed)
    assert 0 < len(found) < len(expected)
    assert all(found[row] == expected[row] for row in found)


def test_a_worker_that_goes_on_asks_again(store: Store, models: Path) -> None:
    job = score_job(store, models)
    score(job)
    for path in job.shards[1:]:
        path.unlink()
    other_weights(models, "reference")
    with pytest.raises(ModelChanged, match="reference"):
        score(job)


def test_losses_of_another_model_are_not_taken_in(store: Store, models: Path) -> None:
    job = score_job(store, models)
    score(job)
    fields = job.request
    fields["description"]["model_fingerprints"]["base"] = "0" * 32
    (job.folder / "job.json").write_text(json.dumps(fields), encoding="utf-8")
    job.finish({"state": "done"})
    with pytest.raises(UserError, match="another model made its losses") as raised:
        ingest_finished_jobs(store)
    assert isinstance(raised.value, StoreUnusable)
    assert store.rows("SELECT count(*) FROM loss WHERE nll_sum IS NOT NULL")[0][0] <= 12


def test_a_reference_is_not_trained_on_other_weights(store: Store, models: Path) -> None:
    request = TrainRequest("counts", str(models / "base"), "taught", device="cpu", template="plain")
    job = create_train_job(store, request)
    other_weights(models)
    with pytest.raises(ModelChanged):
        train_reference(job)
    assert not (job.folder / "model").exists()


def test_an_estimate_is_not_made_with_another_tokenizer(store: Store, models: Path) -> None:
    from core.scoring.planning import create_estimate_job

    request = ScoreRequest("counts", str(models / "base"), str(models / "reference"), device="cpu", template="plain")
    job = create_estimate_job(store, plan_scoring(store, request))
    other_tokenizer(models)
    with pytest.raises(ModelChanged):
        estimate(job)


def test_weights_that_change_while_they_are_loaded_are_refused(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.models import loading

    spec, whole = resolve_model(str(models / "base"), tmp_path), loading._base

    def then_change(*arguments: Any) -> Any:
        found = whole(*arguments)
        other_weights(models)
        return found

    monkeypatch.setattr(loading, "_base", then_change)
    with pytest.raises(ModelChanged, match="weights of the model"):
        load_model(spec, "float32", "cpu")


def test_weights_that_change_while_they_are_loaded_and_are_put_back_are_refused(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.models import loading

    spec, whole = resolve_model(str(models / "base"), tmp_path), loading._base

    def other_for_a_while(*arguments: Any) -> Any:
        content = (models / "base" / "model.safetensors").read_bytes()
        other_weights(models)
        found = whole(*arguments)
        (models / "base" / "model.safetensors").write_bytes(content)
        return found

    monkeypatch.setattr(loading, "_base", other_for_a_while)
    with pytest.raises(ModelChanged, match="weights of the model"):
        load_model(spec, "float32", "cpu")


def test_a_tokenizer_that_changes_while_it_is_loaded_and_is_put_back_is_refused(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.models import loading

    spec, whole = resolve_model(str(models / "base"), tmp_path), loading.AutoTokenizer.from_pretrained

    def other_for_a_while(*arguments: Any, **options: Any) -> Any:
        path = models / "base" / "tokenizer_config.json"
        content = path.read_bytes()
        other_tokenizer(models)
        found = whole(*arguments, **options)
        path.write_bytes(content)
        return found

    monkeypatch.setattr(loading.AutoTokenizer, "from_pretrained", other_for_a_while)
    with pytest.raises(ModelChanged, match="tokenizer"):
        load_tokenizer(spec, tokenizer_fingerprint(spec))
    assert load_tokenizer(spec).is_fast


def test_a_reference_whose_base_changed_while_it_was_trained_is_not_kept(
    store: Store, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = create_train_job(
        store, TrainRequest("counts", str(models / "base"), "taught", device="cpu", template="plain")
    )
    trained = ReferenceTrainer.train

    def then_change(trainer: ReferenceTrainer, **options: Any) -> Any:
        found = trained(trainer, **options)
        other_weights(models)
        return found

    monkeypatch.setattr(ReferenceTrainer, "train", then_change)
    with pytest.raises(ModelChanged):
        train_reference(job)
    assert not (job.folder / "model").exists()


def test_kept_shards_of_another_model_are_found_and_never_restored(store: Store, models: Path) -> None:
    job = score_job(store, models)
    score(job)
    fields = job.request
    fields["description"]["model_fingerprints"]["base"] = "0" * 32
    (job.folder / "job.json").write_text(json.dumps(fields), encoding="utf-8")
    job.settle()
    assert [one for one in notices_of(store) if "another model made its losses" in one]
    base = "SELECT count(*) FROM loss JOIN loss_set USING (loss_set_id) WHERE model_fingerprint = ?"
    assert store.rows(base, ["0" * 32]) == [(0,)]
    found = check_workspace(store, lambda _: None)
    assert any("another model made its losses" in finding.sentence for finding in found)


def test_large_files_are_read_once_while_nothing_changes(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.models import resolving

    spec = resolve_model(str(models / "base"), tmp_path)
    read: list[str] = []
    hashed = resolving.content_hash
    monkeypatch.setattr(resolving, "content_hash", lambda path, *more: read.append(path.name) or hashed(path, *more))
    model = UnchangedModel(spec, tokenizer_fingerprint(spec))
    read.clear()
    for _ in range(5):
        model.check()
    assert read.count("model.safetensors") == 1
    os.utime(models / "base" / "model.safetensors")
    model.check()
    assert read.count("model.safetensors") == 2


def test_further_chat_templates_are_part_of_the_tokenizer(models: Path, tmp_path: Path) -> None:
    spec = resolve_model(str(models / "base"), tmp_path)
    before = tokenizer_fingerprint(spec)
    further = models / "base" / "additional_chat_templates"
    further.mkdir()
    assert tokenizer_fingerprint(spec) == before
    (further / "tool_use.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    assert tokenizer_fingerprint(spec) != before
    with pytest.raises(ModelChanged, match="chat template"):
        load_tokenizer(spec, before)
