"""A cached loss is found again under its key: the same as in every version before, and another one for each change of
what it depends on."""

import json
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from core.data.errors import EncodingOutdated
from core.data.examples import DatasetRow
from core.encoding.encode import encode_examples
from core.encoding.encoding_spec import EncodingSpec
from core.encoding.templates import TEMPLATES
from core.jobs.job import Job
from core.models import cache_key
from core.models.resolving import ModelSpec, resolve_model, tokenizer_fingerprint
from core.scoring.planning import ScoreRequest, create_score_job, plan_scoring
from core.scoring.scoring_job import score
from core.store import Store
from tests.tiny_models import example

SHAPE = {"hidden_size": 2, "vocab_size": 3, "num_hidden_layers": 1, "max_position_embeddings": 4096}
TOKENIZER = {
    "version": "1.0",
    "added_tokens": [],
    "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1, "c": 2}, "unk_token": "a"},
}
EXAMPLE = example(("user", "a"), ("assistant", "b"))
DATED = "{{ strftime_now('%d %b %Y') }}{% for message in messages %}{{ message.content }}{% endfor %}"


def write_json(path: Path, fields: dict[str, object]) -> None:
    path.write_text(json.dumps(fields), encoding="utf-8")


def write_tensor(path: Path, name: str, rows: int) -> None:
    """A safetensors file with one tensor of [rows x 2], written byte by byte so that its hash stays."""
    table = json.dumps({name: {"dtype": "F32", "shape": [rows, 2], "data_offsets": [0, 8 * rows]}}).encode()
    path.write_bytes(struct.pack("<Q", len(table)) + table + struct.pack(f"<{2 * rows}f", *range(2 * rows)))


def write_model(folder: Path, kind: str = "llama") -> Path:
    folder.mkdir()
    write_json(folder / "config.json", {"model_type": kind, "is_decoder": True, **SHAPE})
    write_tensor(folder / "model.safetensors", "model.embed_tokens.weight", 3)
    write_json(folder / "tokenizer.json", TOKENIZER)
    (folder / "chat_template.jinja").write_text(DATED, encoding="utf-8")
    return folder


def write_adapter(folder: Path) -> Path:
    folder.mkdir()
    write_json(folder / "adapter_config.json", {"peft_type": "LORA", "r": 1})
    write_tensor(folder / "adapter_model.safetensors", "base_model.model.model.norm.lora_A.weight", 1)
    return folder


# What is cached stays


@pytest.fixture
def specs(tmp_path: Path) -> dict[str, ModelSpec]:
    """A model, an adapter on it, and a model of a family that has positions of its own."""
    base = resolve_model(str(write_model(tmp_path / "base")), tmp_path)
    return {
        "model": base,
        "adapter": resolve_model(str(write_adapter(tmp_path / "adapter")), tmp_path, base),
        "roberta": resolve_model(str(write_model(tmp_path / "roberta", "roberta")), tmp_path),
    }


@pytest.mark.parametrize(
    ("model", "dtype", "key"),
    [
        ("model", "float32", "865fda33ee0a39c561dd2331f43e304f"),
        ("model", "bfloat16", "2535d45dc9a17ba7ff4238737231f0ab"),
        ("adapter", "float32", "1bcc07e2577020da8a929e369c10603f"),
        ("adapter", "bfloat16", "556c8e66e5ba5a1cfd308437e2b7c84d"),
        ("roberta", "float32", "8976af70ad321f9f252284d091f94da3"),
    ],
)
def test_the_key_of_a_model_is_that_of_earlier_versions(
    specs: dict[str, ModelSpec], model: str, dtype: str, key: str
) -> None:
    assert specs[model].fingerprint(dtype) == key


def test_the_key_of_a_tokenizer_is_that_of_earlier_versions(specs: dict[str, ModelSpec]) -> None:
    assert tokenizer_fingerprint(specs["model"]) == "a8445422bca05de06398ef6d17b3b9d4"


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        (EncodingSpec("alpaca", 2048, "t"), "e2c97f7b494d6f719ab717e286881506"),
        (EncodingSpec("plain", 2048, "t"), "45d7eb3e6e472e9bd862076a6b0f222a"),
        (EncodingSpec("chatml", 2048, "t"), "9df61e8c2baf893bd1131ea684c3b80e"),
        (EncodingSpec("chat", 2048, "t"), "d4c12b83b3f5114d2db3faa2679f7dcf"),
        (EncodingSpec("chat", 512, "t", day="2026-11-29"), "69a830efda2d3cfae7176a5feeee2295"),
        (EncodingSpec("chat", 2048, "t", replies="last"), "8acdb1e1ed42380a9d785dff01bd9302"),
        (
            EncodingSpec("chat", 2048, "t", chat_template=DATED, day="2026-11-29", replies="last"),
            "6b170172d947c26108a5e58c175c4e21",
        ),
        (EncodingSpec("chat", 2048, "t", version=1), "99ab8d0c76c072338924b85a60d66aa6"),
    ],
)
def test_the_key_of_an_encoding_is_that_of_earlier_versions(spec: EncodingSpec, key: str) -> None:
    assert spec.fingerprint == key


