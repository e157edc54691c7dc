"""Bundles of preference pairs: TRL reads them and measures the very margins; what is in no whole pair is counted."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.data.examples import Example, Message
from core.exploring.run_comparison import RunPair, compared_counts
from core.exporting import export_bundle, export_selection, preflight
from core.selection import Amount, Selection
from core.selection.recipe import Pick
from core.store import Store
from tests.core.bundle_rows import RICH_TEMPLATE
from tests.core.scored_models import score_examples
from tests.core.trl_reading import keep_datasets_in
from tests.tiny_models import example, save_model_folder

PAIRS = (
    (example(("user", "Sky?"), ("assistant", "Blue, mostly.")), example(("user", "Sky?"), ("assistant", "Green."))),
    (
        example(("system", "Be brief."), ("user", "A river?"), ("assistant", "The Thames")),
        example(("system", "Be brief."), ("user", "A river?"), ("assistant", "There are many rivers in England.")),
    ),
    tuple(
        Example(
            (
                Message("user", "Hi"),
                Message("assistant", "Hello", is_context=True),
                Message("user", "Sun?"),
                Message("assistant", answer),
            )
        )
        for answer in ("Yellow", "Red, or so")
    ),
)
ALL = Selection("tiny", score="preference_margin", scope="pooled", amount=Amount("ratio", 1.0))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A base and a reference, whose template writes nothing around a conversation or behind its end: TRL would count
    a line break there as part of the answer, and puts no start of text first."""
    folder, texts = tmp_path_factory.mktemp("models"), {"chat_template": RICH_TEMPLATE, "adds_bos": False}
    return save_model_folder(folder / "base", **texts), save_model_folder(folder / "reference", seed=1, **texts)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, models: tuple[Path, Path]) -> Iterator[Store]:
    """The pairs scored under both, and under the base twice (run "same")."""
    sides = [side for pair in PAIRS for side in pair]
    with Store.open(tmp_path_factory.mktemp("workspace"), "a test") as opened:
        score_examples(opened, sides, *models, of_pairs=True)
        score_examples(opened, sides, models[0], models[0], "same", dataset="again", of_pairs=True)
        yield opened


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "train.jsonl").read_bytes().splitlines()]


def margins_of_trl(
    folder: Path, models: tuple[Path, Path], output: Path, monkeypatch: pytest.MonkeyPatch
) -> list[float]:
    """The `rewards/margins` of every pair of a bundle at beta 1, by DPOTrainer as `trl dpo` sets it up."""
    from transformers import AutoModelForCausalLM
    from trl import DatasetMixtureConfig, DPOConfig, DPOTrainer, ModelConfig, ScriptArguments, TrlParser, get_dataset

    monkeypatch.chdir(folder)
    keep_datasets_in(output, monkeypatch)
    here = ["--config", "dpo.yaml", "--beta", "1", "--bf16", "false", "--use_cpu", "true", "--save_strategy", "no"]
    here += ["--gradient_checkpointing", "false", "--per_device_eval_batch_size", "1", "--output_dir", str(output)]
    parser = TrlParser((ScriptArguments, DPOConfig, ModelConfig, DatasetMixtureConfig))
    _, config, model, mixture = parser.parse_args_and_config(here)
    assert model.model_name_or_path == str(models[0])
    pairs = get_dataset(mixture)["train"]
    trainer = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(models[1], dtype="float32"),
        ref_model=AutoModelForCausalLM.from_pretrained(models[0], dtype="float32"),
        args=config,
        train_dataset=pairs,
        eval_dataset={str(place): pairs.select([place]) for place in range(len(pairs))},
    )
    trainer.evaluate()
    logged = (item for entry in trainer.state.log_history for item in entry.items())
    return [value for name, value in logged if name.endswith("rewards/margins")]


