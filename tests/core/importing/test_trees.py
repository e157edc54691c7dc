"""Trees of messages become one conversation each, along the replies that people ranked best."""

import json
from pathlib import Path
from typing import Any

from core.data.examples import DatasetRow, Rejected
from core.importing import SourceOptions, read_examples


def message(identity: str, parent: str | None, role: str, text: str, **more: Any) -> dict[str, Any]:
    return {"message_id": identity, "parent_id": parent, "role": role, "text": text, **more}


FLAT = [
    message("a", None, "prompter", "Why?", lang="en"),
    message("a1", "a", "assistant", "Worse.", rank=1),
    message("b", None, "prompter", "How?", lang="de"),
    message("a2", "a", "assistant", "Better.", rank=0),
    message("a2x", "a2", "prompter", "More?", rank=None),
    message("a2y", "a2x", "assistant", "Removed.", deleted=True),
    message("a2z", "a2x", "assistant", "Most."),
    message("b1", "b", "assistant", "So."),
]
SAID = [["Why?", "Better.", "More?", "Most."], ["How?", "So."]]


def nested(parent: str | None) -> list[dict[str, Any]]:
    return [{**m, "replies": nested(m["message_id"])} for m in FLAT if m["parent_id"] == parent]


def read(path: Path, records: list[Any]) -> list[DatasetRow | Rejected]:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return list(read_examples(path, SourceOptions()))


def contents(rows: list[DatasetRow | Rejected]) -> list[list[str]]:
    return [[m.content for m in row.example.messages] for row in rows if isinstance(row, DatasetRow)]


def test_a_tree_is_read_along_its_best_replies_flat_or_nested(tmp_path: Path) -> None:
    trees = [{"message_tree_id": root["message_id"], "prompt": root} for root in nested(None)]
    for name, records in (("flat", FLAT), ("trees", trees)):
        rows = read(tmp_path / f"{name}.jsonl", records)
        assert contents(rows) == SAID, name
        notices = [row.notices for row in rows if isinstance(row, DatasetRow)]
        assert notices == [("a tree with several replies to one message, only the best-ranked is used",), ()]


def test_a_tree_of_flat_messages_keeps_its_roots_place_and_all_its_messages(tmp_path: Path) -> None:
    rows = [row for row in read(tmp_path / "a.jsonl", FLAT) if isinstance(row, DatasetRow)]
    assert [row.line for row in rows] == [1, 3]
    assert all(text in rows[0].original.decode() for text in ("Worse.", "Better.", "Most."))
    again = read(tmp_path / "again.jsonl", [json.loads(row.original) for row in rows])
    assert contents(again) == SAID


def test_a_message_without_its_parent_or_twice_is_rejected(tmp_path: Path) -> None:
    rows = read(tmp_path / "a.jsonl", [*FLAT[2:3], FLAT[-1], message("z", "y", "assistant", "Lost."), FLAT[-1]])
    assert contents(rows) == SAID[1:]
    rejected = [(row.line, row.reason, row.detail) for row in rows if isinstance(row, Rejected)]
    assert sorted(rejected) == [
        (3, "missing field", "the file has no root above parent y"),
        (4, "missing field", "a second message b1"),
    ]


def test_messages_that_are_each_others_parents_end_in_no_loop(tmp_path: Path) -> None:
    circle = [message("p", "q", "prompter", "?"), message("q", "p", "assistant", "!")]
    rows = read(tmp_path / "a.jsonl", [*circle, FLAT[2], FLAT[-1]])
    assert contents(rows) == SAID[1:]
    assert [row.line for row in rows if isinstance(row, Rejected)] == [1, 2]
