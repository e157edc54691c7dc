"""Stores uploads as files in the workspace, so that preview and import read them like any other file."""

import shutil
import time
from pathlib import Path

from streamlit.runtime.uploaded_file_manager import UploadedFile

from core.data.errors import SourceUnreadable
from core.system.permission import require_change

_FOLDER = "uploads"
_LONGEST_NAME = 60  # characters; a file system takes 255 bytes, and a character may need four
_ABANDONED_SECONDS = 24 * 3600.0


def staged_upload(workspace: Path, upload: UploadedFile) -> Path:
    """The file of an upload, written if it is not there yet.

    The browser's file name is not used as a path; only its suffix matters, which tells the file type.

    Raises `SourceUnreadable` if it cannot be written.
    """
    require_change()
    folder = workspace / _FOLDER / Path(upload.file_id).name
    path = folder / _file_name(upload.name)
    if path.exists():
        return path
    remove_leftovers(workspace, _ABANDONED_SECONDS)
    unfinished = path.with_name("." + path.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(unfinished, "wb") as file:
            upload.seek(0)
            shutil.copyfileobj(upload, file)
        unfinished.replace(path)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise SourceUnreadable(
            f"The upload {upload.name} cannot be saved in {folder.parent} ({error.strerror}). "
            "Free some disk space, or import the file by its path on this server."
        ) from error
    return path


def remove_staged(workspace: Path, paths: list[Path]) -> None:
    """Remove the given files if they are staged uploads: their rows are in the store now.

    Files unpacked from an archive have their own folder; the archive itself stays until it expires.
    """
    uploads = (workspace / _FOLDER).resolve()
    for path in paths:
        if uploads in path.resolve().parents:
            shutil.rmtree(path.parent, ignore_errors=True)


def unpacking_folder(workspace: Path) -> Path:
    """The folder for unpacked archives, created if missing. Raises `NotPermitted` without the role 'run'."""
    require_change()
    folder = workspace / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def remove_leftovers(workspace: Path, older_than_seconds: float = 0.0) -> None:
    """Remove staged uploads that were never imported."""
    for folder in (workspace / _FOLDER).glob("*"):
        try:
            abandoned = time.time() - folder.stat().st_mtime >= older_than_seconds
        except FileNotFoundError:
            continue  # another page removed it first
        if abandoned:
            shutil.rmtree(folder, ignore_errors=True)


def _file_name(name: str) -> str:
    own = Path(name.replace("\\", "/").replace("\0", "")).name[-_LONGEST_NAME:]
    return "upload" if own in ("", ".", "..") else own
