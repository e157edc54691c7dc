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

from core.encoding import encode_example
from core.encoding_spec import EncodingSpec
from core.examples import Example
from core.exporting import TRAINERS, export_bundle
from core.rendering import render
from tests.core.bundle_rows import ALL, SEVERAL, SINGLE, WEATHER, example, talk_store
from tests.core.trl_reading import keep_datasets_in, trl_trainer
from tests.tiny_models import EOS, TURN_END, save_model_folder

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


@pytest.mark.parametrize("trainer", TRAINERS)
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


@pytest.mark.parametrize("trainer", [name for name in TRAINERS if name != "plain"])
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
        [str(LLAMA_FACTORY_PYTHON), str(Path(__file__).with_name("llama_factory_reading.py"))],
        cwd=folder,
        env={**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, **cache, "DISABLE_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return list(json.loads(done.stdout.rsplit("READ ", 1)[1]))
