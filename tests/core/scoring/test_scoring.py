"""What a request means on this workspace: which models and losses, what is missing, and what is refused."""

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from core.data.errors import ModelUnusable, NameTaken, NotFound, TokenizerMismatch, UserError
from core.data.examples import DatasetRow, Example, Message
from core.data.training_methods import LEARNING_RATES
from core.encoding.template_choice import choose_template
from core.jobs.job import read_examples_file
from core.jobs.shards import SHARD_SCHEMA
from core.models.resolving import PROVENANCE, resolve_model
from core.scoring.planning import ScorePlan, ScoreRequest, create_estimate_job, create_score_job, plan_scoring
from core.store import Store
from core.training.training_plan import TrainRequest, create_train_job, train_fields, trained_already

ROWS = 6  # five different conversations: the last row says what the first does


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "workspace", "a test") as opened:
        rows = [DatasetRow(n + 1, "odd" if n % 2 else "even", conversation(n % (ROWS - 1)), b"{}") for n in range(ROWS)]
        opened.add_source("numbers", "n.jsonl", "jsonl", "a hash", {}, rows)
        yield opened


@pytest.fixture
def request_(tiny_base: Path, tiny_reference: Path) -> ScoreRequest:
    return ScoreRequest("numbers", str(tiny_base), str(tiny_reference), device="cpu")


@pytest.fixture
def training(tiny_base: Path) -> TrainRequest:
    return TrainRequest("numbers", str(tiny_base), "taught", device="cpu")


def conversation(number: int) -> Example:
    return Example((Message("user", "Count."), Message("assistant", f"{number}, {number + 1}")))


def ingest(store: Store, plan: ScorePlan, role: str, count: int) -> None:
    """Losses for the first `count` of the examples that the plan is missing."""
    batches = store.missing_losses(plan.request.dataset, plan.loss_sets[role])
    ids = [example_id for batch in batches for example_id in batch["example_id"].to_pylist()][:count]
    rows = [
        {"example_id": example_id, "nll_sum": 1.0, "token_count": 1, "truncated": False, "reason": None}
        for example_id in ids
    ]
    store.ingest_shard(f"{role}-{count}", plan.loss_sets[role], pa.Table.from_pylist(rows, SHARD_SCHEMA))


def test_a_plan_counts_rows_and_asks_for_every_different_example_once(store: Store, request_: ScoreRequest) -> None:
    plan = plan_scoring(store, request_)
    assert (plan.row_count, plan.unique_examples) == (6, 5)
    assert plan.computed == {"base": 5, "reference": 5}
    assert plan.cached == {"base": 0, "reference": 0}
    assert (plan.device, plan.dtype) == ("cpu", "float32")


def test_a_plan_asks_only_for_what_is_missing(store: Store, request_: ScoreRequest) -> None:
    plan = plan_scoring(store, request_)
    ingest(store, plan, "base", 5)
    ingest(store, plan, "reference", 2)
    again = plan_scoring(store, request_)
    assert again.computed == {"base": 0, "reference": 3}
    assert again.cached == {"base": 5, "reference": 2}
    assert not again.is_complete
    ingest(store, again, "reference", 3)
    assert plan_scoring(store, request_).is_complete


@pytest.mark.parametrize("change", [{"template": "plain"}, {"max_length": 7}, {"dtype": "bfloat16"}])
def test_another_encoding_or_precision_shares_no_losses(
    store: Store, request_: ScoreRequest, change: dict[str, object]
) -> None:
    plan = plan_scoring(store, request_)
    ingest(store, plan, "base", 5)
    other = plan_scoring(store, replace(request_, **change))
    assert other.computed["base"] == 5
    assert other.identity != plan.identity


def test_a_score_job_holds_only_the_models_and_examples_that_are_missing(store: Store, request_: ScoreRequest) -> None:
    ingest(store, plan_scoring(store, request_), "base", 5)
    plan = plan_scoring(store, request_)
    job = create_score_job(store, plan, ({"kind": "select", "name": "s", "recipe": {}},))
    assert [part["role"] for part in job.request["parts"]] == ["reference"]
    assert sorted(path.name for path in job.folder.glob("*.parquet")) == ["reference.parquet"]
    ids, examples, _ = read_examples_file(job, "reference")
    assert sorted(ids) == sorted(str(example.example_id) for example in examples)
    assert len(ids) == 5
    assert job.request["run"] == f"numbers-{Path(request_.reference).name}"
    assert job.request["then"][0]["name"] == "s"


def test_an_estimate_job_samples_what_is_missing(store: Store, request_: ScoreRequest) -> None:
    ingest(store, plan_scoring(store, request_), "base", 4)
    job = create_estimate_job(store, plan_scoring(store, request_))
    assert job.request["missing"] == {"base": 1, "reference": 5}
    assert len(read_examples_file(job, "examples")[0]) == 5


@pytest.mark.parametrize(
    ("reference", "name"),
    [("owner/model", "numbers-model"), ("/models/tiny/", "numbers-tiny"), ("taught", "numbers-taught")],
)
def test_a_run_without_a_name_is_called_after_dataset_and_reference(reference: str, name: str) -> None:
    assert ScoreRequest("numbers", "base", reference).run_name == name
    assert ScoreRequest("numbers", "base", reference, run="mine").run_name == "mine"


