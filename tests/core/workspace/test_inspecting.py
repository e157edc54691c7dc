"""What `encode` writes, and how much it reads for it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from core.data.examples import DatasetRow, Example, Message
from core.scoring.planning import ScoreRequest
from core.store import Store
from core.workspace.inspecting import write_encoded
from tests.tiny_models import save_model_folder


@pytest.mark.parametrize(("wanted", "expected"), [(5, 5), (None, 12), (100, 12)])
def test_encode_reads_no_row_that_it_does_not_write(
    wanted: int | None, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = save_model_folder(tmp_path / "base")
    rows = [
        DatasetRow(line, "all", Example((Message("user", f"{line}?"), Message("assistant", f"{line}!"))), b"{}")
        for line in range(1, 13)
    ]
    batches, read = Store.batches, []

    def counted(*given: Any, **named: Any) -> Iterator[pa.RecordBatch]:
        for batch in batches(*given, **named):
            read.append(batch.num_rows)
            yield batch

    monkeypatch.setattr(Store, "batches", counted)
    output = tmp_path / "encoded.jsonl"
    with Store.open(tmp_path / "workspace", "a test") as store:
        store.add_source("many", "many.jsonl", "jsonl", "sha256", {}, rows)
        assert write_encoded(store, ScoreRequest("many", str(base), ""), wanted, output) == expected
    assert sum(read) == expected
    lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [line["example_id"] for line in lines] == [str(row.example.example_id) for row in rows[:expected]]
