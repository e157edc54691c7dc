"""Files and folders are there whole or not at all; what must survive a crash is flushed before and after its rename."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.system.atomic_files import (
    linked_durably,
    published_folder,
    replaced_durably,
    write_durably,
    write_whole,
)
from core.system.durable_file import DurableFile
from tests.faults import failing_disk


def test_a_write_that_fails_halfway_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = write_durably(tmp_path / "losses", [b"old"])

    def parts() -> Iterator[bytes]:
        yield b"new, but only"
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        write_durably(path, parts())
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("losses", b"old")]


def replace_by_name(path: Path) -> None:
    with replaced_durably(path) as temporary:
        temporary.write_bytes(b"new")


def replace_in_parts(path: Path) -> None:
    with DurableFile(path) as file:
        file.write(b"new")
        file.finish()
        file.replace()


WRITERS: dict[str, Callable[[Path], object]] = {
    "write_durably": lambda path: write_durably(path, [b"n", b"ew"]),
    "replaced_durably": replace_by_name,
    "DurableFile": replace_in_parts,
}
POINTS = {"write_durably": 5, "replaced_durably": 5, "DurableFile": 4}
"""The file opened, flushed, renamed, its folder flushed; before that the folder looked for or made by write_durably,
and the file opened again by whoever writes it by name."""


@pytest.mark.parametrize("name", WRITERS)
def test_a_durable_file_is_flushed_renamed_and_its_folder_flushed(name: str, tmp_path: Path) -> None:
    path = tmp_path / "losses"
    with failing_disk(tmp_path) as disk:
        WRITERS[name](path)
    assert disk.points == POINTS[name]
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("back", [1, 2, 3, 4])
def test_wherever_a_durable_write_fails_the_file_is_the_old_or_the_new_one_alone(
    name: str, back: int, tmp_path: Path
) -> None:
    path = tmp_path / "losses"
    path.write_bytes(b"old")
    with failing_disk(tmp_path, POINTS[name] + 1 - back), pytest.raises(OSError, match="No space left"):
        WRITERS[name](path)
    # Only the flush of the folder comes after the rename.
    expected = b"new" if back == 1 else b"old"
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("losses", expected)]


def test_a_file_that_has_the_second_name_already_is_left_with_these_two_names_alone(tmp_path: Path) -> None:
    source, second = write_durably(tmp_path / "losses", [b"new"]), tmp_path / "second"
    write_durably(second, [b"old"])
    for _ in range(2):
        linked_durably(source, second)
        assert second.samefile(source)
        assert sorted(entry.name for entry in tmp_path.iterdir()) == ["losses", "second"]


def test_a_file_that_is_soon_replaced_is_whole_but_not_flushed(tmp_path: Path) -> None:
    with failing_disk(tmp_path) as disk:
        write_whole(tmp_path / "progress.json", [b"half", b" way"])
    assert disk.points == 2  # opened and renamed
    assert [entry.name for entry in tmp_path.iterdir()] == ["progress.json"]


def publish(folder: Path) -> None:
    with published_folder(folder) as temporary:
        (temporary / "data").write_bytes(b"new")


@pytest.mark.parametrize("point", range(1, 8))
def test_a_folder_that_cannot_be_published_leaves_the_one_that_was_there(point: int, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "data").write_bytes(b"old")
    with failing_disk(tmp_path, point), pytest.raises(OSError, match="No space left"):
        publish(folder)
    # The folder made, its file opened, both flushed, the old one moved aside, the new one named; then their folder
    # flushed.
    assert (folder / "data").read_bytes() == (b"old" if point < 7 else b"new")
    assert not list(tmp_path.glob("*.tmp"))


def test_a_published_folder_takes_the_place_of_another_and_is_flushed(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    publish(folder)
    with failing_disk(tmp_path) as disk:
        publish(folder)
    assert disk.points == 7
    assert [(path.name, [part.name for part in path.iterdir()]) for path in tmp_path.iterdir()] == [
        ("bundle", ["data"])
    ]