def test_what_cannot_be_scored_is_refused_in_words(
    store: Store, request_: ScoreRequest, tmp_path: Path, tiny_base: Path
) -> None:
    bare = shutil.copytree(tiny_base, tmp_path / "bare")
    for weights in bare.glob("*.safetensors"):
        weights.unlink()
    refused = [
        ({"dataset": "moons"}, NotFound, "No dataset is named 'moons'"),
        ({"base": "/nowhere"}, ModelUnusable, "No model '/nowhere'"),
        ({"base": str(bare)}, ModelUnusable, "safetensors"),
        ({"base": ""}, ModelUnusable, "No model was given"),
        ({"template": "poem"}, ModelUnusable, "Must be one of: auto"),
    ]
    for change, error, sentence in refused:
        with pytest.raises(error, match=sentence):
            plan_scoring(store, replace(request_, **change))


def test_models_that_split_text_differently_are_refused(store: Store, request_: ScoreRequest, tmp_path: Path) -> None:
    from tests.tiny_models import save_model_folder

    other = save_model_folder(tmp_path / "other", "llama", seed=1, vocabulary_size=350)
    with pytest.raises(TokenizerMismatch, match="share a tokenizer"):
        plan_scoring(store, replace(request_, reference=str(other)))


def test_a_runs_name_is_refused_to_other_models_before_anything_is_computed(
    store: Store, request_: ScoreRequest
) -> None:
    plan = plan_scoring(store, replace(request_, run="mine"))
    store.save_run("mine", "numbers", plan.loss_sets, plan.description)
    assert plan_scoring(store, replace(request_, run="mine")).loss_sets == plan.loss_sets
    with pytest.raises(NameTaken, match="'mine'"):
        plan_scoring(store, replace(request_, run="mine", template="plain"))


def test_auto_is_the_chat_template_where_there_is_one(tmp_path: Path, tiny_base: Path) -> None:
    from tests.tiny_models import save_model_folder

    without = resolve_model(str(save_model_folder(tmp_path / "bare", chat_template=None)), tmp_path)
    assert choose_template("auto", resolve_model(str(tiny_base), tmp_path), None).name == "chat"
    assert choose_template("auto", without, None).name == "alpaca"
    with pytest.raises(ModelUnusable, match="no chat template"):
        choose_template("chat", without, None)


def test_the_length_is_never_more_than_the_models_window(store: Store, request_: ScoreRequest) -> None:
    assert plan_scoring(store, replace(request_, max_length=100_000)).encoding.max_length == 2048
    assert plan_scoring(store, replace(request_, max_length=100)).encoding.max_length == 100


def test_a_training_job_has_every_row_and_every_default_written_out(store: Store, training: TrainRequest) -> None:
    job = create_train_job(store, training)
    assert job.request["learning_rate"] == LEARNING_RATES["lora"]
    assert job.request["encoding"]["template"] == "chat"
    ids, _, domains = read_examples_file(job, "examples")
    assert ids[0] == ids[5]
    assert domains == ["even", "odd"] * 3


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", " blank", "nul\0", "x" * 61])
def test_a_name_that_is_no_folder_is_refused(store: Store, training: TrainRequest, name: str) -> None:
    with pytest.raises(ModelUnusable, match="is not a valid reference name"):
        create_train_job(store, replace(training, name=name))


@pytest.mark.parametrize("rate", [0.0, -1e-4, math.nan, math.inf])
def test_a_learning_rate_that_teaches_nothing_is_refused(store: Store, training: TrainRequest, rate: float) -> None:
    with pytest.raises(UserError, match="learning rate"):
        create_train_job(store, replace(training, learning_rate=rate))


def test_an_adapter_is_no_base_to_train_from(
    store: Store, training: TrainRequest, tmp_path: Path, tiny_base: Path
) -> None:
    from tests.tiny_models import save_lora_adapter

    adapter = save_lora_adapter(tmp_path / "adapter", tiny_base)
    with pytest.raises(ModelUnusable, match="is an adapter"):
        create_train_job(store, replace(training, base=str(adapter)))


def test_a_training_is_the_same_only_with_the_same_settings_and_data(store: Store, training: TrainRequest) -> None:
    identity = train_fields(store, training)["identity"]
    assert train_fields(store, replace(training, then=({"kind": "score"},)))["identity"] == identity
    assert train_fields(store, replace(training, seed=1))["identity"] != identity
    store.relabel_domain("numbers", "odd", "even")
    assert train_fields(store, training)["identity"] == identity
    store.add_source("numbers", "m.jsonl", "jsonl", "b hash", {}, [DatasetRow(1, "even", conversation(9), b"{}")])
    assert train_fields(store, training)["identity"] != identity


def test_a_trained_reference_is_known_again_and_its_name_is_taken(store: Store, training: TrainRequest) -> None:
    assert not trained_already(store, training)
    folder = store.workspace / "models" / "taught"
    folder.mkdir(parents=True)
    identity = train_fields(store, training)["identity"]
    (folder / PROVENANCE).write_text(json.dumps({"identity": identity}), encoding="utf-8")
    assert trained_already(store, training)
    assert not trained_already(store, replace(training, epochs=2.0))
    with pytest.raises(NameTaken, match="'taught' exists already"):
        create_train_job(store, replace(training, epochs=2.0))
