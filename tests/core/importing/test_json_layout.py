"""Records are found wherever a JSON file has them: under a key, in a split, by column, or as lists of turns."""

import json
from pathlib import Path
from typing import Any

import pytest

from core.data.errors import SourceUnreadable
from core.data.examples import DatasetRow
from core.importing import SourceOptions, detect_format, read_examples

ONE, TWO = {"question": "Sun?", "answer": "Yes"}, {"question": "Rain?", "answer": "No"}
TALK = [{"from": "human", "value": "Sun?"}, {"from": "gpt", "value": "Yes"}]


def answers(path: Path, split: str | None = None) -> list[str]:
    rows = list(read_examples(path, SourceOptions(split=split)))
    assert all(isinstance(row, DatasetRow) for row in rows), rows
    assert all(isinstance(json.loads(row.original), dict) for row in rows if isinstance(row, DatasetRow))
    return [row.example.response for row in rows if isinstance(row, DatasetRow)]


def written(folder: Path, value: Any, indent: int | None = None) -> Path:
    (folder / "a.json").write_text(json.dumps(value, indent=indent) + "\n")
    return folder / "a.json"


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"data": [ONE, TWO]}, ["Yes", "No"]),
        ({"version": "1", "about": {"by": "me"}, "examples": [ONE, TWO]}, ["Yes", "No"]),
        ({"train": [ONE], "test": [TWO]}, ["Yes"]),
        ({"test": [TWO], "training": [ONE]}, ["Yes"]),
        ({"features": [], "rows": [{"row_idx": 0, "row": ONE}, {"row_idx": 1, "row": TWO}]}, ["Yes", "No"]),
        ({"question": ["Sun?", "Rain?"], "answer": ["Yes", "No"]}, ["Yes", "No"]),
        ({"question": {"0": "Sun?", "1": "Rain?"}, "answer": {"0": "Yes", "1": "No"}}, ["Yes", "No"]),
        ({"columns": ["question", "answer"], "index": [0], "data": [["Sun?", "Yes"]]}, ["Yes"]),
        ({"first": ONE, "second": TWO}, ["Yes", "No"]),
        ([TALK, TALK], ["Yes", "Yes"]),
        ({"conversations": TALK}, ["Yes"]),
        ({"conversations": [TALK, TALK]}, ["Yes", "Yes"]),
        ({"id": "x", "conversations": ["Sun?", "Yes"]}, ["Yes"]),
        ({"prompt": TALK[:1], "completion": TALK[1:]}, ["Yes"]),
        (ONE, ["Yes"]),
    ],
)
def test_the_records_of_every_layout_are_read(tmp_path: Path, value: Any, expected: list[str], indent: int) -> None:
    assert answers(written(tmp_path, value, indent)) == expected


def test_records_under_a_key_of_a_large_file_are_read(tmp_path: Path) -> None:
    rows = [{"question": "x" * 1000, "answer": str(i)} for i in range(3000)]
    path = written(tmp_path, {"test": rows[:2000], "train": rows})
    assert answers(path)[-1] == "2999"
    assert detect_format(path).note == "Of its splits only the one for training is read."
    assert answers(path, "test")[-1] == "1999"
    with pytest.raises(SourceUnreadable, match=r"no split 'dev'\. It has: test, train"):
        answers(path, "dev")


def test_a_list_of_turns_on_a_line_is_a_conversation(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(TALK) + "\n" + json.dumps(TALK) + "\n")
    assert answers(tmp_path / "a.jsonl") == ["Yes", "Yes"]


def test_which_split_is_read_is_said_and_another_can_be_named(tmp_path: Path) -> None:
    path = written(tmp_path, {"train": [ONE], "test": [TWO]})
    assert detect_format(path).note == "Of its splits train, test, train is read."
    assert answers(path, "test") == ["No"]
    with pytest.raises(SourceUnreadable, match=r"no split 'dev'\. It has: train, test"):
        answers(path, "dev")
    with pytest.raises(SourceUnreadable, match=r"no single training split\. It has: test, dev"):
        answers(written(tmp_path, {"test": [ONE], "dev": [TWO]}))
    with pytest.raises(SourceUnreadable, match="has no splits"):
        answers(written(tmp_path, [ONE]), "test")


def test_a_file_that_is_cut_off_says_so(tmp_path: Path) -> None:
    text = json.dumps({"data": [ONE, TWO]})
    (tmp_path / "a.json").write_text(text[:-20])
    *rows, last = read_examples(tmp_path / "a.json", SourceOptions())
    assert len(rows) >= 1
    assert not isinstance(last, DatasetRow)
