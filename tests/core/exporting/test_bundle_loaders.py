"""Bundles read by the trainers' own code: TRL takes a step, `datasets` loads, LLaMA-Factory reads where it is there."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from transformers import AutoTokenizer

from core.data.examples import Example
from core.encoding.encode import encode_example
from core.encoding.encoding_spec import EncodingSpec
from core.encoding.rendering import render
from core.exporting import TRAINERS, export_bundle
from tests.core.bundle_rows import (
    ALL,
    CALLS,
    CONTEXT_BETWEEN,
    ONE_SCORED,
    RICH_TEMPLATE,
    SCORED_AFTER_CONTEXT,
    SEVERAL,
    SINGLE,
    THOUGHTS,
    WEATHER,
    asking,
    example,
    replying,
    talk_store,
)
from tests.core.trl_reading import keep_datasets_in, trl_trainer
from tests.tiny_models import EOS, TURN_END, save_model_folder

OF_ROWS = [name for name, trainer in TRAINERS.items() if not trainer.pair_record]
IGNORED = -100
SCORED = [talk for talk in SEVERAL if talk.messages[-1].role == "assistant"]
MARKED_TEMPLATE = (
    "{% for message in messages %}<|turn|>{{ message.role }}\n{% if message.role == 'assistant' %}{% generation %}"
    "{{ message.content }}<|end|>{% endgeneration %}{% else %}{{ message.content }}<|end|>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)
LLAMA_FACTORY_PYTHON = os.environ.get("LOBASS_LLAMAFACTORY_PYTHON") or (
    sys.executable if importlib.util.find_spec("llamafactory") else None
)


@pytest.fixture(autouse=True)
def datasets_stays_in_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_datasets_in(tmp_path, monkeypatch)


def bundle(tmp_path: Path, trainer: str, talks: Sequence[Example], template: str, model: Path | None = None) -> Path:
    with talk_store(tmp_path / "workspace", talks, template, model) as store:
        return export_bundle(store, ALL, tmp_path / "bundle", trainer).path


@pytest.mark.parametrize(
    ("template", "talks"),
    [("chat", SINGLE), ("chat", SCORED), ("alpaca", SINGLE), ("alpaca", SCORED), ("plain", SCORED)],
)
def test_trl_takes_a_step_on_its_bundle_and_trains_on_what_was_scored(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, template: str, talks: Sequence[Example]
) -> None:
    if template == "chat" and talks is SCORED:
        tiny_base = save_model_folder(tmp_path / "base", chat_template=MARKED_TEMPLATE)
    folder = bundle(tmp_path, "trl", talks, template, tiny_base)
    trainer = trl_trainer(folder, tmp_path / "output", monkeypatch)
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    rows = list(trainer.train_dataset)
    assert len(rows) == len(talks)
    for row, talk in zip(rows, talks, strict=True):
        expected = encode_example(talk, tokenizer, EncodingSpec(template, 512, "tiny"))
        # The tiny chat template leaves out the start of text, which scoring adds; what stands after the last scored
        # token is a line break, which TRL trains on where the template writes it.
        first, end = (1 if template == "chat" else 0), int(expected.scored.nonzero()[0][-1]) + 1
        ids, labels = row["input_ids"], row["labels"]
        assert ids[: end - first] == expected.input_ids[first:end].tolist()
        assert [label != IGNORED for label in labels[: end - first]] == expected.scored[first:end].tolist()
        assert tokenizer.decode(ids[end - first :]).strip() == ""
    assert trainer.train().training_loss > 0


RICH = {
    "tool calls": (CALLS, "all", {}),
    "thoughts": (THOUGHTS, "all", {}),
    "one scored reply after context": (ONE_SCORED, "all", {}),
    "several scored replies after context": (SCORED_AFTER_CONTEXT, "all", {}),
    "context between scored replies": ((*SCORED_AFTER_CONTEXT, CONTEXT_BETWEEN), "all", {"replies_not_scored": 1}),
    "the last reply alone": ((*SCORED_AFTER_CONTEXT, CONTEXT_BETWEEN, CALLS[0]), "last", {}),
    "all of it": ((*CALLS, *THOUGHTS, *ONE_SCORED, CONTEXT_BETWEEN), "all", {"replies_not_scored": 1}),
}


@pytest.mark.parametrize("kind", RICH)
def test_trl_trains_on_exactly_what_was_scored_of_rows_with_more_than_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    talks, replies, left_out = RICH[kind]
    model = save_model_folder(tmp_path / "base", chat_template=RICH_TEMPLATE, adds_bos=False)
    with talk_store(tmp_path / "workspace", talks, "chat", model, replies=replies) as store:
        report = export_bundle(store, ALL, tmp_path / "bundle", "trl")
    assert {finding.reason.name: finding.rows for finding in report.preflight.left_out} == left_out
    rows = list(trl_trainer(report.path, tmp_path / "output", monkeypatch).train_dataset)
    written = [talk for talk in talks if not (left_out and talk is CONTEXT_BETWEEN)]
    tokenizer = AutoTokenizer.from_pretrained(model)
    for row, talk in zip(rows, written, strict=True):
        expected = encode_example(talk, tokenizer, EncodingSpec("chat", 512, "tiny", replies=replies))
        assert row["input_ids"] == expected.input_ids.tolist()
        assert [label != IGNORED for label in row["labels"]] == expected.scored.tolist()


@pytest.mark.parametrize("template", ["alpaca", "plain", "chatml"])
@pytest.mark.parametrize("talks", [ONE_SCORED, SCORED_AFTER_CONTEXT], ids=["one scored", "several scored"])
def test_trl_leaves_context_replies_out_with_our_own_templates_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str, talks: Sequence[Example]
) -> None:
    model = save_model_folder(tmp_path / "base", chat_template=None, adds_bos=False)
    folder = bundle(tmp_path, "trl", talks, template, model)
    tokenizer = AutoTokenizer.from_pretrained(model)
    for row, talk in zip(trl_trainer(folder, tmp_path / "output", monkeypatch).train_dataset, talks, strict=True):
        expected = encode_example(talk, tokenizer, EncodingSpec(template, 512, "tiny"))
        counted = [i for i, label in enumerate(row["labels"]) if label != IGNORED]
        trained = tokenizer.decode([row["input_ids"][i] for i in counted])
        # Where ChatML ends a turn, a line break follows, on which TRL trains with the last reply.
        assert trained.rstrip("\n") == tokenizer.decode(expected.input_ids[expected.scored]).rstrip("\n")


def test_a_templates_text_of_the_runs_own_goes_along_and_trl_reads_it(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dated = "{{ strftime_now('%d %b %Y') }}" + RICH_TEMPLATE
    with talk_store(
        tmp_path / "workspace", THOUGHTS, "chat", tiny_base, chat_template=dated, day="2026-03-07"
    ) as store:
        folder = export_bundle(store, ALL, tmp_path / "bundle", "trl").path
    rows = list(trl_trainer(folder, tmp_path / "output", monkeypatch).train_dataset)
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    spec = EncodingSpec("chat", 512, "tiny", chat_template=dated, day="2026-03-07")
    for row, talk in zip(rows, THOUGHTS, strict=True):
        expected = encode_example(talk, tokenizer, spec)
        assert tokenizer.decode(row["input_ids"]).startswith("07 Mar 2026<|turn|>user")
        # Scoring puts the start of text first, which this template leaves out.
        assert row["input_ids"] == expected.input_ids[1:].tolist()
        assert [label != IGNORED for label in row["labels"]] == expected.scored[1:].tolist()


def test_tool_calls_that_come_after_the_first_ten_megabytes_stop_no_loader(tmp_path: Path) -> None:
    import datasets

    plain = [Example((asking(f"{n} " + "word " * 40_000), replying("Yes."))) for n in range(60)]
    folder = bundle(tmp_path, "trl", [*plain, *CALLS], "chat")
    assert (folder / "train.jsonl").stat().st_size > 11e6
    lines = [json.loads(line) for line in (folder / "train.jsonl").read_bytes().splitlines()]
    assert list(datasets.load_dataset("json", data_files=str(folder / "train.jsonl"), split="train")) == lines


@pytest.mark.parametrize("trainer", OF_ROWS)
def test_the_datasets_library_loads_every_bundles_data(tmp_path: Path, trainer: str) -> None:
    import datasets

    # A row without tools first: a column's type must not be taken from it.
    talks = [*SINGLE, example(("user", "Weather?"), ("assistant", "look()"), tools=WEATHER)]
    folder = bundle(tmp_path, trainer, talks, "chat")
    lines = [json.loads(line) for line in (folder / "train.jsonl").read_bytes().splitlines()]
    for name in ("train.jsonl", "scores.jsonl"):
        loaded = datasets.load_dataset("json", data_files=str(folder / name), split="train")
        assert loaded.num_rows == len(talks)
        if name == "train.jsonl":
            assert list(loaded) == lines


@pytest.mark.parametrize("trainer", [name for name in OF_ROWS if name != "plain"])
def test_every_config_is_yaml_whose_numbers_are_numbers(tmp_path: Path, trainer: str) -> None:
    folder = bundle(tmp_path, trainer, SEVERAL, "alpaca")
    (path,) = folder.glob("*.yaml")
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert config["learning_rate"] == 2e-4
    assert (config.get("model_name_or_path") or config["base_model"]) == "/models/base"
    assert 512 in (config.get("max_length"), config.get("cutoff_len"), config.get("sequence_len"))


@pytest.mark.skipif(
    not LLAMA_FACTORY_PYTHON,
    reason="llamafactory needs an older transformers than ours: install llamafactory==0.9.5 into an environment of its "
    "own and name its interpreter in LOBASS_LLAMAFACTORY_PYTHON; its documented rules are checked without it",
)
@pytest.mark.parametrize("template", ["chat", "alpaca", "plain"])
def test_llama_factory_reads_its_bundle_and_trains_on_what_was_scored(tmp_path: Path, template: str) -> None:
    # LLaMA-Factory takes a tokenizer's start of text for the beginning of its chat template: have none, as Qwen.
    tiny_base = save_model_folder(tmp_path / "base", adds_bos=False)
    talks = [talk for talk in SCORED if template == "chat" or all(m.role != "tool" for m in talk.messages)]
    folder = bundle(tmp_path, "llama-factory", talks, template, tiny_base)
    rows = llama_factory_rows(folder, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    assert len(rows) == len(talks)
    for row, talk in zip(rows, talks, strict=True):
        # It writes a tool's turn as a user's, which the preflight says.
        scored = render(talk, tokenizer, template).text.replace("<|turn|>tool", "<|turn|>user")
        assert without_ends(row["text"]) == without_ends(scored)
        replies = [message.content for message in talk.messages if message.role == "assistant"]
        assert [part.strip() for part in without_ends(row["trained"], "\n").split("\n") if part.strip()] == [
            line.strip() for reply in replies for line in reply.split("\n") if line.strip()
        ]
        assert EOS in row["trained"] or TURN_END in row["trained"]


def without_ends(text: str, end: str = "") -> str:
    """Text without end-of-turn tokens, and without what a template writes between or after turns."""
    return text.replace(EOS, end).replace(TURN_END, end).replace("<s>", "").replace("\n", "" if not end else "\n")


def llama_factory_rows(folder: Path, tmp_path: Path) -> list[dict[str, str]]:
    cache = {"HF_HOME": str(tmp_path / "hf"), "OUTPUT": str(tmp_path / "output"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [str(LLAMA_FACTORY_PYTHON), str(Path(__file__).parents[1].joinpath("llama_factory_reading.py"))],
        cwd=folder,
        env={**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, **cache, "DISABLE_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return list(json.loads(done.stdout.rsplit("READ ", 1)[1]))
