"""The quick way of reading plain records gives what the formats' own functions give, and is taken where it can be."""

import json
from itertools import product
from pathlib import Path

import pytest

from core.examples import DatasetRow
from core.importing import SourceOptions, read_blocks, read_examples
from core.importing.formats import FORMATS, format_named
from core.importing.plain_records import PlainReader
from core.importing.source_options import DomainRule

_ABSENT = object()
_USER, _SAID = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
_SHARED = {"system": (_ABSENT, "be brief", "", None), "tools": (_ABSENT, "", [], [{"name": "f"}])}
_TURNS = (
    [_USER, _SAID],
    [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}],
    [{"role": "system", "content": "s"}, _USER, _SAID],
    [{"role": "system", "content": ""}, _USER, _SAID],
    [_USER, {"role": "assistant", "content": ""}, _USER, _SAID, _USER],
    [_SAID, _USER],
    [_USER, {"role": "tool", "content": "7"}, {"role": "model", "content": "a\n"}],
    [_USER, {**_SAID, "reasoning_content": "hm"}],
    [],
)
_VALUES = {
    "messages": {"messages": _TURNS, **_SHARED},
    "sharegpt": {"conversations": _TURNS, **_SHARED},
    "alpaca": {
        "instruction": ("q", "", None, 7),
        "input": (_ABSENT, "i", "", None),
        "context": (_ABSENT, "c"),
        "output": ("a", " ", "ü🦉\x00\x7f\u2028"),
        "history": (_ABSENT, [], [["q", "a"]]),
        "system": (_ABSENT, "s", ""),
    },
    "prompt-completion": {"prompt": ("q", "", [_USER]), "response": ("a", None, [_SAID]), **_SHARED},
    "question-answer": {"answer": ("a", ""), "context": (_ABSENT, "c", ""), "question": ("q", " ", ""), **_SHARED},
}


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


@pytest.mark.parametrize("name", [item.name for item in FORMATS])
def test_the_common_record_of_every_format_takes_the_quick_way(name: str) -> None:
    reader = PlainReader(format_named(name), SourceOptions(), DomainRule("d"))
    assert reader.read(records(name)[0])
    assert not reader.read(records(name)[0][:-1])
