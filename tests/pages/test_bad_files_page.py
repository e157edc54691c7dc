"""The Data page says what is wrong with a bad file in its own words, and lives on."""

import re
from collections import Counter
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.importing.records import REASONS
from tests.core.bad_input_cases import FILES, LINES, LONGEST_LINE, MOST_UNPACKED, File
from tests.pages.test_data_page import PAGE, button, from_path, press_import, text_of

_SHOWN = (
    "UTF-16 with its mark",
    "a Git LFS pointer",
    "only what is no JSON",
    "preference pairs of equal sides",
    "gzip cut off in the middle",
    "a Zstandard bomb of lines",
    "one name twice",
    "64 levels in a row",
)
REFUSED = [file for file in FILES if file.about in _SHOWN]


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOBASS_MAX_LINE_BYTES", str(LONGEST_LINE))
    monkeypatch.setenv("LOBASS_MAX_UNPACKED_BYTES", str(MOST_UNPACKED))


@pytest.mark.parametrize("file", REFUSED, ids=[file.about for file in REFUSED])
def test_a_refused_file_is_a_sentence_on_the_page(page_workspace: Path, tmp_path: Path, file: File) -> None:
    path = tmp_path / file.name
    path.write_bytes(file.bytes())
    page = from_path(AppTest.from_file(str(PAGE), default_timeout=60).run(), path)
    if not page.error:
        page = press_import(page)
    assert not page.exception
    assert len(page.error) == 1
    assert re.search(file.refused, text_of(page))
    assert button(page.run(), "Run the demo")


def test_every_bad_line_is_counted_on_the_page(page_workspace: Path, tmp_path: Path) -> None:
    lines = [line for _, line, outcome in LINES if isinstance(outcome, str) and outcome in REASONS]
    counts = Counter(outcome for _, _, outcome in LINES if outcome in list(REASONS))
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b'{"question":"q","answer":"a"}\n' * 60 + b"\n".join(lines))
    page = press_import(from_path(AppTest.from_file(str(PAGE), default_timeout=60).run(), path))
    assert not page.exception
    assert not page.error
    said = text_of(page)
    assert f"bad.jsonl: 60 rows added to bad, {len(lines)} records skipped" in said
    for reason, count in counts.items():
        meaning = REASONS[str(reason)].replace("\\", "")  # as text_of gives what is shown
        assert f"{count} skipped, reason {reason!r}: {meaning}" in said
