"""Brings the models that a job names to the node that computes with them.

A job names folders of the machine that planned it. On a node, a folder of that path with the same files is used as it
is; a snapshot of the Hub's cache is downloaded by its id and revision; what is left is copied from the first machine,
once a node, into a folder named by its content. Loading then holds each model to its hash, as anywhere.
"""

import fcntl
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...models.folder_check import TEMPLATES
from ...models.known_hashes import content_hash
from ...models.sentence_folders import SENTENCE_MODEL, sentence_files
from .job_files import Piece, piece_of, put_piece

_SPEC = {"label", "path", "adapter", "weights_hash"}
_SUFFIXES = (".json", ".safetensors", ".model", ".txt", ".jinja", ".tiktoken")
_SNAPSHOT = re.compile(r"/models--(?P<id>[^/]+)/snapshots/(?P<revision>[0-9a-f]+)/?$")
_WHOLE = ".whole"

ReadPiece = Callable[[str, int], Piece]
"""Gives a piece of a file of the first machine, by path and start."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder that a job names: its path where the job was planned, its files with their sizes, and a digest of their
    contents."""

    path: str
    files: tuple[tuple[str, int], ...]
    digest: str


def model_folders(request: dict[str, Any]) -> list[ModelFolder]:
    """The folders of models and adapters that a job's request names, read on the machine that planned it."""
    paths = {path: None for spec in specs_of(request) for path in (spec["path"], spec["adapter"]) if path}
    sentence = request.get(SENTENCE_MODEL, {}).get("path")
    return [_described(Path(path), path == sentence) for path in paths]


def with_paths(request: dict[str, Any], places: dict[str, str]) -> dict[str, Any]:
    """The request with the paths of models replaced; `planned_base` is that of the base, for an adapter to name."""
    changed: dict[str, Any] = json.loads(json.dumps(request))
    if "base" in changed:
        changed["planned_base"] = changed["base"]["path"]
    for spec in specs_of(changed):
        for name in ("path", "adapter"):
            spec[name] = places.get(spec[name], spec[name])
    return changed


def folder_on_node(folder: ModelFolder, staged: Path) -> Path | None:
    """Where a node has a model's folder already, or gets it from the Hub; None if it must be copied."""
    path, copy = Path(folder.path), staged / folder.digest
    if all((path / name).is_file() and (path / name).stat().st_size == size for name, size in folder.files):
        return path
    if (copy / _WHOLE).exists():
        return copy
    return _downloaded(folder)


def stage(folder: ModelFolder, staged: Path, read: ReadPiece) -> Path:
    """Copy a model's folder to this node, unless another process of it has done so; returns where it is."""
    staged.mkdir(parents=True, exist_ok=True, mode=0o700)
    copy = staged / folder.digest
    with open(staged / f"{folder.digest}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (copy / _WHOLE).exists():
            shutil.rmtree(copy, ignore_errors=True)
            copy.mkdir()
            for name, _ in folder.files:
                _copy_file(f"{folder.path}/{name}", name, copy, read)
            (copy / _WHOLE).touch()
    return copy


def read_piece(path: str, start: int) -> Piece:
    """A piece of a file of this machine."""
    return piece_of(Path(path), path, start)


def _copy_file(source: str, name: str, copy: Path, read: ReadPiece) -> None:
    start, ends = 0, False
    while not ends:
        piece = read(source, start)
        put_piece(copy, Piece(name, piece.data, start, piece.ends))
        start, ends = start + len(piece.data or b""), piece.ends


def specs_of(part: Any) -> Iterable[dict[str, Any]]:
    """The fields of every `ModelSpec` in a request."""
    if isinstance(part, dict):
        if part.keys() >= _SPEC:
            yield part
        else:
            for value in part.values():
                yield from specs_of(value)
    elif isinstance(part, list):
        for value in part:
            yield from specs_of(value)


def _described(folder: Path, of_sentence_model: bool) -> ModelFolder:
    if of_sentence_model:  # its modules have folders of their own
        paths = sentence_files(folder)
    else:
        paths = [path for path in sorted(folder.iterdir()) if path.suffix in _SUFFIXES and path.is_file()]
        paths += sorted((folder / TEMPLATES).glob("*.jinja"))
    names = [path.relative_to(folder).as_posix() for path in paths]
    digest = hashlib.sha256()
    for name, path in zip(names, paths, strict=True):
        digest.update(f"{name}\0{content_hash(path).hex()}\n".encode())
    sizes = [path.stat().st_size for path in paths]
    return ModelFolder(str(folder), tuple(zip(names, sizes, strict=True)), digest.hexdigest()[:32])


def _downloaded(folder: ModelFolder) -> Path | None:
    """The snapshot of the Hub that the folder is, in this node's own cache; None if it is none or cannot be had."""
    found = _SNAPSHOT.search(folder.path)
    if found is None:
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = [name for name, _ in folder.files]
    try:
        return Path(
            snapshot_download(found["id"].replace("--", "/"), revision=found["revision"], allow_patterns=patterns)
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError):
        return None
