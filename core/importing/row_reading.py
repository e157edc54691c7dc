"""Reads a file's records as dataset rows, one by one, and the lines of JSONL in blocks."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from ..data.examples import DatasetRow, Example, Rejected
from ..data.row_blocks import RowBlock, RowBlockBuilder
from .detection import Detection, detect_format
from .fields import SourceFormat
from .formats import format_named, read_example, read_pair
from .json_parsing import parse_record
from .json_records import jsonl_lines
from .plain_reader import PlainReader
from .preference import SIDES
from .reading import PADDED, TABLES, plain_stem, read_records
from .records import RecordUnusable, SourceRecord
from .source_options import AUTO, DomainRule, SourceOptions
from .table_json import unpadded


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file's records become rows, decided before the first one is read. `options` have the file's format."""

    container: str
    options: SourceOptions
    rule: DomainRule

    @property
    def source_format(self) -> SourceFormat | None:
        """The file's format, None if it has none."""
        return format_named(self.options.format)

    def rows(self, record: SourceRecord) -> tuple[DatasetRow, ...]:
        """A record as a row, or as the two of a preference pair, the chosen one first. Raises `RecordUnusable`."""
        fields = self.options.remapped(record.fields, forgiving=self.container in TABLES)
        if self.container in PADDED:
            fields = unpadded(fields)
        notices: list[str] = []
        examples: tuple[Example, ...]
        if self.source_format and self.source_format.sides:
            examples = read_pair(self.source_format, fields, notices)
        else:
            mapped_on_purpose = not set(SIDES).isdisjoint(self.options.columns.values())
            examples = (read_example(self.source_format, fields, mapped_on_purpose, notices),)
        domain, noticed = self.rule.domain_of(record.fields), tuple(dict.fromkeys(notices))
        first = DatasetRow(record.line, domain, examples[0], record.original, noticed, len(examples) > 1)
        return first, *(DatasetRow(record.line, domain, example, record.original) for example in examples[1:])


def read_examples(
    path: Path, options: SourceOptions, detection: Detection | None = None
) -> Generator[DatasetRow | Rejected, None, None]:
    """Every record of a file as a row, or as rejected with the reason; streams in bounded memory. `detection`: what
    `detect_format` found in the file, if it was asked already.

    Raises `SourceUnreadable` if the file is not a data file, or cannot be read to its end.
    """
    yield from rows_of(path, reading_of(path, options, detection))


def preview(path: Path, options: SourceOptions, rows: int = 5) -> list[DatasetRow | Rejected]:
    """The first records of a file, as from `read_examples`."""
    with closing(read_examples(path, options)) as records:
        return list(islice(records, rows))


def named_domain(rule: DomainRule, file_name: str) -> DomainRule:
    """The rule, with the file's name as the domain if it gives no other."""
    return rule if rule.name or rule.field else DomainRule(name=plain_stem(file_name))


def reading_of(path: Path, options: SourceOptions, detection: Detection | None = None) -> Reading:
    """How a file is read with these options. `detection` and errors as of `read_examples`."""
    detection = detection or detect_format(path, options)
    # The options need the format: they hide the other names of a field that is mapped.
    resolved = replace(options, format=detection.format or AUTO)
    return Reading(detection.container, resolved, named_domain(options.domain, path.name))


def rows_of(path: Path, reading: Reading) -> Generator[DatasetRow | Rejected, None, None]:
    """The records of a file that is read so, as of `read_examples`."""
    with closing(read_records(path, reading.container, reading.options.split)) as read:
        join = reading.source_format.join if reading.source_format else None
        for record in join(read) if join else read:
            if isinstance(record, Rejected):
                yield record
                continue
            try:
                yield from reading.rows(record)
            except RecordUnusable as unusable:
                yield unusable.at(record.line)


def read_lines(stream: BinaryIO, reading: Reading, first: int = 1) -> Iterator[RowBlock]:
    """The rows of JSONL lines, which are numbered from `first` on."""
    plain = PlainReader(reading.source_format, reading.options, reading.rule)
    builder = RowBlockBuilder()
    for line, original in jsonl_lines(stream, first):
        if isinstance(original, Rejected):
            builder.add_record(original)
        elif found := plain.read(original):
            builder.add(line, found.domain, original, found.conversation, found.prompt, found.response)
        else:
            _add_strictly(builder, line, original, reading)
        if builder.is_full:
            yield builder.take()
    yield builder.take()


def _add_strictly(builder: RowBlockBuilder, line: int, original: bytes, reading: Reading) -> None:
    try:
        for row in reading.rows(parse_record(line, original)):
            builder.add_record(row)
    except RecordUnusable as unusable:
        builder.add_record(unusable.at(line))
