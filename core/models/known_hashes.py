"""Caches hashes of large files beside the store, so that unchanged weights are read only once; a process without a
workspace keeps them itself.

The key is a file's device, inode, size, mtime and ctime, all to the nanosecond. Programs can set mtime back, but not
ctime: a file that was written, replaced or restored has another ctime and is hashed again. A changed file keeps its old
hash only if the clock was set back to the nanosecond, or if it was changed below the file system. A file that changed
less than `_SETTLED_SECONDS` before hashing is not cached: it could change again within the same clock tick.
"""

import hashlib
import json
import os
import re
import time
from pathlib import Path

from ..data.errors import JsonInvalid, UserError
from ..system.atomic_files import write_durably
from ..system.untrusted_json import read_json_object
from ..system.workspace_files import LOCK

FILE = "hashes.json"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SETTLED_SECONDS = 5.0
_WORTH_KEEPING = 2**20
"""Hashing smaller files is faster than the lookup [bytes]."""


_in_this_process: dict[str, object] = {}
_workers_workspace: Path | None = None


def use_workspace_of(job_folder: Path) -> None:
    """Called by a worker: hashes are looked up in the workspace that its job lies in, if it lies in one."""
    global _workers_workspace
    workspace = job_folder.resolve().parent.parent
    _workers_workspace = workspace if (workspace / LOCK).exists() else None


def workers_workspace() -> Path | None:
    """The workspace that this worker's job lies in; None if it lies in none, or this is no worker."""
    return _workers_workspace


def content_hash(path: Path, workspace: Path | None = None) -> bytes:
    """BLAKE2b digest (32 bytes) of a file's content, cached in the `workspace` if one is given or a worker's job lies
    in one, else in this process.

    Raises `OSError` if the file cannot be read.
    """
    found = path.stat()
    if found.st_size < _WORTH_KEEPING:
        return _hashed(path)
    workspace = workspace or _workers_workspace
    key, state = str(path.resolve()), list(file_state(found))
    known = (_known(workspace) if workspace else _in_this_process).get(key)
    if isinstance(known, list) and known[:-1] == state and _DIGEST.fullmatch(str(known[-1])):
        return bytes.fromhex(str(known[-1]))
    began = time.time()
    digest = _hashed(path)
    settled = max(found.st_mtime, found.st_ctime) < began - _SETTLED_SECONDS
    if settled and list(file_state(path.stat())) == state:
        entry = [*state, digest.hex()]
        if workspace:
            _keep(workspace, key, entry)
        else:
            _in_this_process[key] = entry
    return digest


def _hashed(path: Path) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).digest()


def file_state(found: os.stat_result) -> tuple[int, ...]:
    """What differs if a file was written, replaced or restored: device, inode, size, mtime and ctime [ns]."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _known(workspace: Path) -> dict[str, object]:
    """The cached hashes; empty if the file is missing or invalid, so everything is hashed again."""
    try:
        return read_json_object(workspace / FILE)
    except (FileNotFoundError, JsonInvalid):
        return {}


def _keep(workspace: Path, key: str, entry: list[object]) -> None:
    """Add an entry. A failed or concurrent write only costs hashing again."""
    fields = _known(workspace) | {key: entry}
    try:
        write_durably(workspace / FILE, [json.dumps(fields, indent=0).encode("ascii")])
    except (OSError, UserError):
        return
