"""Which paths a person may name: a text becomes a path that can be one, and users of the dashboard stay in theirs.

The command line runs with the rights of whoever types it, so it takes any path. The dashboard's users have the rights
of whoever started it, so they name files only under the workspace and the setting `allowed_folders`. Links are
followed before a path is judged, and names are compared folder by folder, so /data is not /database.
"""

import os
import re
import stat
from pathlib import Path
from typing import BinaryIO

from ..data import settings
from ..data.errors import PathRefused

_LONGEST_PATH = os.pathconf("/", "PC_PATH_MAX")  # bytes: 4,096 on Linux, 1,024 on macOS
_LONGEST_NAME = 255
_LONGEST_STEM = 120  # bytes of a file's name that come from a name: endings and temporary names need room too
_SHOWN = 80
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


def named_path(text: str) -> Path:
    """The absolute path that a person's text means, `~` expanded; it need not exist.

    Raises `PathRefused` for a text that cannot be a path here: empty, too long, or with control characters.
    """
    if not text.strip():
        raise PathRefused("No path was named. Give a file or a folder.")
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise PathRefused(f"{text[:_SHOWN]!r} is no path: it has control characters. Check how it was copied.")
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError as error:
        raise PathRefused(
            f"{text[:_SHOWN]!r} is no path: it has characters that no file name can hold. Rename the file."
        ) from error
    if len(encoded) >= _LONGEST_PATH or any(len(part) > _LONGEST_NAME for part in encoded.split(b"/")):
        raise PathRefused(f"{text[:_SHOWN]!r}... is too long for a path. Check how it was copied.")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise PathRefused(f"{text[:_SHOWN]!r} names the home of nobody here. Write the path out.") from error


def allowed_folders(workspace: Path) -> tuple[Path, ...]:
    """The folders, links followed, in which the dashboard's users may name files: the workspace comes first.

    A folder of the setting that is the root of the file system counts only where it is written out.
    """
    named = [part for part in settings.text("allowed_folders").split(os.pathsep) if part.strip()]
    folders = [named_path(part) for part in named]
    meant = [
        folder.resolve() for folder, part in zip(folders, named, strict=True) if part == "/" or folder != Path("/")
    ]
    return tuple(dict.fromkeys([workspace.resolve(), *meant]))


def allowed_path(text: str, workspace: Path) -> Path:
    """The path that a user of the dashboard means, links followed. Raises `PathRefused` if it is not theirs to name.

    What is outside is refused whether it exists or not, so that nobody learns what else there is.
    """
    try:
        path = named_path(text).resolve()
    except (OSError, RuntimeError) as error:
        raise PathRefused(
            f"{text[:_SHOWN]!r} cannot be followed: its links lead in a circle. Name the file itself."
        ) from error
    folders = allowed_folders(workspace)
    if any(path == folder or folder in path.parents for folder in folders):
        return path
    listed = ", ".join(map(str, folders))
    raise PathRefused(
        f"{text[:_SHOWN]!r} is outside the folders that may be used here ({listed}). Move it there, or let whoever "
        "runs this dashboard add its folder to LOBASS_ALLOWED_FOLDERS."
    )


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading; one that is a pipe or a device, or became one since it was looked at, is refused
    without waiting for it. Raises `OSError` as `open` does, `PathRefused` for what is no file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PathRefused(f"{path} is not a regular file. Save the data to a file, and name that.")
    return os.fdopen(descriptor, "rb")


def is_hub_id(text: str) -> bool:
    """Whether a text has the form of a Hugging Face id (owner/name) and cannot be taken for a way through folders."""
    return bool(_HUB_ID.fullmatch(text)) and ".." not in text and "--" not in text and not text.endswith((".", "-"))


def file_stem(name: str, otherwise: str) -> str:
    """The beginning of a file's name from any text: letters, digits and a few signs, so that it stays in its folder,
    is no hidden file, no option, and not too long; `otherwise` where nothing of the text is left."""
    plain = re.sub(r"[^\w.+-]+", "-", name).strip(".-")
    return plain.encode()[:_LONGEST_STEM].decode(errors="ignore").strip(".-") or otherwise