# What a loss depends on changes its key


class Scoring:
    """A dataset, a model and an adapter on it, about to be scored."""

    def __init__(self, folder: Path) -> None:
        self.base, self.adapter = write_model(folder / "base"), write_adapter(folder / "adapter")
        self.request = {"template": "chat", "dtype": "float32", "template_date": "2026-11-29"}
        self.store = Store.open(folder / "workspace", "a test")
        self.store.add_source("space", "s.jsonl", "jsonl", "hash", {}, [DatasetRow(1, "all", EXAMPLE, b"{}")])

    def loss_sets(self, **changes: Any) -> dict[str, int]:
        """Under which number each model's losses are cached."""
        return plan_scoring(self.store, self._request(changes)).loss_sets

    def job(self) -> Job:
        return create_score_job(self.store, plan_scoring(self.store, self._request({})))

    def _request(self, changes: dict[str, Any]) -> ScoreRequest:
        models = {"base": str(self.base), "reference": str(self.adapter)}
        return ScoreRequest("space", **{**models, **self.request, **changes})


@pytest.fixture
def scoring(tmp_path: Path) -> Iterator[Scoring]:
    made = Scoring(tmp_path)
    yield made
    made.store.close()


def changed_roles(scoring: Scoring, change: Callable[[], dict[str, Any]]) -> set[str]:
    """Whose losses are no longer found once `change` was called and its result put into the request."""
    before = scoring.loss_sets()
    after = scoring.loss_sets(**change())
    return {role for role in before if before[role] != after[role]}


def edit(path: Path, **changes: object) -> dict[str, Any]:
    write_json(path, {**json.loads(path.read_text(encoding="utf-8")), **changes})
    return {}


def append(path: Path, text: str) -> dict[str, Any]:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
    return {}


