"""Reads a file's records as dataset rows: one by one for previews, in blocks for the store."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from ..data.examples import DatasetRow, Example, Rejected
from ..data.row_blocks import RowBlock, RowBlockBuilder, row_blocks
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
from .unpacking import open_unpacked


@dataclass(frozen=True, slots=True)
class _Reading:
    """How a file's records become rows, decided before the first one is read."""

    container: str
    source_format: SourceFormat | None
    options: SourceOptions
    rule: DomainRule

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
    yield from _read_examples(path, _reading(path, options, detection))


def read_blocks(
    path: Path, options: SourceOptions, detection: Detection | None = None
) -> Generator[RowBlock, None, None]:
    """The rows of `read_examples` in column-wise blocks: a fast path for plain JSONL records.

    `detection` is what `detect_format` found in it, if that was called already. Raises `SourceUnreadable` like it.
    """
    reading = _reading(path, options, detection)
    if reading.container == "jsonl" and not (reading.source_format and reading.source_format.join):
        yield from _read_jsonl(path, reading)
    else:
        with closing(_read_examples(path, reading)) as records:
            yield from row_blocks(records)


def preview(path: Path, options: SourceOptions, rows: int = 5) -> list[DatasetRow | Rejected]:
    """The first records of a file, as from `read_examples`."""
    with closing(read_examples(path, options)) as records:
        return list(islice(records, rows))


def named_domain(rule: DomainRule, file_name: str) -> DomainRule:
    """The rule, with the file's name as the domain if it gives no other."""
    return rule if rule.name or rule.field else DomainRule(name=plain_stem(file_name))


def _reading(path: Path, options: SourceOptions, detection: Detection | None = None) -> _Reading:
    detection = detection or detect_format(path, options)
    source_format = format_named(detection.format) if detection.format else None
    # The options need the format: they hide the other names of a field that is mapped.
    resolved = replace(options, format=detection.format or AUTO)
    return _Reading(detection.container, source_format, resolved, named_domain(options.domain, path.name))


def _read_examples(path: Path, reading: _Reading) -> Generator[DatasetRow | Rejected, None, None]:
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


def _read_jsonl(path: Path, reading: _Reading) -> Iterator[RowBlock]:
    plain = PlainReader(reading.source_format, reading.options, reading.rule)
    builder = RowBlockBuilder()
    with open_unpacked(path) as stream:
        for line, original in jsonl_lines(stream):
            if isinstance(original, Rejected):
                builder.add_record(original)
            elif found := plain.read(original):
                builder.add(line, found.domain, original, found.conversation, found.prompt, found.response)
            else:
                _add_strictly(builder, line, original, reading)
            if builder.is_full:
                yield builder.take()
    yield builder.take()


def _add_strictly(builder: RowBlockBuilder, line: int, original: bytes, reading: _Reading) -> None:
    try:
        for row in reading.rows(parse_record(line, original)):
            builder.add_record(row)
    except RecordUnusable as unusable:
        builder.add_record(unusable.at(line))
