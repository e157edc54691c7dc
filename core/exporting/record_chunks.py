"""Records on their way into a file, a chunk at a time: by SQL where it is exact, one by one where it is not."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..data.scores import FLAGS
from .columns import Survey
from .record_text import on_one_line
from .score_text import (
    PLAIN_DOMAIN,
    SCORES_FIELD,
    row_scores,
    score_texts,
    score_types,
    score_values,
    scores_json,
)
from .selected_chunks import SelectedRows
from .writing import FORMULA_STARTS, INNER_FORMULA, ExportRow, csv_line, csv_names, typed_fields

# An object that has a field, closes right behind it, and has none of the scores' name, however that is escaped.
_TAKES_SCORES = rf"""coalesce(TRY(json_type(text)) = 'OBJECT' AND right(text, 1) = '}}'
    AND right(text, 2) NOT IN ('{{}}', ' }}', E'\t}}', E'\n}}', E'\r}}')
    AND NOT contains(text, '{SCORES_FIELD}') AND NOT regexp_matches(text, '\\u00[67]') AND {PLAIN_DOMAIN}, false)"""
_ONE_LINE = r"coalesce(NOT contains(text, E'\n') AND NOT contains(text, E'\r'), false)"
_COMMA, _LINE_END = r"'\x2C\x0A'::BLOB", r"'\x0A'::BLOB"
_GROUP_BYTES = 2**25


def jsonl_pieces(rows: SelectedRows, with_scores: bool) -> Iterator[Any]:
    """JSON Lines as pieces of bytes: a record that stood on one line stays as it was, byte for byte."""
    if not with_scores:
        yield from _lines(rows)
        return
    record, fits = _record(rows.scores)
    line = f"{record} || {_LINE_END}"
    yield from _pieces(
        rows, line, lambda row: on_one_line(row.with_scores()) + b"\n", rows.scores, f"{_ONE_LINE} AND {fits} AS fits"
    )


def json_pieces(rows: SelectedRows, with_scores: bool) -> Iterator[Any]:
    """One JSON array of the records' own texts, as pieces of bytes."""
    record, fits = _record(rows.scores if with_scores else ())
    line = f"{_COMMA} || {record}"
    before = b"[\n"
    if with_scores:
        pieces = _pieces(rows, line, lambda row: b",\n" + row.with_scores(), rows.scores, f"{fits} AS fits")
    else:
        pieces = map(_contents, rows.originals(line))
    for piece in pieces:
        if before:
            yield before
            yield memoryview(piece)[len(before) :]
            before = b""
        else:
            yield piece
    yield b"\n]\n"


def csv_pieces(rows: SelectedRows, found: Survey, guard: bool) -> Iterator[Any]:
    """CSV with every cell quoted, as pieces of bytes: readers disagree on a lone carriage return outside quotes.

    With `guard`, an apostrophe stands before what a spreadsheet would run as a formula (`guarded`). Raises
    `UnseenField`.
    """
    columns, plain = found.columns, found.plain

    def quoted(value: str, with_guard: bool) -> str:
        starts = f"""left(ltrim({value}, '''"'), 1) IN ({_FORMULA_STARTS})"""
        inner = f"regexp_replace({value}, {_INNER_FORMULA}, {_GUARDED}, 'g')"
        cell = f"if({starts}, '''' || {inner}, {inner})" if with_guard else value
        return f"""'"' || replace(coalesce({cell}, ''), '"', '""') || '"'"""

    # What of these is no text begins like no formula.
    cells = [quoted(plain.value(column.name), True) if guard else plain.quoted(column.name) for column in columns]
    if found.scores:
        cells += [quoted(text, guard and name == "domain") for name, text in score_texts(found.scores).items()]
    joined = " || ',' || ".join(cells)
    line = rf"encode({joined} || E'\n')" if plain.shapes else "NULL::BLOB"
    made = (plain.taken_apart, f"{plain.fits} AS fits")
    yield csv_names(columns, found.scores, guard)
    yield from _pieces(rows, line, lambda row: csv_line(row, columns, guard), found.scores, *made)


def write_parquet(sink: Any, rows: SelectedRows, found: Survey) -> None:
    """Parquet, in row groups of bounded size. Raises `UnseenField`."""
    fields = [(column.name, column.type) for column in found.columns]
    schema = pa.schema([*fields, *(score_types(found.scores).items() if found.scores else ())])
    group: list[pa.Table] = []
    with pq.ParquetWriter(sink, schema) as writer:
        for table in _tables(rows, found, schema):
            group.append(table)
            if sum(part.nbytes for part in group) >= _GROUP_BYTES:
                writer.write_table(pa.concat_tables(group))
                group = []
        if group:
            writer.write_table(pa.concat_tables(group))


