"""Files of a job's folder travel in pieces and arrive whole, in the order in which they were written."""

import os
from pathlib import Path

import pytest

from core.data.errors import JobFailed
from core.workspace.cluster import job_files
from core.workspace.cluster.job_files import FolderChanges, Piece, put_piece


def written(path: Path, text: str, seconds: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (seconds, seconds))


def test_what_is_written_changed_and_removed_arrives_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_files, "_PIECE_BYTES", 4)
    here, there = tmp_path / "here", tmp_path / "there"
    written(here / "model" / "weights", "0123456789", 20)
    written(here / "curve", "abcd", 10)
    written(here / "complete", "", 30)
    for left in ("worker.lock", "leases/one", "model.tmp/weights", ".hidden"):
        written(here / left, "stays", 5)
    changes = FolderChanges(here)
    pieces = list(changes.take())
    assert [(piece.name, piece.data, piece.ends) for piece in pieces] == [
        ("curve", b"abcd", True),
        ("model/weights", b"0123", False),
        ("model/weights", b"4567", False),
        ("model/weights", b"89", True),
        ("complete", b"", True),
    ]
    for piece in pieces[:3]:
        put_piece(there, piece)
    assert not (there / "model" / "weights").exists()  # not whole yet
    for piece in pieces[3:]:
        put_piece(there, piece)
    assert (there / "model" / "weights").read_text() == "0123456789"
    assert list(changes.take()) == []
    written(here / "curve", "abcdef", 40)
    (here / "complete").unlink()
    for piece in changes.take():
        put_piece(there, piece)
    assert sorted(path.name for path in there.rglob("*")) == ["curve", "model", "weights"]
    assert (there / "curve").read_text() == "abcdef"


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "model/../../outside"])
def test_a_file_outside_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(JobFailed, match="outside the job's folder"):
        put_piece(tmp_path / "job", Piece(name, b"text"))
