"""The record: one id a conversation, whatever format it came in, and text for reading."""

import json
from pathlib import Path
from uuid import UUID

import pytest

from core.data.examples import DatasetRow, Example, Message
from core.importing import read_examples
from core.importing.source_options import SourceOptions

HELLO = Example((Message("user", "Hi"), Message("assistant", "Hello 🎉")))


def test_an_id_is_the_same_today_as_when_losses_were_cached_by_it() -> None:
    # Computed once from 16 bytes of BLAKE2b over {"messages":[["user","Hi"],["assistant","Hello 🎉"]],"tools":""}.
    assert HELLO.to_json() == '{"messages":[["user","Hi"],["assistant","Hello 🎉"]],"tools":""}'
    assert HELLO.example_id == UUID("ff54d6b6-c2d9-0aeb-e5aa-96d77fcf41aa")


@pytest.mark.parametrize(
    "other",
    [
        Example((Message("user", "Hi "), Message("assistant", "Hello 🎉"))),
        Example((Message("user", "H"), Message("assistant", "iHello 🎉"))),
        Example((Message("system", "Hi"), Message("assistant", "Hello 🎉"))),
        Example((Message("assistant", "Hello 🎉"), Message("user", "Hi"))),
        Example((Message("user", "Hi"), Message("assistant", "Hello 🎉")), tools="[]"),
        Example((Message("user", "Hi"), Message("user", ""), Message("assistant", "Hello 🎉"))),
    ],
)
def test_any_change_of_the_conversation_gives_another_id(other: Example) -> None:
    assert other.example_id != HELLO.example_id


def test_line_domain_and_original_are_not_in_the_id() -> None:
    rows = [DatasetRow(1, "chat", HELLO, b"{}"), DatasetRow(9, "math", HELLO, b'{"a": 1}')]
    assert rows[0].example.example_id == rows[1].example.example_id


def test_equal_conversations_share_one_id_whatever_format_they_came_in(tmp_path: Path) -> None:
    records = [
        {"instruction": "Name a river.", "input": "", "output": "Thames"},
        {"conversations": [{"from": "human", "value": "Name a river."}, {"from": "gpt", "value": "Thames"}]},
        {"messages": [{"role": "user", "content": "Name a river."}, {"role": "assistant", "content": "Thames"}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Name a river."}]},
                {"role": "assistant", "content": "Thames"},
            ]
        },
        {"prompt": "Name a river.", "completion": "Thames"},
        {"question": "Name a river.", "answer": "Thames"},
    ]
    ids = set()
    for number, record in enumerate(records):
        path = tmp_path / f"{number}.jsonl"
        path.write_text(json.dumps(record), encoding="utf-8")
        (row,) = read_examples(path, SourceOptions())
        assert isinstance(row, DatasetRow), row
        ids.add(row.example.example_id)
    assert len(ids) == 1


@pytest.mark.parametrize(
    "example",
    [HELLO, Example((Message("assistant", '"\\\n\u2028\0'),), '[{"name": "雷"}]'), Example((Message("tool", ""),))],
)
def test_canonical_json_reads_back_as_the_same_example(example: Example) -> None:
    assert Example.from_json(example.to_json()) == example
    assert "\n" not in example.to_json()


def test_prompt_and_response_part_at_the_last_assistant_turn() -> None:
    turns = [("system", "S"), ("user", "U"), ("assistant", "A"), ("user", "V"), ("assistant", "B"), ("user", "W")]
    example = Example(tuple(Message(role, content) for role, content in turns))
    assert example.prompt == "S\n\nU\n\nA\n\nV"
    assert example.response == "B"
