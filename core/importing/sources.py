"""What a person names as input becomes files: paths as they are, Hugging Face Hub ids by fetching their data files."""

from collections.abc import Iterable
from pathlib import Path

from core.importing.hub import download_dataset, is_hub_id
from core.paths import named_path


def local_files(names: Iterable[str], revision: str | None = None, split: str | None = None) -> list[Path]:
    """Files to read, in the order named; of a Hub dataset those of a revision and split, see `download_dataset`.

    Raises `SourceUnreadable` if a Hub dataset cannot be fetched, `PathRefused` for a name that can be no path.
    """
    files: list[Path] = []
    for name in names:
        named_path(name)
        files += download_dataset(name, revision, split) if is_hub_id(name) else [Path(name).expanduser()]
    return files
