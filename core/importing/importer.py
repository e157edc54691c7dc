"""Brings data files into the store: reads their examples, and counts what is left out and why."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import NoUsableRows, SourceUnreadable
from core.examples import Rejected
from core.file_hash import file_sha256
from core.importing.detection import Detection, detect_format
from core.importing.records import REASONS, plain_text
from core.importing.row_reading import named_domain, read_blocks
from core.importing.source_options import AUTO, SourceOptions
from core.importing.unpacking import check_readable
from core.row_blocks import RowBlock
from core.store import Store


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import brought: rows kept and records rejected [counts], by reason and by domain.

    `already_imported` says that the dataset had this file, read with these options, before: nothing was added,
    and the counts are those of the first time.
    """

    dataset: str
    source: str
    format: str
    rows: int
    rejected: int
    by_reason: dict[str, int]
    domains: dict[str, int]
    already_imported: bool


def import_source(
    store: Store, dataset: str, path: Path, options: SourceOptions, source_name: str | None = None
) -> ImportReport:
    """Add a file to a dataset (made if new), all of it or nothing.

    Raises `SourceUnreadable` if the file cannot be read, or changes meanwhile; `NoUsableRows` if no record of it
    can be scored.
    """
    name = source_name or path.name
    check_readable(path)
    before = os.stat(path)
    sha256 = file_sha256(path)
    detection = detect_format(path, options)
    resolved = replace(options, format=detection.format or AUTO, domain=named_domain(options.domain, path.name))
    fresh = False

    def blocks() -> Iterator[RowBlock]:
        nonlocal fresh
        fresh = True
        yield from _require_rows(read_blocks(path, resolved), name, detection)
        after = os.stat(path)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise SourceUnreadable(f"{name} changed while it was read. Import it again when it is finished.")

    source_id = store.add_source(dataset, name, resolved.format, sha256, resolved.to_fields(), blocks())
    return _report(store, dataset, source_id, already_imported=not fresh)


def check_domain_field(path: Path, options: SourceOptions) -> None:
    """Raise `SourceUnreadable` if the first records have no field of the name that the domain is to come from.

    Such a name is a slip of the pen, and would leave every row unlabelled without a word.
    """
    if not options.domain.field:
        return
    columns = detect_format(path, options).columns
    if columns and options.domain.field not in columns:
        found = ", ".join(plain_text(column, 40) for column in columns)
        raise SourceUnreadable(
            f"The first records of {path.name} have no field {plain_text(options.domain.field, 40)!r} for the domain. "
            f"They have: {found}. Name one of these, or one domain for all rows."
        )


def _require_rows(blocks: Iterator[RowBlock], name: str, detection: Detection) -> Iterator[RowBlock]:
    """Pass blocks on; raise `NoUsableRows` at their end if there was no row among them."""
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
        raise NoUsableRows(f"{name} holds no record. Check that it is the file you meant.")
    reason, count = reasons.most_common(1)[0]
    sample = samples[reason]
    found = f" (record {sample.line}: {sample.detail})" if sample.detail else f" (record {sample.line})"
    raise NoUsableRows(
        f"No record of {name} can be used: {count:,} of {reasons.total():,} were rejected as {reason!r}{found}. "
        f"{REASONS[reason]} {_advice(reason, detection)}"
    )


def _advice(reason: str, detection: Detection) -> str:
    if reason == "preference pair":
        return (
            "Import a file with one answer to each prompt, or map the column chosen, where it is text, to the answer."
        )
    if reason == "missing field":
        return f"Map its columns to the fields of a format, or choose the format (found: {detection.why})."
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
