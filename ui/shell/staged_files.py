"""Uploads as files of the workspace: written once, so that preview and import read them as they would any file."""

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
    """The upload's file. The browser's name is not trusted with a path; its ending says what kind of file it is.

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
            f"The upload {upload.name} cannot be kept in {folder.parent} ({error.strerror}). "
            "Make room there, or import the file by its path on this server."
        ) from error
    return path


def remove_staged(workspace: Path, paths: list[Path]) -> None:
    """Remove those of the files that are staged uploads: what was imported is in the store.

    Of an archive's files, which lie in folders of their own, the archive stays until it is abandoned.
    """
    uploads = (workspace / _FOLDER).resolve()
    for path in paths:
        if uploads in path.resolve().parents:
            shutil.rmtree(path.parent, ignore_errors=True)


def unpacking_folder(workspace: Path) -> Path:
    """Where archives are unpacked, made if it is not there. Raises `NotPermitted` for who may only look."""
    require_change()
    folder = workspace / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def remove_leftovers(workspace: Path, older_than_seconds: float = 0.0) -> None:
    """Remove staged uploads that nobody imported."""
    for folder in (workspace / _FOLDER).glob("*"):
        try:
            abandoned = time.time() - folder.stat().st_mtime >= older_than_seconds
        except FileNotFoundError:
            continue  # another page was quicker
        if abandoned:
            shutil.rmtree(folder, ignore_errors=True)


def _file_name(name: str) -> str:
    own = Path(name.replace("\\", "/").replace("\0", "")).name[-_LONGEST_NAME:]
    return "upload" if own in ("", ".", "..") else own
