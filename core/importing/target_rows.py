"""Reads a target set: the rows of a file, or of a Hub dataset, in any format that import reads; nothing is stored."""

import hashlib
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ..data.errors import NoUsableRows
from ..data.examples import Example, Rejected
from ..data.listing import counted
from ..system.file_hash import file_sha256
from .row_reading import read_examples
from .source_options import SourceOptions
from .sources import data_files
from .unpacking import check_readable


@dataclass(frozen=True, slots=True)
class TargetRows:
    """The unique rows of a target set, in order, with the domain of each; `sha256` of its file (of several: of their
    digests), and how many records were `rejected`, by reason."""

    name: str
    sha256: str
    examples: list[Example]
    domains: list[str]
    rejected: dict[str, int]


def read_target(name: str, options: SourceOptions) -> TargetRows:
    """Read a target set. Raises `SourceUnreadable`, or `NoUsableRows` if it has none."""
    found: dict[str, tuple[Example, str]] = {}
    rejected: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="lobass-") as folder:
        files = data_files(name, Path(folder))
        for file in files:
            check_readable(file.path)
        digests = [file_sha256(file.path) for file in files]
        for file in files:
            for row in read_examples(file.path, options):
                if isinstance(row, Rejected):
                    rejected[row.reason] += 1
                else:
                    found.setdefault(str(row.example.example_id), (row.example, row.domain))
    if not found:
        reasons = f" ({counted(dict(rejected.most_common()))})" if rejected else ""
        raise NoUsableRows(
            f"The target {name!r} has no row that can be read{reasons}. Give a file of rows "
            "like those that import reads."
        )
    sha256 = digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
    examples, domains = map(list, zip(*found.values(), strict=True))
    return TargetRows(Path(name).name, sha256, examples, domains, dict(rejected))
