"""The quick way of reading plain records gives what the formats' own functions give, and is taken where it can be."""

import json
from itertools import product
from pathlib import Path

import pytest

from core.data.examples import DatasetRow
from core.importing import SourceOptions, read_blocks, read_examples
from core.importing.formats import FORMATS, format_named
from core.importing.plain_reader import PlainReader
from core.importing.source_options import DomainRule

_ABSENT = object()
_USER, _SAID = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
_SHARED = {"system": (_ABSENT, "be brief", "", None), "tools": (_ABSENT, "", [], [{"name": "f"}])}
_MARKS = {
    "system": (_ABSENT, "be brief"),
    "label": (_ABSENT, True, False, 0, "poem"),
    "weights": (_ABSENT, [0]),
    "image": (_ABSENT, "a.png", None),
}
_TURNS = (
    [_USER, _SAID],
    [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}],
    [{"role": "system", "content": "s"}, _USER, _SAID],
    [{"role": "system", "content": ""}, _USER, _SAID],
    [_USER, {"role": "assistant", "content": ""}, _USER, _SAID, _USER],
    [_SAID, _USER],
    [_USER, {"role": "tool", "content": "7"}, {"role": "model", "content": "a\n"}],
    [_USER, {**_SAID, "reasoning_content": "hm"}],
    [_USER, {**_SAID, "weight": 0}],
    [_USER, {"role": "assistant", "text": "a"}],
    [_USER, {"from": "function_call", "value": '{"name": "f", "arguments": {}}'}],
    [_USER, {"from": "function_call", "value": "f()"}],
    [_USER, {"role": "assistant", "content": "NaN"}],
    ["q", "a"],
    "Human: q\n\nAssistant: a",
    [],
)
_VALUES = {
    "messages": {"messages": _TURNS, **_MARKS},
    "sharegpt": {"conversations": _TURNS, **_SHARED, "system_prompt": (_ABSENT, "be kind", "", None)},
    "alpaca": {
        "instruction": ("q", "", None, 7),
        "input": (_ABSENT, "i", "", None, "NaN"),
        "context": (_ABSENT, "c"),
        "output": ("a", " ", "ü🦉\x00\x7f\u2028"),
        "history": (_ABSENT, [], [["q", "a"]]),
        "system": (_ABSENT, "s", ""),
    },
    "prompt-completion": {"prompt": ("q", "", [_USER]), "response": ("a", None, [_SAID]), **_SHARED},
    "question-answer": {
        "answer": ("a", "", 1),
        "context": (_ABSENT, "c", ""),
        "question": ("q", " "),
        "choices": (_ABSENT, ["x", "y"], []),
        "A": (_ABSENT, "x"),
        "B": (_ABSENT, "y"),
        "response": (_ABSENT, "r"),
        "system": (_ABSENT, "s"),
    },
    "text": {"text": ("### Human: q### Assistant: a", "prose", ""), "system": (_ABSENT, "s")},
    "tree": {"message_tree_id": ("1",), "prompt": ({"role": "prompter", "text": "q", "replies": [_SAID]}, "q", None)},
    "tree-messages": {"message_id": ("1",), "parent_id": (None, "0"), "role": ("prompter",), "text": ("q",)},
    "preference": {"prompt": (_ABSENT, "q", [_USER]), "chosen": ("ab", [_SAID], None), "rejected": ("ac", "", [_USER])},
    "kto": {"prompt": ("q", "p"), "completion": ("a", "b"), "label": (True, False, None)},
}
_QUICK = ("messages", "sharegpt", "alpaca", "prompt-completion", "question-answer")
_ALSO = ({"query": "q", "response": "a"}, {"inputs": "q", "targets": "a"}, {"problem": "q", "solution": "a"})


def records(name: str) -> list[bytes]:
    """Every combination of the values of a format's fields, one a line."""
    names = list(_VALUES[name])
    found = [dict(zip(names, values, strict=True)) for values in product(*_VALUES[name].values())]
    return [json.dumps({k: v for k, v in fields.items() if v is not _ABSENT}).encode() for fields in found]


@pytest.mark.parametrize("name", [item.name for item in FORMATS])
def test_every_combination_of_fields_reads_the_same_both_ways(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(records(name)))
    options = SourceOptions(format=name)
    one_by_one = list(read_examples(path, options))
    (block,) = read_blocks(path, options)
    rows = [record for record in one_by_one if isinstance(record, DatasetRow)]
    columns = ("line", "domain", "original", "conversation", "prompt", "response")
    assert [tuple(row[column] for column in columns) for row in block.rows.to_pylist()] == [
        (row.line, row.domain, row.original, row.example.to_json(), row.example.prompt, row.example.response)
        for row in rows
    ]
    assert block.rows["example_id"].to_pylist() == [row.example.example_id for row in rows]
    assert list(block.rejected) == [record for record in one_by_one if not isinstance(record, DatasetRow)]
    first = [row.example.example_id not in {r.example.example_id for r in rows[:i]} for i, row in enumerate(rows)]
    assert block.rows["is_first"].to_pylist() == first


@pytest.mark.parametrize("name", _QUICK)
def test_the_common_record_of_every_format_takes_the_quick_way(name: str) -> None:
    reader = PlainReader(format_named(name), SourceOptions(), DomainRule("d"))
    assert reader.read(records(name)[0])
    assert not reader.read(records(name)[0][:-1])


@pytest.mark.parametrize("fields", _ALSO, ids=str)
def test_the_other_names_of_fields_take_the_quick_way_too(tmp_path: Path, fields: dict[str, str]) -> None:
    line = json.dumps(fields).encode()
    found = PlainReader(format_named("prompt-completion"), SourceOptions(), DomainRule("d")).read(line)
    (tmp_path / "a.jsonl").write_bytes(line)
    (row,) = read_examples(tmp_path / "a.jsonl", SourceOptions())
    assert isinstance(row, DatasetRow)
    assert found
    assert found.conversation == row.example.to_json().encode()
    assert (found.prompt, found.response) == ("q", "a")
