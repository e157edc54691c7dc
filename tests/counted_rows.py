"""A store with twelve short rows of one domain, for tests to which any rows will do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.data.examples import DatasetRow
from core.store import Store
from tests.tiny_models import example


@contextmanager
def counted_rows(workspace: Path) -> Iterator[Store]:
    """The open store of a new workspace, with the dataset "counts"."""
    rows = [
        DatasetRow(number, "counts", example(("user", f"Count {number}"), ("assistant", "one two " * number)), b"{}")
        for number in range(1, 13)
    ]
    with Store.open(workspace, "a test") as opened:
        opened.add_source("counts", "counts", "jsonl", "counts", {}, rows)
        yield opened
