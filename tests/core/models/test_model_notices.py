"""What is said of two models before their losses are compared, and rows that one of them cannot read."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.architectures import own_loss, tiny_model
from core import worker
from core.data.examples import DatasetRow, Example, Message
from core.encoding.encode import Encoded, encode_examples
from core.jobs.job import Job
from core.jobs.shards import read_shard
from core.models.loading import load_model, load_tokenizer
from core.models.resolving import ModelSpec, resolve_model
from core.models.vocabulary import ReadableIds, without_unreadable
from core.scoring.planning import ScorePlan, ScoreRequest, create_score_job, plan_scoring
from core.store import Store
from core.training.training_plan import TrainRequest, create_train_job
from tests.tiny_models import make_model, make_tokenizer, save_lora_adapter, save_model_folder

TEXTS = ("The river is the Thames.", "Count with <|more|> and stop.", "7 of them are green.")


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setenv("LOBASS_CPU_BATCH_TOKENS", "256")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    rows = [
        DatasetRow(number, "all", Example((Message("user", "Go on."), Message("assistant", text))), b"{}")
        for number, text in enumerate(TEXTS, 1)
    ]
    with Store.open(tmp_path / "workspace", "a test") as opened:
        opened.add_source("rows", "rows.jsonl", "jsonl", "a hash", {}, iter(rows))
        yield opened


def save(folder: Path, seed: int, rows: int = 400, tokens: tuple[str, ...] = ()) -> Path:
    """A model with so many rows of its embedding, whose tokenizer has 400 tokens and these."""
    make_model("llama", seed, rows).save_pretrained(folder)
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(list(tokens), special_tokens=True)
    tokenizer.save_pretrained(folder)
    return folder


def scored(store: Store, plan: ScorePlan) -> dict[str, dict[str, dict[str, Any]]]:
    """The losses of each role, by the response's text."""
    job = create_score_job(store, plan)
    worker.main([str(job.folder)])
    assert (job.outcome or {}).get("state") == "done", job.outcome
    texts = {str(example_id): text for text, example_id in zip(TEXTS, ids_of(store), strict=True)}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for role in ("base", "reference"):
        lines = [line for path in job.shards_of(role) for line in read_shard(path).to_pylist()]
        found[role] = {texts[str(line["example_id"])]: line for line in lines}
    return found


def ids_of(store: Store) -> list[str]:
    return [row[0] for row in store.rows("SELECT example_id::VARCHAR FROM dataset_row ORDER BY row_number")]


def request(base: Path, reference: Path) -> ScoreRequest:
    return ScoreRequest("rows", str(base), str(reference), template="alpaca", device="cpu")


def expected_losses(store: Store, plan: ScorePlan, role: str, model: Any) -> dict[str, float]:
    """The model's own losses, nats, of each response's text, by its plain forward on a row alone."""
    tokenizer = load_tokenizer(plan.models["base"])
    rows = store.rows("SELECT conversation FROM dataset_row JOIN example USING (example_id) ORDER BY row_number")
    encoded = encode_examples([Example.from_json(row[0]) for row in rows], tokenizer, plan.encoding)
    return {text: own_loss(model, row) * row.token_count for text, row in zip(TEXTS, encoded, strict=True)}


def test_a_reference_whose_vocabulary_was_padded_to_64_is_scored_beside_its_base(store: Store, tmp_path: Path) -> None:
    fillers = tuple(f"<extra_{number}>" for number in range(48))
    base, reference = save(tmp_path / "base", 1), save(tmp_path / "padded", 2, 448, fillers)
    plan = plan_scoring(store, request(base, reference))
    assert plan.notices == ()
    assert "notices" not in plan.description
    losses = scored(store, plan)
    for role, model in (("base", make_model("llama", 1)), ("reference", make_model("llama", 2, 448))):
        for text, expected in expected_losses(store, plan, role, model).items():
            assert losses[role][text]["nll_sum"] == pytest.approx(expected, abs=1e-3)


