"""Uploads as files of the workspace: written once, so that preview and import read them as they would any file."""

import shutil
from pathlib import Path

from streamlit.runtime.uploaded_file_manager import UploadedFile

from ui.session import Session


def staged_upload(session: Session, upload: UploadedFile) -> Path:
    """The upload's file. The browser's name is not trusted with a path; its ending says what kind of file it is."""
    folder = session.workspace / "uploads" / Path(upload.file_id).name
    path = folder / (Path(upload.name.replace("\\", "/").replace("\0", "")).name[-100:] or "upload")
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name("." + path.name)
        with open(unfinished, "wb") as file:
            upload.seek(0)
            shutil.copyfileobj(upload, file)
        unfinished.replace(path)
    return path
