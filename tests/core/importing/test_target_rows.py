"""Reading a target set: which rows are wanted, and which subtasks they are."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.data.errors import SelectionInvalid, SourceUnreadable
from core.importing import DataFile, SourceOptions
from core.importing.row_reading import read_examples
from core.importing.source_options import DomainRule
from core.importing.target_rows import read_target, target_of_files


def lines(*records: dict[str, str]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def replies(path: Path, options: SourceOptions | None = None) -> list[str]:
    target = read_target(str(path), options or SourceOptions())
    return sorted(example.messages[-1].content for example in target.examples)


def test_rejected_answers_of_pairs_are_not_wanted(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    pairs = [{"prompt": f"Say {n}.", "chosen": f"good {n}", "rejected": f"bad {n}"} for n in range(3)]
    path.write_text(lines(*pairs))
    assert replies(path) == ["good 0", "good 1", "good 2"]
    assert read_target(str(path), SourceOptions()).rejected == {"rejected answer of a preference pair": 3}


def test_several_files_are_one_subtask_unless_a_field_names_them(tmp_path: Path) -> None:
    rows = [{"prompt": f"Say {n}.", "completion": f"so {n}", "subject": "ab"[n % 2]} for n in range(4)]
    with zipfile.ZipFile(tmp_path / "target.zip", "w") as packed:
        for part in range(2):
            packed.writestr(f"part-{part}.jsonl", lines(*rows[2 * part : 2 * part + 2]))
    path = str(tmp_path / "target.zip")
    assert set(read_target(path, SourceOptions()).domains) == {"target"}
    by_field = read_target(path, SourceOptions(domain=DomainRule(field="subject")))
    assert sorted(by_field.domains) == ["a", "a", "b", "b"]
    with pytest.raises(SourceUnreadable, match=r"have no field 'subjct' for the domain"):
        read_target(path, SourceOptions(domain=DomainRule(field="subjct")))


def test_a_file_with_too_many_unique_rows_is_not_read_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "target.jsonl", []

    def counted(*given: Any) -> Iterator[Any]:
        for row in read_examples(*given):
            seen.append(row)
            yield row

    monkeypatch.setattr("core.importing.target_rows.read_examples", counted)
    path.write_text(lines(*({"prompt": f"Say {n // 2}.", "completion": "so"} for n in range(20))))
    file = DataFile(path, "target.jsonl")
    with pytest.raises(SelectionInvalid, match=r"target\.jsonl has more than 3 unique rows"):
        target_of_files([file], file.name, SourceOptions(), 3)
    assert len(seen) == 7
    assert len(target_of_files([file], file.name, SourceOptions(), 10).examples) == 10


def test_the_order_of_a_file_means_nothing(tmp_path: Path) -> None:
    rows = [{"prompt": f"Say {n}.", "completion": f"so {n}"} for n in range(5)]
    found = []
    for name, given in (("one", rows), ("other", rows[::-1])):
        (tmp_path / f"{name}.jsonl").write_text(lines(*given))
        found.append(read_target(str(tmp_path / f"{name}.jsonl"), SourceOptions()).examples)
    assert found[0] == found[1]