def flip_last_byte(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    return {}


def own_template(folder: Path) -> dict[str, Any]:
    (folder / "own.jinja").write_text(DATED + " ", encoding="utf-8")
    return {"template": str(folder / "own.jinja")}


BOTH, REFERENCE = {"base", "reference"}, {"reference"}
DATA = {
    "config": (BOTH, lambda it: edit(it.base / "config.json", rms_norm_eps=0.5)),
    "weights": (BOTH, lambda it: flip_last_byte(it.base / "model.safetensors")),
    "adapter config": (REFERENCE, lambda it: edit(it.adapter / "adapter_config.json", lora_alpha=7)),
    "adapter weights": (REFERENCE, lambda it: flip_last_byte(it.adapter / "adapter_model.safetensors")),
    "no adapter": (REFERENCE, lambda it: {"reference": str(it.base)}),
    "dtype": (BOTH, lambda it: {"dtype": "bfloat16"}),
    "quantization": (BOTH, lambda it: {"quantization": "nf4"}),
    "tokenizer": (BOTH, lambda it: edit(it.base / "tokenizer.json", truncation=None)),
    "tokenizer config": (BOTH, lambda it: (it.base / "tokenizer_config.json").write_text("{}") and {}),
    "template": (BOTH, lambda it: {"template": "plain"}),
    "template text": (BOTH, lambda it: append(it.base / "chat_template.jinja", " ")),
    "own template": (BOTH, lambda it: own_template(it.base)),
    "date": (BOTH, lambda it: {"template_date": "2026-11-30"}),
    "replies": (BOTH, lambda it: {"replies": "last"}),
    "max length": (BOTH, lambda it: {"max_length": 512}),
}
"""For each part of a key: whose key a change of it changes, and the change."""

BY_KIND = ("MASK_RULE", "QUANTIZATION_RULE")
RULES = {
    "ENGINE_RULE": BOTH,
    "WEIGHTS_RULE": BOTH,
    "ADAPTER_RULE": REFERENCE,
    "TOKENIZER_RULE": BOTH,
    "TEMPLATE_RULE": BOTH,
    "LENGTH_RULE": BOTH,
    "POSITIONS_RULE": set(),  # of other families than the model of these tests
}


@pytest.mark.parametrize("part", DATA)
def test_a_change_of_the_data_gives_another_key(scoring: Scoring, part: str) -> None:
    roles, change = DATA[part]
    assert changed_roles(scoring, lambda: change(scoring)) == roles


@pytest.mark.parametrize("rule", [name for name in vars(cache_key) if name.endswith("_RULE") and name not in BY_KIND])
def test_a_change_of_a_rule_gives_another_key(scoring: Scoring, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in (getattr(cache_key, rule) + 1, getattr(cache_key, rule) + 2):
        assert changed_roles(scoring, lambda v=version: monkeypatch.setattr(cache_key, rule, v) or {}) == RULES[rule]


@pytest.mark.parametrize("kind", cache_key.QUANTIZATION_RULE)
def test_a_change_of_a_quantization_gives_another_key(
    scoring: Scoring, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change() -> dict[str, str]:
        monkeypatch.setitem(cache_key.QUANTIZATION_RULE, kind, 2)
        return {}

    other = next(one for one in cache_key.QUANTIZATION_RULE if one != kind)
    for chosen, roles in ((other, set()), (kind, BOTH)):
        monkeypatch.setitem(cache_key.QUANTIZATION_RULE, kind, 1)
        scoring.request["quantization"] = chosen
        assert changed_roles(scoring, change) == roles


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_change_of_the_mask_gives_another_key(
    scoring: Scoring, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scoring.request["template"] = template
    version = cache_key.MASK_RULE[template] + 1
    assert changed_roles(scoring, lambda: monkeypatch.setitem(cache_key.MASK_RULE, template, version) or {}) == BOTH
    scoring.request["template"] = "plain" if template == "alpaca" else "alpaca"
    version += 1
    assert changed_roles(scoring, lambda: monkeypatch.setitem(cache_key.MASK_RULE, template, version) or {}) == set()


@pytest.mark.parametrize(("kind", "is_concerned"), [("roberta", True), ("llama", False)])
def test_a_change_of_positions_gives_another_key_to_the_families_concerned(
    tmp_path: Path, kind: str, is_concerned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, keys = write_model(tmp_path / "model", kind), set()
    for version in (1, 2, 3, 4):
        monkeypatch.setattr(cache_key, "POSITIONS_RULE", version)
        keys.add(resolve_model(str(folder), tmp_path).fingerprint("float32"))
    assert len(keys) == (4 if is_concerned else 1)


@pytest.mark.parametrize("name", [field.name for field in fields(EncodingSpec)])
def test_every_field_of_an_encoding_is_in_its_key(name: str) -> None:
    spec = EncodingSpec("chat", 2048, "t")
    value = getattr(spec, name)
    assert replace(spec, **{name: value + 1 if isinstance(value, int) else "another"}).fingerprint != spec.fingerprint


TOKENIZER_FILES = "tokenizer.json tokenizer.model tokenizer_config.json special_tokens_map.json added_tokens.json"


@pytest.mark.parametrize("name", [*TOKENIZER_FILES.split(), "chat_template.jinja", "vocab.json", "merges.txt"])
def test_every_file_of_a_tokenizer_is_in_its_key(tmp_path: Path, name: str) -> None:
    spec = ModelSpec("model", str(write_model(tmp_path / "model")), None, "")
    before = tokenizer_fingerprint(spec)
    (tmp_path / "model" / name).write_text("another", encoding="utf-8")
    assert tokenizer_fingerprint(spec) != before


# What a loss does not depend on leaves its key


def moved(scoring: Scoring) -> dict[str, Any]:
    scoring.base, scoring.adapter = (
        Path(shutil.copytree(folder, folder.parent / f"another {folder.name}"))
        for folder in (scoring.base, scoring.adapter)
    )
    return {"base": str(scoring.base), "reference": str(scoring.adapter)}


ELSEWHERE = {
    "folder and label": moved,
    "relative path": lambda it: {"base": os.path.relpath(it.base)},
    "device": lambda it: {"device": "cpu"},
    "run": lambda it: {"run": "another"},
    "another file": lambda it: (it.base / "README.md").write_text("about") and {},
    "adapter's provenance": lambda it: (it.adapter / "provenance.json").write_text("{}") and {},
}


@pytest.mark.parametrize("change", ELSEWHERE.values(), ids=ELSEWHERE)
def test_nothing_else_changes_a_key(scoring: Scoring, change: Callable[[Scoring], dict[str, Any]]) -> None:
    assert changed_roles(scoring, lambda: change(scoring)) == set()


def test_a_date_is_no_part_where_the_template_does_not_ask_for_it(scoring: Scoring) -> None:
    scoring.request["template"] = "chatml"
    assert changed_roles(scoring, lambda: {"template_date": "2026-11-30"}) == set()


# A rule that changes under a job


@pytest.mark.parametrize("rule", ["TOKENIZER_RULE", "TEMPLATE_RULE", "LENGTH_RULE"])
def test_an_encoding_of_another_version_is_not_continued(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = EncodingSpec("chat", 2048, "t")
    monkeypatch.setattr(cache_key, rule, getattr(cache_key, rule) + 1)
    with pytest.raises(EncodingOutdated, match="started by another version of the program, which masks prompts"):
        encode_examples([EXAMPLE], None, spec)


@pytest.mark.parametrize("rule", ["ENGINE_RULE", "WEIGHTS_RULE", "ADAPTER_RULE"])
def test_a_job_of_another_version_is_not_continued(
    scoring: Scoring, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = scoring.job()
    monkeypatch.setattr(cache_key, rule, getattr(cache_key, rule) + 1)
    with pytest.raises(EncodingOutdated, match="started by another version of the program, which computes losses"):
        score(job)
