"""The command line's contract: options, JSON, exit codes, one sentence for what went wrong."""

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from core.store import Store
from core.workspace import demo
from tests import command_line


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Path:
    """A workspace in which the whole line has run: 30 rows, a LoRA reference, the run "first"."""
    folder = tmp_path_factory.mktemp("line")
    workspace = folder / "workspace"
    rows = command_line.write_rows(folder / "rows.jsonl", 30)
    command_line.result(workspace, "import", rows, "--dataset", "numbers", "--domain-field", "domain")
    command_line.result(
        workspace,
        "train",
        "--dataset",
        "numbers",
        "--base",
        tiny_base,
        "--name",
        "taught",
        "--learning-rate",
        "0.01",
        "--epochs",
        "3",
    )
    command_line.result(
        workspace, "score", "--dataset", "numbers", "--base", tiny_base, "--reference", "taught", "--run", "first"
    )
    return workspace


def test_an_import_reports_rows_domains_and_every_rejection(tmp_path: Path) -> None:
    rows = command_line.write_rows(tmp_path / "rows.jsonl", 4)
    with open(rows, "a", encoding="utf-8") as file:
        file.write('{"instruction": "Say nothing.", "output": ""}\n{oops\n')
    report = command_line.result(
        tmp_path / "w", "import", rows, "--dataset", "numbers", "--domain-field", "domain", "--format", "alpaca"
    )
    assert report["rows"] == 4
    assert report["rejected"] == 2
    assert report["by_reason"] == {"empty response": 1, "bad JSON": 1}
    assert report["domains"] == {"even": 2, "odd": 2}


def test_a_second_identical_score_computes_nothing(scored: Path, tiny_base: Path) -> None:
    report = command_line.result(
        scored, "score", "--dataset", "numbers", "--base", tiny_base, "--reference", "taught", "--run", "first"
    )
    assert report["computed"] == {"base": 0, "reference": 0}
    assert report["cached"] == {"base": 30, "reference": 30}


def test_a_scoring_embeds_the_rows_too_if_asked(scored: Path, tiny_base: Path) -> None:
    arguments = ["score", "--dataset", "numbers", "--base", tiny_base, "--reference", "taught", "--run", "first"]
    report = command_line.result(scored, *arguments, "--embed")
    assert (report["embeddings"]["computed"], report["embeddings"]["cached"]) == (30, 0)
    assert command_line.result(scored, "embed", "--run", "first")["computed"] == 0
    assert report["tokens"] == 0


def test_a_new_reference_reuses_the_losses_of_the_base(scored: Path, tiny_base: Path, tiny_reference: Path) -> None:
    report = command_line.result(
        scored, "score", "--dataset", "numbers", "--base", tiny_base, "--reference", tiny_reference, "--run", "second"
    )
    assert report["computed"] == {"base": 0, "reference": 30}
    assert report["cached"] == {"base": 30, "reference": 0}
    assert report["examples"] == report["unique_examples"] == 30
    assert report["tokens"] > 0
    assert report["tokens_per_second"] > 0


def test_training_lowers_the_loss_and_keeps_its_provenance(scored: Path, tmp_path: Path) -> None:
    rows = command_line.losses(scored, "first", tmp_path)
    assert sum(row["learnability"] > 0 for row in rows) > 25
    assert all("trained_on" in row["flags"] for row in rows)
    provenance = json.loads((scored / "models" / "taught" / "provenance.json").read_text(encoding="utf-8"))
    assert provenance["method"] == "lora"
    assert provenance["seed"] == 0
    assert len(provenance["data_order"]) == 30


def test_training_the_same_reference_again_trains_nothing(scored: Path, tiny_base: Path) -> None:
    again = [
        "train",
        "--dataset",
        "numbers",
        "--base",
        tiny_base,
        "--name",
        "taught",
        "--epochs",
        "3",
        "--learning-rate",
    ]
    assert command_line.result(scored, *again, "0.01")["trained"] is False
    other = command_line.run(scored, *again, "0.02")
    assert other.returncode == 1
    assert "exists already" in other.stderr


def test_losses_are_written_alike_in_every_format(scored: Path, tmp_path: Path) -> None:
    expected = command_line.losses(scored, "first", tmp_path)
    for suffix in ("csv", "parquet"):
        command_line.result(scored, "losses", "--run", "first", "--output", tmp_path / f"l.{suffix}")
    with open(tmp_path / "l.csv", newline="", encoding="utf-8") as file:
        from_csv = list(csv.DictReader(file))
    assert [row["example_id"] for row in from_csv] == [row["example_id"] for row in expected]
    assert [float(row["base_loss"]) for row in from_csv] == [row["base_loss"] for row in expected]
    assert pq.read_table(tmp_path / "l.parquet").to_pylist() == expected
    assert list(expected[0]) == [
        "row_number", "example_id", "domain", "token_count", "base_loss", "reference_loss", "learnability",
        "loss_difference", "implicit_reward", "flags",
    ]  # fmt: skip


