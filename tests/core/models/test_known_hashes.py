"""Kept hashes: a file is read once, and again whenever it may have changed."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from core.models import known_hashes
from core.models.known_hashes import FILE, content_hash, use_workspace_of
from core.system.workspace_files import LOCK

LONG_AGO = 1_000_000_000


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"a" * 2**21)
    return path


def settled(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the file had lain there for a while: ctime cannot be set back, so the clock goes on."""
    os.utime(path, (LONG_AGO, LONG_AGO))
    later = path.stat().st_ctime + 60
    monkeypatch.setattr("core.models.known_hashes.time.time", lambda: later)


def spoil(workspace: Path) -> None:
    """Give every kept hash another value, so that it shows when one is used."""
    fields = json.loads((workspace / FILE).read_text())
    (workspace / FILE).write_text(json.dumps({key: [*entry[:-1], "00" * 32] for key, entry in fields.items()}))


def true_hash(path: Path) -> bytes:
    return hashlib.blake2b(path.read_bytes(), digest_size=32).digest()


def test_an_unchanged_file_is_hashed_once(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settled(weights, monkeypatch)
    assert content_hash(weights, tmp_path) == true_hash(weights)
    spoil(tmp_path)
    assert content_hash(weights, tmp_path) == bytes(32)


def test_a_changed_file_of_the_same_size_and_mtime_is_hashed_again(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled(weights, monkeypatch)
    content_hash(weights, tmp_path)
    with open(weights, "r+b") as file:
        file.write(b"b")
    os.utime(weights, (LONG_AGO, LONG_AGO))
    assert content_hash(weights, tmp_path) == true_hash(weights)


def test_a_file_that_has_only_just_been_written_is_not_kept(weights: Path, tmp_path: Path) -> None:
    assert content_hash(weights, tmp_path) == true_hash(weights)
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize("content", ["{", "[1]", '{"/x": 1}', "\0"])
def test_a_damaged_record_only_costs_hashing_again(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    settled(weights, monkeypatch)
    (tmp_path / FILE).write_text(content)
    assert content_hash(weights, tmp_path) == true_hash(weights)
    assert str(weights) in json.loads((tmp_path / FILE).read_text())


def test_a_worker_looks_hashes_up_in_the_workspace_of_its_job_and_writes_into_no_other_folder(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled(weights, monkeypatch)
    monkeypatch.setattr(known_hashes, "_workers_workspace", None)
    workspace, elsewhere = tmp_path / "workspace", tmp_path / "elsewhere"
    for folder in (workspace, elsewhere):
        (folder / "jobs" / "one").mkdir(parents=True)
    (workspace / LOCK).touch()
    content_hash(weights, workspace)
    spoil(workspace)
    use_workspace_of(workspace / "jobs" / "one")
    assert content_hash(weights) == bytes(32)
    use_workspace_of(elsewhere / "jobs" / "one")
    assert content_hash(weights) == true_hash(weights)
    assert not (elsewhere / FILE).exists()


def test_a_process_without_a_workspace_reads_an_unchanged_file_once(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled(weights, monkeypatch)
    read: list[Path] = []
    hashed = known_hashes._hashed
    monkeypatch.setattr(known_hashes, "_hashed", lambda path: read.append(path) or hashed(path))
    assert content_hash(weights) == content_hash(weights) == true_hash(weights)
    assert len(read) == 1
    with open(weights, "r+b") as file:
        file.write(b"b")
    assert content_hash(weights) == true_hash(weights)
