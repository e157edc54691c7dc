"""Two writers of one file, and writers that are killed between two renames: what is there is whole and of one."""

import contextlib
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from core.exporting import export_controls, export_selection
from core.exporting.exporter import publish
from core.exporting.manifest import manifest_path
from core.selection import Amount, Selection
from core.store import Store
from core.system.atomic_files import published_folder, put_back_folders, replaced_durably, temporary_path, write_durably
from core.system.durable_file import DurableFile
from core.workspace.maintenance.checking import check_workspace
from tests.command_line import ROOT

KILLED_BETWEEN_RENAMES = """
import os, signal, sys
renames = 0
def listen(event, arguments):
    global renames
    if event == "os.rename":
        renames += 1
        if renames == AT:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(listen)
"""


def killed_at_rename(at: int, program: str, *arguments: object) -> None:
    """Run a program that is killed just before its rename number `at`."""
    code = KILLED_BETWEEN_RENAMES.replace("AT", str(at)) + program
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL


def test_two_writers_of_one_path_in_one_process_have_files_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    with DurableFile(path) as one, DurableFile(path) as other:
        for _ in range(3):
            one.write(b"one" * 1000)
            other.write(b"other" * 999)
        one.finish()
        other.finish()
        other.replace()
        assert hashlib.sha256(path.read_bytes()).hexdigest() == other.sha256
        one.replace()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == one.sha256
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    with replaced_durably(path) as mine, replaced_durably(path) as yours:
        assert mine != yours


def test_a_temporary_file_of_another_is_never_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the names met: the file is opened only if it is new."""
    taken = tmp_path / ".taken"
    taken.symlink_to(tmp_path / "victim")
    monkeypatch.setattr("core.system.atomic_files.temporary_path", lambda path: taken)
    monkeypatch.setattr("core.system.durable_file.temporary_path", lambda path: taken)
    with pytest.raises(FileExistsError):
        write_durably(tmp_path / "file", [b"new"])
    with pytest.raises(FileExistsError):
        DurableFile(tmp_path / "file")
    assert not (tmp_path / "victim").exists()


def test_of_two_exports_published_at_the_same_time_data_and_manifest_are_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept.jsonl"
    both = threading.Barrier(2, timeout=1.0)
    replace = DurableFile.replace

    def at_the_same_time(file: DurableFile) -> None:
        replace(file)
        if file.path == path:
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait()  # without a lock both are here at once

    monkeypatch.setattr(DurableFile, "replace", at_the_same_time)
    order: list[bytes] = []

    def export(content: bytes) -> None:
        with DurableFile(path) as file, DurableFile(manifest_path(path)) as beside:
            file.write(content)
            file.finish()
            publish(file, beside, {"sha256": file.sha256})
            order.append(content)

    threads = [threading.Thread(target=export, args=(content,)) for content in (b"one", b"other")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(order) == 2
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert json.loads(manifest_path(path).read_text(encoding="utf-8")) == {"sha256": digest}


def test_two_controls_of_one_path_are_of_one_export(scored_store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "kept.jsonl.controls"
    few, more = (Selection("planets", amount=Amount("rows", rows)) for rows in (4, 8))
    threads = [
        threading.Thread(target=export_controls, args=(scored_store, recipe, folder), kwargs={"seeds": 2})
        for recipe in (few, more) * 2
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    index = json.loads((folder / "controls.json").read_text(encoding="utf-8"))
    for control in index["controls"]:
        if control["file"]:
            assert hashlib.sha256((folder / control["file"]).read_bytes()).hexdigest() == control["sha256"]


def test_a_manifests_name_is_no_exports(scored_store: Store, tmp_path: Path) -> None:
    recipe = Selection("planets", amount=Amount("rows", 4))
    export_selection(scored_store, recipe, tmp_path / "a.jsonl")
    before = (tmp_path / "a.jsonl.manifest.json").read_bytes()
    with pytest.raises(Exception, match="is the name of an export's manifest"):
        export_selection(scored_store, recipe, tmp_path / "a.jsonl.manifest.json")
    assert (tmp_path / "a.jsonl.manifest.json").read_bytes() == before


def test_check_finds_what_a_killed_writer_left(scored_store: Store) -> None:
    exports = scored_store.workspace / "exports"
    exports.mkdir()
    program = """
from pathlib import Path
from core.system.durable_file import DurableFile
with DurableFile(Path(sys.argv[1])) as file:
    file.finish()
    file.replace()
"""
    killed_at_rename(1, program, exports / "kept.jsonl")
    (left,) = exports.iterdir()
    temporary_path(exports / "mine.jsonl").touch()  # of this process, which runs
    sentences = [finding.sentence for finding in check_workspace(scored_store, lambda _: None)]
    assert sentences == [f"{left} is left from an interrupted write. It can be removed."]


PUBLISH = """
from pathlib import Path
from core.system.atomic_files import published_folder
with published_folder(Path(sys.argv[1])) as folder:
    (folder / "data").write_text("new")
"""


@pytest.mark.parametrize("next_step", ["opening the workspace", "writing it again", "putting back"])
def test_a_folder_whose_writer_was_killed_between_two_renames_is_there_again(next_step: str, tmp_path: Path) -> None:
    folder = tmp_path / "workspace" / "exports" / "a [bundle].5"
    folder.mkdir(parents=True)
    (folder / "data").write_text("old", encoding="utf-8")
    killed_at_rename(2, PUBLISH, folder)
    assert not folder.exists()  # the moment that matters
    expected = "old"
    if next_step == "opening the workspace":
        Store.open(tmp_path / "workspace", "a test").close()
    elif next_step == "putting back":
        put_back_folders(folder.parent)
    else:
        with pytest.raises(ValueError, match="in the middle"), published_folder(folder):
            raise ValueError("in the middle")
        with published_folder(folder) as temporary:
            (temporary / "data").write_text("newer", encoding="utf-8")
        expected = "newer"
    assert (folder / "data").read_text(encoding="utf-8") == expected
    assert not list(folder.parent.glob(".*.old"))


def test_what_was_moved_aside_does_not_come_back_over_a_new_one(tmp_path: Path) -> None:
    for name, text in (("bundle", "new"), (".bundle.77.0123456789abcdef.old", "old")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data").write_text(text, encoding="utf-8")
    (tmp_path / ".notes.old").mkdir()  # of another program
    put_back_folders(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".notes.old", "bundle"]
    assert (tmp_path / "bundle" / "data").read_text(encoding="utf-8") == "new"


def by_name(path: Path) -> None:
    with replaced_durably(path) as temporary:
        temporary.write_bytes(b"new")


def in_parts(path: Path) -> None:
    with DurableFile(path) as file:
        file.finish()
        file.replace()


@pytest.mark.parametrize("write", [by_name, in_parts, lambda path: write_durably(path, [b"new"])])
def test_a_file_that_is_replaced_keeps_its_mode_and_a_new_one_follows_the_umask(
    write: Callable[[Path], object], tmp_path: Path
) -> None:
    for mode in (0o600, 0o640, 0o664):
        path = tmp_path / f"{mode:o}"
        path.touch()
        path.chmod(mode)
        write(path)
        assert stat.S_IMODE(path.stat().st_mode) == mode
    before = os.umask(0o027)
    try:
        write(tmp_path / "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