def export_row(row: dict[str, Any], scores: Sequence[str]) -> ExportRow:
    """A row as the store has it, on its way out, with these scores; without domain and flags either if there are
    none."""
    return ExportRow(row["original"], row_scores(row, scores) if scores else {})


def export_columns(scores: Sequence[str]) -> tuple[str, ...]:
    """The columns of a row that `export_row` reads."""
    return ("original", *(("rank", "domain", "token_count", *scores, *FLAGS) if scores else ()))


_INNER_FORMULA = "'" + INNER_FORMULA.replace("'", "''") + "'"
_GUARDED = r"'\1''\2'"
_FORMULA_STARTS = ", ".join(f"chr({ord(start)})" for start in FORMULA_STARTS)


def _record(scores: Sequence[str]) -> tuple[str, str]:
    """SQL of a record's bytes, and whether they are all that should be written."""
    if not scores:
        return "original", "true"
    return f"""encode(left(text, -1) || ', "{SCORES_FIELD}": ' || {scores_json(scores)} || '}}')""", _TAKES_SCORES


def _pieces(
    rows: SelectedRows, line: str, one: Callable[[ExportRow], bytes], scores: Sequence[str], *made: str
) -> Iterator[Any]:
    """The bytes of all rows: those of `line` (SQL) where a row `fits`, else what `one` makes of it."""
    columns = f"CASE WHEN fits THEN {line} END AS line, {_slow(scores)}"
    for chunk in rows.chunks(columns, *made, with_scores=bool(scores)):
        if not chunk["line"].null_count:
            yield from map(_contents, chunk["line"].chunks)
            continue
        lines, slow = chunk["line"].to_pylist(), chunk["slow"].to_pylist()
        yield b"".join(
            found if row is None else one(export_row(row, scores)) for found, row in zip(lines, slow, strict=True)
        )


def _slow(scores: Sequence[str]) -> str:
    """SQL of a row that does not fit, whole; NULL of one that does."""
    members = ", ".join(f"{column} := {column}" for column in export_columns(scores))
    return f"CASE WHEN NOT fits THEN struct_pack({members}) END AS slow"


def _lines(rows: SelectedRows) -> Iterator[Any]:
    """The records as lines. Breaks within one show in the count of all: there is one a line, and no other."""
    for column in rows.originals(f"original || {_LINE_END}"):
        piece = bytes(_contents(column))
        if piece.count(b"\n") != len(column) or b"\r" in piece:
            piece = b"".join(on_one_line(line[:-1]) + b"\n" for line in column.to_pylist())
        yield piece


def _contents(column: pa.Array) -> memoryview:
    """The bytes of a binary column's values one after another, as they lie in memory."""
    _, offsets, data = column.buffers()
    if not len(column) or not data:
        return memoryview(b"")
    places = memoryview(offsets).cast("B").cast("q" if pa.types.is_large_binary(column.type) else "i")
    return memoryview(data)[places[column.offset] : places[column.offset + len(column)]]


def _tables(rows: SelectedRows, found: Survey, schema: Any) -> Iterator[pa.Table]:
    """The rows as tables: of those that do not fit, the values are put in one by one."""
    columns, plain, types = found.columns, found.plain, [column.type for column in found.columns]
    cells = [
        f"CASE WHEN fits THEN {_typed(plain.value(column.name), kind)} END AS column_{place}"
        for place, (column, kind) in enumerate(zip(columns, types, strict=True))
    ]
    if found.scores:
        cells += [f"{value} AS score_{name}" for name, value in score_values(found.scores).items()]
    made = (plain.taken_apart, f"{plain.fits} AS fits")
    for chunk in rows.chunks(", ".join([*cells, _slow(found.scores)]), *made, with_scores=bool(found.scores)):
        table = chunk.drop_columns(["slow"]).rename_columns(schema.names).cast(schema)
        slow = [(place, row) for place, row in enumerate(chunk["slow"].to_pylist()) if row]
        if slow:
            values = [typed_fields(export_row(row, found.scores), columns, types) for _, row in slow]
            places = list(range(chunk.num_rows))
            for number, (place, _) in enumerate(slow):
                places[place] = chunk.num_rows + number
            table = pa.concat_tables([table, pa.Table.from_pylist(values, schema)]).take(places)
        yield table


def _typed(value: str, kind: Any) -> str:
    """SQL of a value of a column's type, made of its text."""
    if kind == pa.bool_():
        return f"{value} = 'true'"
    if kind == pa.string():
        return value
    return f"CAST({value} AS {'BIGINT' if kind == pa.int64() else 'DOUBLE'})"
