"""Which files are a workspace's own: they are private to its owner, and no output takes their place."""

import contextlib
import os
import stat
from fnmatch import fnmatch
from pathlib import Path

from ..data.errors import PathRefused

LOCK = "store.lock"
"""The lock file of a workspace, locked by its owner: a folder that has it is a workspace."""
EXPORTS = "exports"
EMBEDDINGS = "embeddings"
_ENTRIES = (
    "store.*", "jobs", "models", "trials", EXPORTS, EMBEDDINGS, "requests", "spill", "uploads", "hashes.json",
    "engine-choices.json", "guide-dismissed", ".*.tmp", ".*.old",
)  # fmt: skip
"""What the program puts into the folder of a workspace."""
_OTHERS = 0o077
"""The rights of everybody but the owner."""


def is_in_workspace(path: Path) -> bool:
    """Whether a file lies in some workspace."""
    return any(os.path.lexists(folder / LOCK) for folder in path.absolute().parents)


def make_private_folder(folder: Path) -> None:
    """Make a folder of a workspace, and those above it, if missing; only its owner can open it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def make_private(workspace: Path) -> None:
    """Take the rights of others from a workspace: its folder, unless it holds other things too, and its entries.

    Entries of other owners, and what links lead to, stay as they are.
    """
    entries = list(workspace.iterdir())
    own = [path for path in entries if any(fnmatch(path.name, pattern) for pattern in _ENTRIES)]
    for path in [*own, workspace] if len(own) == len(entries) else own:
        with contextlib.suppress(OSError):  # gone meanwhile, or on a disk without modes
            found = path.lstat()
            is_ours = found.st_uid == os.geteuid() and (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode))
            if is_ours and found.st_mode & _OTHERS:
                path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)


def check_output(path: Path, workspace: Path) -> None:
    """Raise `PathRefused` for an output that a person names in `workspace`, or in another, outside its exports/: it
    could take the place of the store. Links are followed, and a file of two names is known by either."""
    try:
        meant = [path.parent.resolve() / path.name, path.resolve()]
        here = workspace.resolve()
    except (OSError, RuntimeError) as error:
        raise PathRefused(f"{str(path)!r} has circular links. Give the path of the file itself.") from error
    for place in meant:
        for folder in (place, *place.parents):
            if folder == here or os.path.lexists(folder / LOCK):
                within = place.relative_to(folder).parts
                if len(within) < 2 or within[0] != EXPORTS:
                    raise _refusal(path, folder)
    # A snapshot of the store lies in the workspace that it was made of.
    for folder in (folder for folder in (here, *here.parents) if os.path.lexists(folder / LOCK)):
        if _is_file_of(path, folder):
            raise _refusal(path, folder)


def _is_file_of(path: Path, workspace: Path) -> bool:
    """Whether a file has another name in the workspace, outside its exports/."""
    try:
        found = path.stat()
    except OSError:
        return False
    if found.st_nlink < 2 or not stat.S_ISREG(found.st_mode):
        return False
    for folder, folders, files in os.walk(workspace):
        if Path(folder) == workspace and EXPORTS in folders:
            folders.remove(EXPORTS)
        for name in files:
            with contextlib.suppress(OSError):
                if os.path.samestat(found, os.stat(os.path.join(folder, name))):
                    return True
    return False


def _refusal(path: Path, workspace: Path) -> PathRefused:
    return PathRefused(
        f"{str(path)!r} is a place of the workspace {workspace}, where no output goes: it could replace the store. "
        f"Write into {workspace / EXPORTS}, or outside the workspace."
    )
