"""Detects a file's format from its first records."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from .formats import FIELD_NAMES, FORMATS
from .preference import SIDES, is_preference_pair
from .reading import TABLES, container_of, layout_note, read_records
from .records import SourceRecord, plain_text
from .source_options import AUTO, SourceOptions

_LOOKED_AT = 100


@dataclass(frozen=True, slots=True)
class Detection:
    """What was detected in a file, and why.

    `container` is one of `core.importing.reading.CONTAINERS`; `format` a name in `core.importing.formats.FORMATS`, or
    None if none fits; `columns` the file's own field names; `note` a sentence about the parts of the file that are not
    read, if there are any. `has_pairs`: some of the first records are preference pairs.
    """

    container: str
    format: str | None
    columns: tuple[str, ...]
    why: str
    note: str = ""
    has_pairs: bool = False


def detect_format(path: Path, options: SourceOptions | None = None) -> Detection:
    """Look at a file's first records. The column mapping and format (unless "auto") of `options` are respected.

    Raises `SourceUnreadable` if it is not a data file.
    """
    options = options or SourceOptions()
    container = container_of(path, FIELD_NAMES | set(options.columns.values()))
    records = [record.fields for record in _first_records(path, container, options.split)]
    columns = tuple(dict.fromkeys(name for fields in records for name in fields))
    renamed = [options.remapped(fields, forgiving=container in TABLES) for fields in records]
    name, why = _choose(options, renamed, columns)
    has_pairs = any(is_preference_pair(fields) for fields in renamed)
    return Detection(container, name, columns, why, layout_note(path, container, options.split), has_pairs)


def _first_records(path: Path, container: str, split: str | None) -> Iterator[SourceRecord]:
    with closing(read_records(path, container, split)) as records:
        yield from (record for record in islice(records, _LOOKED_AT) if isinstance(record, SourceRecord))


def _choose(options: SourceOptions, renamed: list[dict[str, Any]], columns: tuple[str, ...]) -> tuple[str | None, str]:
    if not renamed:
        return (None if options.format == AUTO else options.format), "none of the first records can be read"
    pairs = sum(is_preference_pair(fields) for fields in renamed)
    if 2 * pairs > len(renamed):
        why = f"{pairs} of the first {len(renamed)} records are preference pairs (chosen and rejected)"
        # Where one of the two was mapped to an answer, the other is not wanted.
        found = None if not set(SIDES).isdisjoint(options.columns.values()) else "preference"
        return (found if options.format == AUTO else options.format), why
    formats = [f for f in FORMATS if options.format == f.name or (options.format == AUTO and not f.sides)]
    counts = [
        (sum(item.fits(fields) for fields in renamed), sum(item.fits_by_own_names(fields) for fields in renamed))
        for item in formats
    ]
    best, (count, _) = max(zip(formats, counts, strict=True), key=lambda pair: pair[1])
    if not count and options.format == AUTO:
        return None, f"no format fits the fields {plain_text(', '.join(columns), 120) or '(none)'}"
    like = next((fields for fields in renamed if best.fits(fields)), {})
    needed = " and ".join(field.found_in(like) or field.name for field in best.required)
    return best.name, f"{count} of the first {len(renamed)} records have {needed}"