def test_a_token_without_a_row_of_weights_is_said_and_costs_only_the_rows_that_hold_it(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = save(tmp_path / "base", 1, 400, ("<|more|>",))
    reference = save(tmp_path / "reference", 2, 401, ("<|more|>",))
    plan = plan_scoring(store, request(base, reference))
    (notice,) = plan.notices
    assert notice.startswith("The tokenizer has 401 tokens, but the weights of the base have 400 rows.")
    assert "'<|more|>' 400" in notice
    assert plan.description["notices"] == [notice]
    losses = scored(store, plan)
    assert notice in capsys.readouterr().err
    reasons = {role: [losses[role][text]["reason"] for text in TEXTS] for role in losses}
    assert reasons["base"] == [None, "holds a token that the model's weights have no row for", None]
    assert reasons["reference"] == [None, None, None]
    assert losses["base"][TEXTS[1]]["token_count"] == 0
    assert [losses["base"][text]["nll_sum"] is None for text in TEXTS] == [False, True, False]


def test_a_token_that_means_another_to_the_reference_costs_only_its_losses_of_such_rows(
    store: Store, tmp_path: Path
) -> None:
    base = save(tmp_path / "base", 1, 401, ("<|more|>",))
    reference = save(tmp_path / "reference", 2, 401, ("<|less|>",))
    plan = plan_scoring(store, request(base, reference))
    assert any("400 is '<|more|>' in the base's and '<|less|>' in the reference's" in notice for notice in plan.notices)
    losses = scored(store, plan)
    assert [losses["base"][text]["reason"] for text in TEXTS] == [None, None, None]
    expected = [None, "holds a token that means another one to the reference", None]
    assert [losses["reference"][text]["reason"] for text in TEXTS] == expected


def test_an_adapter_of_a_base_by_another_name_is_scored_with_a_notice(store: Store, tmp_path: Path) -> None:
    base = save_model_folder(tmp_path / "base")
    adapter = save_lora_adapter(tmp_path / "adapter", base)
    path = adapter / "adapter_config.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**fields, "base_model_name_or_path": "unsloth/base-bnb-4bit"}), encoding="utf-8")
    plan = plan_scoring(store, request(base, adapter))
    assert ["a quantized copy" in notice for notice in plan.notices] == [True]
    assert all(line["nll_sum"] is not None for line in scored(store, plan)["reference"].values())


def test_rows_are_cut_at_the_positions_of_gpt2(store: Store, tmp_path: Path) -> None:
    base = save_model_folder(tmp_path / "base", "gpt2")
    plan = plan_scoring(store, request(base, base))
    assert plan.encoding.max_length == 1024


@pytest.mark.parametrize("kind", ["qwen2_vl", "qwen2_5_vl", "mistral3", "llava"])
def test_text_is_scored_by_a_vision_language_model_as_its_own_forward_does(
    kind: str, store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / kind
    model = tiny_model(kind)
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    plan = plan_scoring(store, request(folder, folder))
    losses = scored(store, plan)
    for text, expected in expected_losses(store, plan, "base", model).items():
        line = losses["base"][text]
        assert line["nll_sum"] / line["token_count"] == pytest.approx(expected / line["token_count"], abs=3e-5)


def test_a_reference_is_trained_on_a_vision_language_model_and_scored(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "vision"
    tiny_model("qwen2_vl").save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    training = create_train_job(
        store, TrainRequest("rows", str(folder), "taught", template="alpaca", device="cpu", learning_rate=0.01)
    )
    worker.main([str(training.folder)])
    assert (training.outcome or {}).get("state") == "done", training.outcome
    losses = scored(store, plan_scoring(store, request(folder, training.folder / "model")))
    moved = [losses["reference"][text]["nll_sum"] - losses["base"][text]["nll_sum"] for text in TEXTS]
    assert max(np.abs(moved)) > 1e-4


def test_training_leaves_out_rows_that_the_weights_cannot_read(store: Store, tmp_path: Path) -> None:
    base = save(tmp_path / "base", 1, 400, ("<|more|>",))
    job: Job = create_train_job(store, TrainRequest("rows", str(base), "taught", template="alpaca", device="cpu"))
    (notice,) = job.request["description"]["notices"]
    assert "the weights of the base have 400 rows" in notice
    worker.main([str(job.folder)])
    assert (job.outcome or {})["trained_examples"] == 2


def test_ids_that_cannot_be_read_are_told_row_by_row() -> None:
    rows = [
        Encoded(np.array(ids, np.int32), np.array([False] + [True] * (len(ids) - 1)), False)
        for ids in ([1, 2, 3], [1, 9], [4, 2])
    ]
    refused = Encoded(np.zeros(0, np.int32), np.zeros(0, np.bool_), False, "an earlier reason")
    found = without_unreadable([*rows, refused], ReadableIds(9, frozenset([4])))
    assert [item.is_end.tolist() for item in found] == [[False] * len(item.scored) for item in found]
    assert [item.reason for item in found] == [
        None,
        "holds a token that the model's weights have no row for",
        "holds a token that means another one to the reference",
        "an earlier reason",
    ]
    assert [item.token_count for item in found] == [2, 0, 0, 0]
    assert all(item.reason is None for item in without_unreadable(rows, ReadableIds()))


def test_a_model_folder_in_a_hub_cache_is_the_base_of_an_adapter_that_names_its_id(tmp_path: Path) -> None:
    saved = save_model_folder(tmp_path / "comet")
    adapter = save_lora_adapter(tmp_path / "adapter", saved)
    cached = tmp_path / "models--maker--comet" / "snapshots" / "0a1b"
    shutil.copytree(saved, cached)
    base = resolve_model(str(cached), tmp_path)
    spec = resolve_model(str(adapter), tmp_path, base)
    assert isinstance(spec, ModelSpec)
    assert load_model(spec, "float32", "cpu") is not None


def test_a_turn_token_without_a_row_is_said_to_stand_in_every_row(store: Store, tmp_path: Path) -> None:
    base = save(tmp_path / "base", 1, 4)  # of the template's tokens the end of a turn is the fifth
    plan = plan_scoring(store, request(base, base))
    assert all(notice.endswith("so this may affect every row.") for notice in plan.notices)
    assert len(plan.notices) == 2
