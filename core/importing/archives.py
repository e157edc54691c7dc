"""Finds the data files in zip archives and in folders saved by the datasets library."""

import json
import shutil
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

from ..data import settings
from ..data.errors import SourceUnreadable
from ..data.unicode_text import is_unicode
from ..system.paths import open_file
from .records import plain_text
from .splits import named_split, one_training_split

_MOST_MEMBERS = 10_000
_COPY_BYTES = 2**20
_LONGEST_NAME = 100
_ABOUT_A_DATASET = ("dataset_info", "dataset_infos", "dataset_dict", "state", "config", "package")
_LARGEST_STATE = 2**20


def is_about_a_dataset(stem: str) -> bool:
    """Whether a file with this stem holds metadata about a dataset instead of records."""
    return stem.startswith((".", "_")) or stem in _ABOUT_A_DATASET


def is_zip(path: Path) -> bool:
    """Whether a file is a zip archive, by its first bytes."""
    if not path.is_file():
        return False
    with open_file(path) as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def zip_members(path: Path) -> list[str]:
    """Names of the files in a zip archive. Raises `SourceUnreadable` if it is damaged or not a data archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise SourceUnreadable(f"{path.name} is not a complete zip archive ({error}). Fetch it again.") from error
    if len(infos) > _MOST_MEMBERS:
        raise SourceUnreadable(f"{path.name} holds {len(infos):,} files. Unpack it and import the data files.")
    names = [info.filename for info in infos if not info.is_dir()]
    if "[Content_Types].xml" in names:
        raise SourceUnreadable(f"{path.name} is an office document. Save its table as CSV.")
    data = [name for name in names if "__MACOSX" not in name.split("/")]
    if twice := next((name for name, count in Counter(data).items() if count > 1), None):
        # By name only the last of them can be read.
        raise SourceUnreadable(
            f"{path.name} holds more than one file named {plain_text(twice, 60)!r}. Unpack it and import the files."
        )
    return data


def unpack(path: Path, members: list[str], folder: Path) -> list[Path]:
    """Unpack members of a zip archive into a new folder, all or none; returns paths in the order of the members.

    Raises `SourceUnreadable` if one is damaged or encrypted, or together they exceed the setting max_unpacked_bytes.
    """
    paths = [folder / str(i) / Path(name).name[-_LONGEST_NAME:] for i, name in enumerate(members)]
    if all(target.is_file() for target in paths):
        return paths
    left = settings.integer("max_unpacked_bytes")
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        with zipfile.ZipFile(path) as archive:
            for member, target in zip(members, paths, strict=True):
                place = unfinished / target.relative_to(folder)
                place.parent.mkdir(parents=True)
                left = _unpack_one(archive, member, place, left, path.name)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.replace(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError) as error:
        encrypted = "password" in str(error) or "encrypted" in str(error)
        found = "is encrypted" if encrypted else f"cannot be unpacked ({plain_text(str(error), 100)})"
        raise SourceUnreadable(f"{path.name} {found}. Unpack it yourself and import the data files.") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return paths


def _unpack_one(archive: zipfile.ZipFile, member: str, place: Path, left: int, name: str) -> int:
    """Unpack one member; returns how many bytes of the limit remain."""
    with archive.open(member) as packed, open(place, "wb") as file:
        while content := packed.read(_COPY_BYTES):
            left -= len(content)
            if left < 0:
                raise SourceUnreadable(
                    f"{name} unpacks to more than {settings.integer('max_unpacked_bytes'):,} bytes. "
                    "If you trust it, raise LOBASS_MAX_UNPACKED_BYTES."
                )
            file.write(content)
    return left


def is_saved_dataset(folder: Path) -> bool:
    """Whether a folder was written by the datasets library's save_to_disk."""
    return (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()


def saved_files(folder: Path, split: str | None = None) -> list[Path]:
    """The Arrow files of a dataset saved to disk. Of several splits: the one named, else the training split.

    Raises `SourceUnreadable` if it is incomplete or has no such split.
    """
    if (folder / "dataset_dict.json").is_file():
        splits = _texts(_state(folder / "dataset_dict.json").get("splits"))
        chosen = named_split(splits, split) if split else one_training_split(splits)
        if chosen is None:
            wanted = f"no split {split!r}" if split else "no single training split"
            raise SourceUnreadable(
                f"{folder} has {wanted}. It has: {', '.join(splits)}. Choose one as the split (--split)."
            )
        folder = folder / _own_name(chosen, folder)
    entries = _state(folder / "state.json").get("_data_files")
    names = _texts([entry.get("filename") for entry in entries if isinstance(entry, dict)] if entries else [])
    if not names:
        raise SourceUnreadable(f"{folder / 'state.json'} lists no data files. Save the dataset again.")
    return [folder / _own_name(name, folder) for name in names]


def _own_name(name: str, folder: Path) -> str:
    """A file name from a folder's metadata, checked to stay inside the folder."""
    if not is_unicode(name):
        raise SourceUnreadable(f"{folder} has a file whose name is not valid UTF-8 ({name[:60]!r}). Save it again.")
    if not name or Path(name).name != name:
        raise SourceUnreadable(f"{folder} refers to a file outside of it ({plain_text(name, 60)!r}). Save it again.")
    return name


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _state(path: Path) -> dict[str, Any]:
    try:
        with open_file(path) as file:
            value = json.loads(file.read(_LARGEST_STATE))
    except (OSError, ValueError, RecursionError) as error:
        raise SourceUnreadable(f"{path} cannot be read, so the saved dataset is incomplete. Save it again.") from error
    return value if isinstance(value, dict) else {}