def test_margins_equal_those_of_trl(
    store: Store, models: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = export_bundle(store, ALL, tmp_path / "bundle", "trl-dpo").path
    sql = f"SELECT preference_margin, dpo_loss FROM {store.run('tiny')['table']} WHERE side = 'chosen' ORDER BY pair"
    ours = [margin for margin, _ in store.rows(sql)]
    assert ours == pytest.approx(margins_of_trl(folder, models, tmp_path / "output", monkeypatch), abs=1e-4)
    assert all(abs(margin) > 0.01 for margin in ours)


def test_the_base_as_its_own_reference_prefers_nothing(store: Store) -> None:
    sql = f"SELECT DISTINCT preference_margin, dpo_loss FROM {store.run('same')['table']}"
    assert store.rows(sql) == [(0.0, pytest.approx(0.69314718))]  # ln 2


def test_two_runs_are_compared_by_a_score_of_pairs(store: Store) -> None:
    table = store.run("tiny")["table"]
    assert compared_counts(store, RunPair(table, table, "preference_margin"))["compared"].tolist() == [len(PAIRS) * 2]


def test_trl_gets_prompt_chosen_and_rejected_as_messages(store: Store, tmp_path: Path) -> None:
    report = export_bundle(store, ALL, tmp_path / "bundle", "trl-dpo", "pairs")
    assert records(report.path)[0] == {
        "prompt": [{"role": "user", "content": "Sky?"}],
        "chosen": [{"role": "assistant", "content": "Blue, mostly."}],
        "rejected": [{"role": "assistant", "content": "Green."}],
    }
    assert [turn["role"] for turn in records(report.path)[2]["prompt"]] == ["user", "assistant", "user"]
    output = json.loads((report.path / "manifest.json").read_text())["output"]
    assert (output["bundle"], output["rows"], output["pairs"], output["left_out"]) == ("trl-dpo", 6, 3, [])
    scores = [json.loads(line) for line in (report.path / "scores.jsonl").read_bytes().splitlines()]
    assert [(row["row_number"], row["rejected_row_number"]) for row in scores] == [(1, 2), (3, 4), (5, 6)]


def test_llama_factory_gets_ranking_data_with_its_entry(store: Store, tmp_path: Path) -> None:
    folder = export_bundle(store, ALL, tmp_path / "bundle", "llama-factory-dpo").path
    entry = json.loads((folder / "dataset_info.json").read_text())["curated"]
    assert entry["ranking"] is True
    assert entry["columns"] == {
        "messages": "messages", "chosen": "chosen", "rejected": "rejected", "system": "system", "tools": "tools"
    }  # fmt: skip
    config = yaml.safe_load((folder / "train.yaml").read_text())
    assert (config["stage"], config["pref_loss"], "mask_history" in config) == ("dpo", "sigmoid", False)
    assert records(folder)[1] == {
        "messages": [{"role": "user", "content": "A river?"}],
        "system": "Be brief.",
        "tools": "",
        "chosen": {"role": "assistant", "content": "The Thames"},
        "rejected": {"role": "assistant", "content": "There are many rivers in England."},
    }


def test_a_row_whose_pair_is_not_whole_is_skipped_and_counted(store: Store, tmp_path: Path) -> None:
    ((rejected_id,),) = store.rows(f"SELECT example_id::VARCHAR FROM {store.run('tiny')['table']} WHERE row_number = 2")
    by_row = replace(ALL, score="learnability", picks=(Pick(rejected_id, keep=False),))
    found = preflight(store, by_row, "trl-dpo")
    assert (found.rows, found.written_rows) == (5, 4)
    assert [(item.reason.name, item.rows, item.first_rows) for item in found.left_out] == [
        ("without_its_pair", 1, (1,))
    ]
    assert len(records(export_bundle(store, by_row, tmp_path / "bundle", "trl-dpo").path)) == 2


def test_fine_tuning_on_rejected_answers_is_warned_of(store: Store, tmp_path: Path) -> None:
    (notice,) = preflight(store, ALL, "trl").notices
    assert notice.startswith("3 of the rows are rejected answers of preference pairs")
    assert not preflight(store, ALL, "trl-dpo").notices
    report = export_selection(store, ALL, tmp_path / "rows.jsonl")
    assert report.rows == 6
    assert report.notices[-1].startswith("3 of the rows are rejected answers of preference pairs. A pair's record is")
