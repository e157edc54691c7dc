"""Checks paths that users give: whether they are valid, and for dashboard users, whether they are allowed.

The command line runs with its user's rights, so it accepts any path. Dashboard users act with the rights of the account
that started it, so they may only use files in the workspace and in the setting `allowed_folders`. Links are followed
before a path is checked, and paths are compared folder by folder, so /data does not include /database.
"""

import os
import re
import stat
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from ..data import settings
from ..data.errors import PathRefused
from ..data.unicode_text import is_unicode

_LONGEST_PATH = os.pathconf("/", "PC_PATH_MAX")  # bytes: 4,096 on Linux, 1,024 on macOS
_LONGEST_NAME = 255
_LONGEST_STEM = 120  # bytes of a file name taken from a name: extensions and temporary names need room too
_SHOWN = 80
_WILDCARDS = frozenset("*?[")
_MOST_MATCHES = 200
_FOLDER_NAME = re.compile(r"\w[\w. -]{0,58}\w|\w")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


def named_path(text: str) -> Path:
    """The absolute path for a user's text, `~` expanded; it need not exist.

    Raises `PathRefused` for a text that is not a valid path: empty, too long, or with control characters.
    """
    if not text.strip():
        raise PathRefused("No path was given. Give a file or a folder.")
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise PathRefused(f"{text[:_SHOWN]!r} is not a valid path: it has control characters. Check how it was copied.")
    if not is_unicode(text):
        raise PathRefused(f"{text[:_SHOWN]!r} is not a valid path: it is not valid UTF-8. Rename the file or folder.")
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError as error:  # in a terminal of another encoding
        raise PathRefused(
            f"{text[:_SHOWN]!r} is not a valid path: it has characters not allowed in file names. Rename the file."
        ) from error
    if len(encoded) >= _LONGEST_PATH or any(len(part) > _LONGEST_NAME for part in encoded.split(b"/")):
        raise PathRefused(f"{text[:_SHOWN]!r}... is too long for a path. Check how it was copied.")
    try:
        path = Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise PathRefused(f"{text[:_SHOWN]!r} refers to the home of an unknown user. Write the full path.") from error
    if not is_unicode(str(path)):
        raise PathRefused(f"{str(path.parent)[:200]!r} has a name that is not valid UTF-8. Start in another folder.")
    return path


def allowed_folders(workspace: Path) -> tuple[Path, ...]:
    """The folders (links followed) whose files dashboard users may use; the workspace is first.

    The root folder is only allowed if the setting names it literally.
    """
    named = [part for part in settings.text("allowed_folders").split(os.pathsep) if part.strip()]
    folders = [named_path(part) for part in named]
    meant = [
        folder.resolve() for folder, part in zip(folders, named, strict=True) if part == "/" or folder != Path("/")
    ]
    return tuple(dict.fromkeys([workspace.resolve(), *meant]))


def allowed_path(text: str, workspace: Path) -> Path:
    """The path that a dashboard user gives, links followed. Raises `PathRefused` outside the allowed folders.

    Paths outside are refused whether or not they exist, so that users cannot probe for files.
    """
    try:
        path = named_path(text).resolve()
    except (OSError, RuntimeError) as error:
        raise PathRefused(f"{text[:_SHOWN]!r} has circular links. Give the path of the file itself.") from error
    folders = allowed_folders(workspace)
    if any(path == folder or folder in path.parents for folder in folders):
        return path
    listed = ", ".join(map(str, folders))
    raise PathRefused(
        f"{text[:_SHOWN]!r} is outside the allowed folders ({listed}). Move it there, or ask the operator of "
        "this dashboard to add its folder to LOBASS_ALLOWED_FOLDERS."
    )


def allowed_matches(text: str, workspace: Path) -> list[Path]:
    """The files that a dashboard user's pattern (`*`, `?`, `[...]` in file or folder names) means, sorted, links
    followed. Raises `PathRefused` for a pattern that matches no file, too many, or one outside the allowed folders."""
    if (named := allowed_path(text, workspace)).exists():  # a name may have such characters
        return [named]
    parts = named_path(text).parts
    first = next(place for place, part in enumerate(parts) if set(part) & _WILDCARDS)
    rest = parts[first:]
    if any(part == ".." or "**" in part for part in rest):
        raise PathRefused(f"{text[:_SHOWN]!r} has .. or ** in its pattern. Use * within the name of a file or folder.")
    folder = allowed_path(str(Path(*parts[:first])), workspace)
    found = list(islice((path for path in folder.glob(str(Path(*rest))) if path.is_file()), _MOST_MATCHES + 1))
    if not found:
        raise PathRefused(f"No file matches {text[:_SHOWN]!r}. Check the folder and the pattern.")
    if len(found) > _MOST_MATCHES:
        raise PathRefused(f"{text[:_SHOWN]!r} matches more than {_MOST_MATCHES:,} files. Use a narrower pattern.")
    return [allowed_path(str(path), workspace) for path in sorted(found)]


def is_pattern(text: str) -> bool:
    """Whether a text has wildcards."""
    return bool(set(text) & _WILDCARDS)


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading. Pipes and devices are refused without blocking, even if the path became one after it was
    checked. Raises `OSError` like `open`, `PathRefused` if it is not a regular file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PathRefused(f"{path} is not a regular file. Save the data to a file and use that.")
    return os.fdopen(descriptor, "rb")


def is_hub_id(text: str) -> bool:
    """Whether a text has the form of a Hugging Face id (owner/name) and is not a relative path such as ../x."""
    return bool(_HUB_ID.fullmatch(text)) and ".." not in text and "--" not in text and not text.endswith((".", "-"))


def is_folder_name(text: str) -> bool:
    """Whether a name that a user gives to something can be that of its folder."""
    return _FOLDER_NAME.fullmatch(text) is not None


def plain_name(text: str, otherwise: str) -> str:
    """A safe file name from any text: only letters, digits and a few other characters, so that it stays in its folder
    and is not hidden, not an option, and not too long; `otherwise` if nothing of the text is left."""
    plain = re.sub(r"[^\w.+-]+", "-", text).strip(".-")
    return plain.encode(errors="ignore")[:_LONGEST_STEM].decode(errors="ignore").strip(".-") or otherwise


def file_stem(name: str, otherwise: str) -> str:
    """The stem of the file that belongs to a name, as `plain_name` has it.

    Two names never have one stem: a name that had to be changed gets a hash, after a `~`, which no other stem has.
    """
    plain = plain_name(name, otherwise)
    if plain == name:
        return plain
    return f"{plain}~{blake2b(name.encode(errors='surrogatepass'), digest_size=5).hexdigest()}"
