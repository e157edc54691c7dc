"""Turns an input that a user names into data files: paths, zip archives, saved datasets, or the Hub."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from ..data.errors import SourceUnreadable
from ..system.paths import named_path
from .archives import is_about_a_dataset, is_saved_dataset, is_zip, saved_files, unpack, zip_members
from .hub import download_dataset, hub_name
from .hub_files import choose_files
from .reading import CONTAINERS, is_data_file, plain_stem


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file to import: its path, the name shown to the user, and known facts about it.

    `domain` is the default domain of its rows, `split` the split to read if it has several, and `origin` where it came
    from: for a Hub file its dataset, commit and path.
    """

    path: Path
    name: str
    domain: str = ""
    split: str | None = None
    origin: Mapping[str, str] = field(default_factory=dict)


def data_files(
    name: str,
    unpack_into: Path,
    revision: str | None = None,
    split: str | None = None,
    config: str | None = None,
) -> list[DataFile]:
    """The data files that a name refers to, in order; see `download_dataset` for Hub datasets.

    Zip archives are unpacked into a new folder in `unpack_into`. Raises `SourceUnreadable` if files are not available,
    `PathRefused` for a name that is not a valid path.
    """
    named_path(name)
    if hub_name(name):
        return hub_files(name, revision, split, config)
    return files_at(Path(name).expanduser(), unpack_into, split)


def hub_files(
    name: str, revision: str | None = None, split: str | None = None, config: str | None = None
) -> list[DataFile]:
    """Download the data files of a Hub dataset. Raises `SourceUnreadable` like `download_dataset`."""
    meant = hub_name(name)
    if meant is None:
        raise SourceUnreadable(f"{name[:100]!r} is not the id of a Hub dataset. Write it as owner/name.")
    found = download_dataset(meant.repo_id, revision or meant.revision, split, config, meant.path)
    about = {"hub": found.repo_id, "commit": found.commit}
    return [
        DataFile(path, path.name, origin=about | {name: text for name, text in file.to_fields().items() if text})
        for path, file in found.files
    ]


def files_at(path: Path, unpack_into: Path, split: str | None = None, name: str | None = None) -> list[DataFile]:
    """The data files at a path: the file itself, or those in a saved dataset or a zip archive.

    `name` is the name shown to the user. Raises `SourceUnreadable` like `data_files`.
    """
    name = name or path.name
    if path.is_dir() and is_saved_dataset(path):
        files = saved_files(path, split)
        return [DataFile(file, f"{name}/{file.relative_to(path)}", domain=name) for file in files]
    if is_zip(path):
        return _zipped_files(path, name, unpack_into, split)
    return [DataFile(path, name, split=split)]


def takes_split(name: str) -> bool:
    """Whether an input may have splits to choose from: a Hub dataset, a folder, a zip archive, or JSON."""
    path = Path(name).expanduser()
    return hub_name(name) is not None or path.is_dir() or ".json" in path.suffixes or path.suffix.lower() == ".zip"


def _zipped_files(path: Path, name: str, unpack_into: Path, split: str | None) -> list[DataFile]:
    members = [
        member
        for member in zip_members(path)
        if is_data_file(member) and not is_about_a_dataset(plain_stem(member.rpartition("/")[2]))
    ]
    if not members:
        kinds = ", ".join(ending for endings in CONTAINERS.values() for ending in endings)
        raise SourceUnreadable(f"{name} has no data files ({kinds}). Unpack it and check its contents.")
    if split:
        members = [file.name for file in choose_files(name, members, split)]
    status = path.stat()
    key = f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0{members}".encode("utf-8", "surrogateescape")
    folder = unpack_into / f"unpacked-{blake2b(key, digest_size=8).hexdigest()}"
    unpacked = unpack(path, members, folder)
    return [DataFile(file, f"{name}/{member}") for file, member in zip(unpacked, members, strict=True)]