def test_encode_writes_which_tokens_are_scored(scored: Path, tiny_base: Path, tmp_path: Path) -> None:
    command_line.result(
        scored, "encode", "--dataset", "numbers", "--model", tiny_base, "--rows", 3, "--output", tmp_path / "e.jsonl"
    )
    lines = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 3
    counts = {row["example_id"]: row["token_count"] for row in command_line.losses(scored, "first", tmp_path)}
    for line in lines:
        assert len(line["input_ids"]) == len(line["scored"])
        assert sum(line["scored"]) == counts[line["example_id"]]
        assert "The number is" in line["text"]


def test_a_selection_is_exported_and_its_manifest_selects_the_same_file(scored: Path, tmp_path: Path) -> None:
    selected = command_line.result(
        scored, "select", "--run", "first", "--name", "best", "--ratio", "0.2", "--ratio", "odd=0.4"
    )
    assert {domain: part["kept"] for domain, part in selected["by_domain"].items()} == {"even": 3, "odd": 6}
    assert selected["kept"] == 9
    exported = command_line.result(scored, "export", "--selection", "best", "--output", tmp_path / "a.jsonl")
    assert exported["rows"] == 9
    command_line.result(scored, "select", "--name", "again", "--from-manifest", f"{tmp_path}/a.jsonl.manifest.json")
    more = command_line.run(
        scored, "select", "--name", "more", "--from-manifest", f"{tmp_path}/a.jsonl.manifest.json", "--ratio", "0.9"
    )
    assert more.returncode == 2
    assert "so --ratio has no effect" in " ".join(more.stderr.split())
    again = command_line.result(scored, "export", "--selection", "again", "--output", tmp_path / "b.jsonl")
    assert again["sha256"] == exported["sha256"]
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_a_token_budget_and_a_control_can_be_asked_for(scored: Path) -> None:
    budget = command_line.result(scored, "select", "--run", "first", "--name", "budget", "--tokens", 200)
    assert 0 < budget["tokens"] <= 200
    random = ["select", "--run", "first", "--name", "random", "--ratio", "0.5", "--control", "random", "--seed"]
    assert command_line.result(scored, *random, 1)["kept"] == 16
    assert command_line.run(scored, *random, "one").returncode == 2


def test_status_shows_what_the_workspace_holds(scored: Path) -> None:
    status = command_line.result(scored, "status")
    assert status["datasets"][0]["domains"] == {"even": 15, "odd": 15}
    assert status["models"] == ["taught"]
    assert "first" in [run["name"] for run in status["runs"]]
    assert {job["state"] for job in status["jobs"]} == {"done"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["import", "nowhere.jsonl", "--dataset", "d"], "nowhere.jsonl"),
        (["import", demo.DATASET, "--dataset", "d", "--domain-field", "topic"], "no field 'topic'"),
        (["score", "--dataset", "missing", "--base", "b", "--reference", "r"], "No dataset is named 'missing'"),
        (["score", "--dataset", "numbers", "--base", "/nowhere", "--reference", "r"], "No model '/nowhere'"),
        (["losses", "--run", "missing", "--output", "l.csv"], "No run is named 'missing'"),
        (["select", "--run", "first", "--name", "x", "--ratio", "1.5"], "1.5"),
        (["export", "--selection", "missing", "--output", "x.jsonl"], "No selection is named 'missing'"),
        (["losses", "--run", "first", "--output", "losses.xlsx"], "losses.xlsx"),
        (["train", "--dataset", "numbers", "--base", "/nowhere", "--name", "n"], "No model '/nowhere'"),
    ],
)
def test_what_went_wrong_is_one_sentence_and_exit_code_1(scored: Path, arguments: list[object], sentence: str) -> None:
    done = command_line.run(scored, *arguments)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["unknown"],
        ["score", "--dataset", "numbers"],
        ["import", "rows.jsonl", "--dataset", "d", "--domain", "chat", "--domain-field", "domain"],
        ["select", "--run", "first", "--name", "x", "--ratio", "even=much"],
        ["select", "--run", "first", "--name", "x"],
        ["select", "--run", "first", "--name", "x", "--ratio", "0.5", "--score", "beauty"],
    ],
)
def test_wrong_usage_is_exit_code_2(scored: Path, arguments: list[str]) -> None:
    assert command_line.run(scored, *arguments).returncode == 2


def test_a_workspace_in_use_is_refused_naming_its_holder(tmp_path: Path) -> None:
    with Store.open(tmp_path / "w", "a long evening"):
        done = command_line.run(tmp_path / "w", "status")
    assert done.returncode == 1
    assert "a long evening" in done.stderr


def test_models_with_other_tokenizers_are_refused_before_anything_is_computed(scored: Path, tiny_base: Path) -> None:
    from tests.tiny_models import save_model_folder

    other = save_model_folder(scored.parent / "other-tokenizer", "llama", seed=1, vocabulary_size=350)
    done = command_line.run(scored, "score", "--dataset", "numbers", "--base", tiny_base, "--reference", other)
    assert done.returncode == 1
    assert "Choose models that share a tokenizer" in done.stderr
