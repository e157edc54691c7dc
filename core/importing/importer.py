"""Imports data files into the store, and counts skipped records by reason."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..data.errors import NoUsableRows, SourceUnreadable
from ..data.examples import Rejected
from ..data.row_blocks import RowBlock
from ..store import Store
from ..system.file_hash import file_sha256
from .block_reading import read_blocks
from .detection import Detection, detect_format
from .records import REASONS, plain_text
from .row_reading import named_domain
from .source_options import AUTO, DomainRule, SourceOptions
from .sources import DataFile
from .unpacking import check_readable


@dataclass(frozen=True, slots=True)
class ImportReport:
    """Result of an import: rows kept and records rejected [counts], by reason and by domain.

    `already_imported`: the dataset already had this file with these options, so nothing was added and the counts are
    those of the first import. `notices` are warnings about rows that were kept; they are reported on import and not
    stored. `origin` is where the file came from (see `DataFile`).
    """

    dataset: str
    source: str
    format: str
    rows: int
    rejected: int
    by_reason: dict[str, int]
    domains: dict[str, int]
    already_imported: bool
    notices: tuple[str, ...] = ()
    origin: Mapping[str, str] = field(default_factory=dict)


def import_source(
    store: Store,
    dataset: str,
    path: Path,
    options: SourceOptions,
    source_name: str | None = None,
    require_columns: bool = False,
) -> ImportReport:
    """Add a file to a dataset (created if new), completely or not at all.

    Raises `SourceUnreadable` if the file cannot be read, changes meanwhile, or (with `require_columns`) its first
    records lack a column named in the options; `NoUsableRows` if none of its records can be scored.
    """
    name = source_name or path.name
    check_readable(path)
    before = os.stat(path)
    detection = detect_format(path, options)
    if require_columns:
        check_columns(path, options, detection)
    sha256 = file_sha256(path)
    resolved = replace(options, format=detection.format or AUTO, domain=named_domain(options.domain, path.name))
    fresh = False
    noticed: Counter[str] = Counter()
    pairs = 0

    def blocks() -> Iterator[RowBlock]:
        nonlocal fresh, pairs
        fresh = True
        for block in _require_rows(read_blocks(path, resolved, detection), name, detection):
            noticed.update(block.notices)
            pairs += block.rows["is_chosen"].to_numpy().sum()
            yield block
        after = os.stat(path)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise SourceUnreadable(f"{name} changed while it was being read. Import it again once it is complete.")

    source_id = store.add_source(dataset, name, resolved.format, sha256, resolved.to_fields(), blocks())
    report = _report(store, dataset, source_id, already_imported=not fresh)
    return replace(report, origin=options.origin, notices=_sentences(detection, noticed, pairs) if fresh else ())


def import_file(store: Store, dataset: str, file: DataFile, options: SourceOptions) -> ImportReport:
    """Add a data file to a dataset; known facts about the file fill in missing options.

    Raises like `import_source`, and `SourceUnreadable` if the file lacks a column named in the options.
    """
    return import_source(store, dataset, file.path, options_for(file, options), file.name, require_columns=True)


def options_for(file: DataFile, options: SourceOptions) -> SourceOptions:
    """The options completed with facts about a file: its domain if none is given, its split and its origin."""
    domain = options.domain
    if file.domain and not (domain.name or domain.field):
        domain = DomainRule(name=file.domain)
    return replace(options, domain=domain, split=file.split, origin=file.origin)


def _sentences(detection: Detection, noticed: Mapping[str, int], pairs: int) -> tuple[str, ...]:
    """The notices about the file as a whole, then notices about its rows, the most frequent first."""
    whole = [detection.note] if detection.note else []
    if pairs:
        whole.append(f"{pairs:,} preference {'pair' if pairs == 1 else 'pairs'}: two rows each, chosen and rejected.")
    counted = sorted(noticed.items(), key=lambda item: (-item[1], item[0]))
    rows = [f"{count:,} {'row has' if count == 1 else 'rows have'} {what}." for what, count in counted]
    return (*whole, *rows)


def check_columns(path: Path, options: SourceOptions, detection: Detection) -> None:
    """Raise `SourceUnreadable` if the first records lack a column mapped to the domain or to a field.

    Such a name is a typo; every row would be unlabelled, or rejected, without any message.
    """
    wanted = {column: f"the field {field}" for field, column in options.columns.items() if column}
    if options.domain.field:
        wanted[options.domain.field] = "the domain"
    for column, purpose in wanted.items():
        if detection.columns and column not in detection.columns:
            found = ", ".join(plain_text(name, 40) for name in detection.columns)
            raise SourceUnreadable(
                f"The first records of {path.name} have no field {plain_text(column, 40)!r} for {purpose}. "
                f"They have: {found}. Name one of these{', or one domain for all rows' * (purpose == 'the domain')}."
            )


def _require_rows(blocks: Iterator[RowBlock], name: str, detection: Detection) -> Iterator[RowBlock]:
    """Pass blocks through; raise `NoUsableRows` at the end if they held no row."""
    reasons: Counter[str] = Counter()
    samples: dict[str, Rejected] = {}
    rows = 0
    for block in blocks:
        rows += block.rows.num_rows
        for rejected in block.rejected:
            reasons[rejected.reason] += 1
            samples.setdefault(rejected.reason, rejected)
        yield block
    if rows:
        return
    if not reasons:
        raise NoUsableRows(f"{name} has no records. Check that it is the right file.")
    reason, count = reasons.most_common(1)[0]
    sample = samples[reason]
    found = f" (record {sample.line}: {sample.detail})" if sample.detail else f" (record {sample.line})"
    raise NoUsableRows(
        f"No record of {name} can be used: {count:,} of {reasons.total():,} were rejected as {reason!r}{found}. "
        f"{REASONS[reason]} {_advice(reason, detection)}"
    )


def _advice(reason: str, detection: Detection) -> str:
    if reason == "preference pair":
        return "Choose the format preference, or map the column chosen to the answer if it is text."
    if reason == "missing field":
        return (
            "Map its columns to a format's fields (--column FIELD=COLUMN, or on the page), or choose the format "
            f"(found: {detection.why})."
        )
    return "Correct the file, or choose another."


def _report(store: Store, dataset: str, source_id: int, already_imported: bool) -> ImportReport:
    name, source_format, rows, rejected = store.rows(
        "SELECT name, format, row_count, rejected_count FROM source WHERE source_id = ?", [source_id]
    )[0]
    by_reason = "SELECT reason, count(*) FROM rejection WHERE source_id = ? GROUP BY reason ORDER BY 2 DESC, 1"
    by_domain = "SELECT domain, count(*) FROM dataset_row WHERE source_id = ? GROUP BY domain ORDER BY 2 DESC, 1"
    return ImportReport(
        dataset=dataset,
        source=name,
        format=source_format,
        rows=rows,
        rejected=rejected,
        by_reason=dict(store.rows(by_reason, [source_id])),
        domains=dict(store.rows(by_domain, [source_id])),
        already_imported=already_imported,
    )
