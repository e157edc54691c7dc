"""Reads a target set: the rows of a file, or of a Hub dataset, in any format that import reads; nothing is stored."""

import hashlib
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..data.errors import NoUsableRows, SelectionInvalid
from ..data.examples import Example, Rejected
from ..data.listing import counted
from ..system.file_hash import file_sha256
from .detection import detect_format
from .importer import check_columns
from .row_reading import read_examples
from .source_options import DomainRule, SourceOptions
from .sources import DataFile, data_files
from .unpacking import check_readable


@dataclass(frozen=True, slots=True)
class TargetRows:
    """The unique rows of a target set, ordered by id (so that a file's order means nothing), with the domain of each;
    `sha256` of its file (of several: of their digests), and how many records were `rejected`, by reason."""

    name: str
    sha256: str
    examples: list[Example]
    domains: list[str]
    rejected: dict[str, int]


def read_target(name: str, options: SourceOptions) -> TargetRows:
    """Read a target set, as `target_of_files` does."""
    with tempfile.TemporaryDirectory(prefix="lobass-") as folder:
        return target_of_files(data_files(name, Path(folder)), Path(name).name, options)


def target_of_files(
    files: Sequence[DataFile], name: str, options: SourceOptions, most: int | None = None
) -> TargetRows:
    """The target set of some files. Without a rule for domains, all rows have one. Rejected answers of preference pairs
    are left out: nobody wants more like them. Raises `SourceUnreadable`, `NoUsableRows` if it has none, or
    `SelectionInvalid` as soon as it has more than `most` unique rows."""
    if not (options.domain.name or options.domain.field):
        options = replace(options, domain=DomainRule(name="target"))
    found: dict[str, tuple[Example, str]] = {}
    rejected: Counter[str] = Counter()
    for file in files:
        check_readable(file.path)
    for file in files:
        of_file = replace(options, split=file.split or options.split)
        detection = detect_format(file.path, of_file)
        check_columns(file.path, of_file, detection)
        follows_chosen = False
        for row in read_examples(file.path, of_file, detection):
            if isinstance(row, Rejected):
                rejected[row.reason] += 1
                continue
            if follows_chosen:
                rejected["rejected answer of a preference pair"] += 1
            else:
                found.setdefault(str(row.example.example_id), (row.example, row.domain))
                if most is not None and len(found) > most:
                    raise SelectionInvalid(
                        f"{name} has more than {most:,} unique rows. Give fewer, or use the command scores like."
                    )
            follows_chosen = row.is_chosen
    if not found:
        reasons = f" ({counted(dict(rejected.most_common()))})" if rejected else ""
        raise NoUsableRows(
            f"The target {name!r} has no row that can be read{reasons}. Give a file of rows "
            "like those that import reads."
        )
    digests = [file_sha256(file.path) for file in files]
    sha256 = digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
    examples, domains = map(list, zip(*(found[key] for key in sorted(found)), strict=True))
    return TargetRows(name, sha256, examples, domains, dict(rejected))
