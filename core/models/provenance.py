"""What the provenance of a reference that was trained here says of its files, so that a folder with damaged or other
ones never counts as the reference.

`files`: the SHA-256 of each by its path in the folder; `weights`: a digest of those that make its losses, which is
compared wherever it is used. Provenances of versions up to 0.8.0 have no digest, and earlier ones no list.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..system.file_hash import difference, file_sha256

PROVENANCE = "provenance.json"
FILES, WEIGHTS = "files", "weights"


def provenance_bytes(fields: dict[str, Any]) -> bytes:
    """The content of the file."""
    return json.dumps(fields, ensure_ascii=False, indent=1).encode()


def listed_files(folder: Path) -> dict[str, str]:
    """SHA-256 of all files in a folder by their path in it; not of its provenance, which has the list."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / PROVENANCE)
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in files}


def damages(folder: Path, provenance: dict[str, Any], names: Iterable[str] | None = None) -> Iterator[str]:
    """A sentence on each listed file, or on those of these names, that is not as it was written."""
    listed = provenance.get(FILES)
    for name, digest in listed.items() if isinstance(listed, dict) else ():
        if Path(name).is_absolute() or ".." in Path(name).parts:
            yield f"{folder / PROVENANCE} lists a file outside its folder, {name[:200]!r}."
        elif (names is None or name in names) and (sentence := difference(folder / name, str(digest))):
            yield sentence
