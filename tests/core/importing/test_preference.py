"""Preference files of every usual layout become two linked rows a pair; what is no pair is rejected with its reason."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from trl import extract_prompt  # type: ignore[attr-defined]

from core.data.examples import DatasetRow, Rejected
from core.importing import SourceOptions, import_source, read_examples
from core.store import Store
from core.store.dataset_changes import merge_dataset, purge_dataset, restore_dataset
from core.store.sampling import sample_dataset

AUTO = SourceOptions()
USER, BLUE, GREEN = (
    {"role": r, "content": c} for r, c in (("user", "Sky?"), ("assistant", "Blue"), ("assistant", "G"))
)
LAYOUTS: dict[str, dict[str, Any]] = {
    "TRL, texts": {"prompt": "Sky?", "chosen": "Blue", "rejected": "G"},
    "TRL, turns": {"prompt": [USER], "chosen": [BLUE], "rejected": [GREEN]},
    "TRL, implicit prompt": {"chosen": [USER, BLUE], "rejected": [USER, GREEN]},
    "LLaMA-Factory, ShareGPT": {
        "conversations": [{"from": "human", "value": "Sky?"}],
        "chosen": {"from": "gpt", "value": "Blue"},
        "rejected": {"from": "gpt", "value": "G"},
    },
    "LLaMA-Factory, Alpaca": {"instruction": "Sky?", "input": "", "chosen": "Blue", "rejected": "G"},
    "UltraFeedback": {
        "prompt": "Sky?",
        "prompt_id": "7",
        "chosen": [USER, BLUE],
        "rejected": [USER, GREEN],
        "messages": [USER, BLUE],
        "score_chosen": 8.0,
    },
    "HH": {"chosen": "\n\nHuman: Sky?\n\nAssistant: Blue", "rejected": "\n\nHuman: Sky?\n\nAssistant: G"},
    "HH with a prompt": {"prompt": "\n\nHuman: Sky?\n\nAssistant:", "chosen": "Blue", "rejected": "G"},
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "workspace", "the tests") as opened:
        yield opened


def written(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def turns(row: DatasetRow) -> list[tuple[str, str, bool]]:
    return [(turn.role, turn.content, turn.is_scored) for turn in row.example.messages]


def found(path: Path, source_format: str = "auto") -> list[DatasetRow | Rejected]:
    return list(read_examples(path, SourceOptions(format=source_format)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_two_rows(tmp_path: Path, layout: str) -> None:
    chosen, rejected = found(written(tmp_path / "a.jsonl", LAYOUTS[layout]))
    assert isinstance(chosen, DatasetRow)
    assert isinstance(rejected, DatasetRow)
    assert turns(chosen) == [("user", "Sky?", False), ("assistant", "Blue", True)]
    assert turns(rejected) == [("user", "Sky?", False), ("assistant", "G", True)]
    assert (chosen.is_chosen, rejected.is_chosen) == (True, False)
    assert chosen.line == rejected.line == 1


def test_parquet_pads_turns_and_gives_the_same_rows(tmp_path: Path) -> None:
    record = {**LAYOUTS["UltraFeedback"], "chosen": [USER, {**BLUE, "note": "short"}]}
    pq.write_table(pa.Table.from_pylist([record]), tmp_path / "a.parquet")
    lines = found(written(tmp_path / "a.jsonl", record))
    assert [turns(row) for row in found(tmp_path / "a.parquet")] == [turns(row) for row in lines]


def test_earlier_replies_of_a_dialogue_are_not_scored(tmp_path: Path) -> None:
    talk = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Sky?\n\nAssistant: "
    chosen, _ = found(written(tmp_path / "a.jsonl", {"chosen": talk + "Blue", "rejected": talk + "G"}))
    assert isinstance(chosen, DatasetRow)
    assert [is_scored for *_, is_scored in turns(chosen)] == [False, False, False, True]


def test_texts_without_a_prompt_are_split_as_trl_does(tmp_path: Path) -> None:
    texts = {"chosen": "The sky is blue.", "rejected": "The sky is grey."}
    chosen, rejected = found(written(tmp_path / "a.jsonl", texts))
    assert isinstance(chosen, DatasetRow)
    assert isinstance(rejected, DatasetRow)
    split = {"prompt": chosen.example.prompt, "chosen": chosen.example.response, "rejected": rejected.example.response}
    assert split == extract_prompt(texts)
    assert chosen.notices == ("a prompt that is the common beginning of its two texts",)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"prompt": "q", "chosen": "a", "rejected": " "}, "empty side"),
        ({"prompt": "q", "chosen": None, "rejected": "a"}, "empty side"),
        ({"chosen": [USER], "rejected": [USER, GREEN]}, "empty side"),
        ({"chosen": "The sky", "rejected": "The sky is"}, "empty side"),
        ({"prompt": "q", "chosen": "a", "rejected": "a"}, "equal sides"),
        ({"prompt": "q", "chosen": "a", "rejected": ["a"]}, "wrong type"),
        ({"chosen": [USER, BLUE], "rejected": [{**USER, "content": "Sea?"}, GREEN]}, "unequal prompts"),
        ({"chosen": [USER, BLUE], "rejected": [USER, BLUE, USER, GREEN]}, "unequal prompts"),
        ({"prompt": "Sea?", "chosen": [USER, BLUE], "rejected": [USER, GREEN]}, "unequal prompts"),
        ({"prompt": "", "chosen": "a", "rejected": "b"}, "empty prompt"),
        ({"prompt": "q", "chosen": "a"}, "missing field"),
    ],
)
def test_what_is_no_pair_is_rejected_with_its_reason(tmp_path: Path, record: object, reason: str) -> None:
    path = written(tmp_path / "a.jsonl", record)
    assert [(item.line, item.reason) for item in found(path, "preference") if isinstance(item, Rejected)] == [
        (1, reason)
    ]


def test_labelled_answers_are_paired_by_prompt_and_the_rest_is_counted(store: Store, tmp_path: Path) -> None:
    answers = [("q", "good", True), ("p", "alone", True), ("q", "bad", False), ("q", "worse", False)]
    records = [{"prompt": prompt, "completion": text, "label": label} for prompt, text, label in answers]
    path = written(tmp_path / "a.jsonl", *records, {"prompt": "q", "completion": "x", "label": "perhaps"})
    report = import_source(store, "d", path, SourceOptions(format="kto"))
    assert report.by_reason == {"no partner": 2, "wrong type": 1}
    assert report.notices == ("1 preference pair: two rows each, chosen and rejected.",)
    sql = "SELECT line, response FROM preference_pair JOIN dataset_row ON row_number IN (chosen_row, rejected_row) "
    assert store.rows(sql + "JOIN example USING (example_id) ORDER BY row_number") == [(1, "good"), (1, "bad")]


def test_pairs_stay_linked_when_datasets_are_merged_sampled_restored_and_purged(store: Store, tmp_path: Path) -> None:
    pairs = [{"prompt": f"q{i}", "chosen": "a", "rejected": "b"} for i in range(6)]
    import_source(store, "one", written(tmp_path / "one.jsonl", *pairs[:2]), AUTO)
    import_source(store, "two", written(tmp_path / "two.jsonl", *pairs[2:]), AUTO)

    def linked(dataset: str) -> list[tuple[str, str, str, str]]:
        """Prompt and response of both sides of every pair."""
        side = "(SELECT {} FROM dataset_row r JOIN example USING (example_id) WHERE r.dataset_id = p.dataset_id " + (
            "AND row_number = {})"
        )
        columns = ", ".join(
            side.format(c, row) for row in ("chosen_row", "rejected_row") for c in ("prompt", "response")
        )
        pairs = "preference_pair p JOIN dataset USING (dataset_id)"
        return store.rows(f"SELECT {columns} FROM {pairs} WHERE name = ? ORDER BY chosen_row", [dataset])

    expected = [(f"q{i}", "a", f"q{i}", "b") for i in range(6)]
    assert linked("one") == expected[:2]
    merged = merge_dataset(store, "two", "one")
    assert linked("one") == expected
    sample = linked(sample_dataset(store, "one", 3))
    assert len(sample) == 3
    assert set(sample) <= set(expected)
    restore_dataset(store, merged)
    assert (linked("one"), linked("two")) == (expected[:2], expected[2:])
    purge_dataset(store, merge_dataset(store, "two", "one"))
    store.remove_dataset("one")
    assert store.rows("SELECT DISTINCT name FROM preference_pair JOIN dataset USING (dataset_id)") == [("one-sample",)]
