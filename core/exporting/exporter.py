"""Exports a selection: writes its original records to one file, and a manifest with their origin."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.errors import ExportFailed
from ..data.loss_roles import PAIRS
from ..data.scores import FLAGS
from ..selection import Selection, Summary, kept_rows, scored_run, select_summary
from ..store import Store
from ..system.atomic_files import sole_publisher
from ..system.durable_file import DurableFile
from ..system.file_hash import file_sha256
from ..system.paths import named_path
from ..system.permission import require_change
from ..system.workspace_files import EXPORTS, check_output, make_private_folder
from .columns import Survey, UnseenField, sampled, surveyed
from .manifest import MANIFEST_SUFFIX, manifest, manifest_path
from .record_chunks import (
    csv_pieces,
    export_columns,
    export_row,
    json_pieces,
    jsonl_pieces,
    write_parquet,
)
from .selected_chunks import SelectedRows
from .writing import ExportRow, Format, format_for

_BATCH_ROWS = 2048


@dataclass(frozen=True, slots=True)
class ExportReport:
    """A written export: rows, path, SHA-256, size [bytes] and manifest."""

    rows: int
    path: Path
    sha256: str
    byte_count: int
    manifest_path: Path
    notices: tuple[str, ...] = ()


def export_selection(
    store: Store,
    selection: Selection,
    destination: Path,
    format: str | None = None,
    with_scores: bool = False,
    spreadsheet_guard: bool = False,
    name: str | None = None,
    evidence: dict[str, Any] | None = None,
) -> ExportReport:
    """Write the selected records in dataset order to `destination`, then `<destination>.manifest.json`.

    The format is `format`, else that of the suffix; a name that ends in .gz is compressed. The data file is written
    completely or not at all, and the manifest last, so that its presence means complete. `name` is the selection's
    and `evidence` what a trial says of it, for the manifest. Raises `ExportFailed` and leaves no partial files.
    """
    require_change()  # before the queries, so that they are not limited as a page's
    chosen, compress = format_for(destination, format)
    check_destination(store, selection, destination)
    summary = select_summary(store, selection)
    if not summary.kept_rows:
        raise ExportFailed("The selection is empty, so nothing was written. Increase its amount or relax its filters.")

    rows = SelectedRows.of(store, selection)
    if rows.count != summary.kept_rows:
        raise ExportFailed("The dataset changed during the export. Export again.")
    export = _Export(store, selection, destination, chosen, compress, with_scores, spreadsheet_guard, name, evidence)
    found = sampled(rows, with_scores) if chosen.tabular else None
    try:
        try:
            return export.write(rows, summary, found)
        except UnseenField:
            return export.write(rows, summary, found and surveyed(rows, found))
    except OSError as error:
        raise ExportFailed(
            f"{destination} cannot be written ({error.strerror or error}). Free disk space or choose another location."
        ) from error


def publish(file: DurableFile, beside: DurableFile, fields: dict[str, Any]) -> None:
    """Move data and manifest to their final names. An old manifest must never be next to new data, and new data must
    not look complete before its manifest is there. Of two exports to one path at the same time, the last one stays."""
    beside.write(json_file(fields))
    beside.finish()
    with sole_publisher(file.path.parent):
        beside.path.unlink(missing_ok=True)
        file.replace()
        beside.replace()


def json_file(fields: dict[str, Any]) -> bytes:
    """Fields as indented JSON, readable for people."""
    return json.dumps(fields, indent=2, ensure_ascii=False).encode() + b"\n"


def exports_folder(workspace: Path) -> Path:
    """The workspace's folder for exports, created if missing. Raises `ExportFailed`."""
    folder = workspace / EXPORTS
    try:
        make_private_folder(folder)
    except OSError as error:
        raise ExportFailed(
            f"The folder {folder} cannot be created ({error.strerror}). Remove the file of that name or free space."
        ) from error
    return folder


def export_rows(
    store: Store, selection: Selection, with_scores: bool = False, limit: int | None = None
) -> Iterator[ExportRow]:
    """The selected records in dataset order, streamed; at most `limit` if given."""
    rows = SelectedRows.of(store, selection)
    rows = rows if limit is None else rows.first(limit)
    scores = rows.scores if with_scores else ()
    for chunk in rows.chunks(", ".join(export_columns(scores)), with_scores=with_scores):
        for row in chunk.to_pylist():
            yield export_row(row, scores)


def selected_records(
    store: Store, selection: Selection, limit: int | None = None, conversations: bool = False
) -> Iterator[dict[str, Any]]:
    """The selected rows in dataset order, streamed: row_number, example_id (text), original, rank, domain, pair, side,
    and every score and flag; with `conversations`, also the conversation as canonical JSON."""
    sql, values = kept_rows(store, selection)
    run = scored_run(store, selection.run)
    columns = ", ".join(f"s.{column}" for column in (*run.score_columns, "token_count", "pair", "side", *FLAGS))
    text, texts = ("conversation, ", "JOIN example e ON e.example_id = k.example_id") if conversations else ("", "")
    batches = store.batches(
        f"""
        SELECT k.row_number, k.example_id::VARCHAR AS example_id, original, {text}k.rank, s.domain, {columns}
        FROM ({sql}) k JOIN dataset_row r ON r.row_number = k.row_number AND r.dataset_id = ?
        JOIN {run.table} s ON s.row_number = k.row_number {texts}
        ORDER BY k.row_number {"" if limit is None else f"LIMIT {limit:d}"}
        """,
        [*values, store.dataset_id(run.dataset)],
        _BATCH_ROWS,
    )
    for batch in batches:
        yield from batch.to_pylist()


@dataclass(frozen=True, slots=True)
class _Export:
    """One export: the selection, the destination and the options."""

    store: Store
    selection: Selection
    destination: Path
    chosen: Format
    compress: bool
    with_scores: bool
    guard: bool
    name: str | None
    evidence: dict[str, Any] | None

    def write(self, rows: SelectedRows, summary: Summary, found: Survey | None) -> ExportReport:
        """Write data and manifest. `found`: the columns of a tabular format. Raises `UnseenField` or `OSError`."""
        with DurableFile(self.destination) as file, DurableFile(manifest_path(self.destination)) as beside:
            self._fill(file, rows, found)
            file.finish()
            output = {
                "file": self.destination.name,
                "format": self.chosen.name,
                "compressed": self.compress,
                "with_scores": self.with_scores,
                "spreadsheet_guard": self.guard and self.chosen.name == "csv",
                "rows": rows.count,
                "tokens": summary.kept_tokens,
                "bytes": file.byte_count,
                "sha256": file.sha256,
            }
            fields = manifest(self.store, self.selection, summary, output, self.name, self.evidence)
            publish(file, beside, fields)
        notices = (*summary.notices, *_pair_notices(self.store, self.selection))
        return ExportReport(rows.count, self.destination, file.sha256, file.byte_count, beside.path, notices)

    def _fill(self, file: DurableFile, rows: SelectedRows, found: Survey | None) -> None:
        if found and self.chosen.name == "parquet":
            write_parquet(file, rows, found)
            return
        if found:
            pieces = csv_pieces(rows, found, self.guard)
        else:
            pieces = (jsonl_pieces if self.chosen.name == "jsonl" else json_pieces)(rows, self.with_scores)
        if not self.compress:
            for piece in pieces:
                file.write(piece)
            return
        with file.compressed() as stream:
            for piece in pieces:
                stream.write(piece)


def rejected_count(store: Store, selection: Selection) -> int:
    """How many selected rows are the rejected side of a preference pair."""
    run = scored_run(store, selection.run)
    if PAIRS not in run.roles:
        return 0
    sql, values = kept_rows(store, selection)
    counted = f"SELECT count(*) FROM ({sql}) k JOIN {run.table} s USING (row_number) WHERE side = 'rejected'"
    return int(store.rows(counted, values)[0][0])


def _pair_notices(store: Store, selection: Selection) -> list[str]:
    rows = rejected_count(store, selection)
    if not rows:
        return []
    return [
        f"{rows:,} of the rows are rejected answers of preference pairs. A pair's record is written for each of its "
        "selected rows; a bundle for DPO has it once."
    ]


def check_destination(store: Store, selection: Selection, destination: Path) -> None:
    """Raise `ExportFailed` for a location that is not writable or is a source file of the dataset, `PathRefused` for
    one in the workspace."""
    named_path(str(destination))
    check_output(destination, store.workspace)
    if destination.name.endswith(MANIFEST_SUFFIX):
        raise ExportFailed(f"{destination.name!r} is the name of an export's manifest. Choose another name.")
    if destination.is_dir():
        raise ExportFailed(f"{destination} is a folder. Add a file name, such as {destination / 'selection.jsonl'}.")
    check_folder(destination.parent)
    if destination.is_file() and not manifest_path(destination).exists():
        dataset_id = store.dataset_id(store.run(selection.run)["dataset"])
        if store.rows(
            "SELECT 1 FROM source WHERE dataset_id = ? AND sha256 = ?", [dataset_id, file_sha256(destination)]
        ):
            raise ExportFailed(f"{destination} is a source file of the dataset. Choose another name.")


def check_folder(folder: Path) -> None:
    """Raise `ExportFailed` if the folder is missing or not writable."""
    if not folder.is_dir():
        raise ExportFailed(f"The folder {folder} does not exist. Create it or choose another location.")
    if not os.access(folder, os.W_OK):
        raise ExportFailed(f"The folder {folder} is not writable. Choose another location.")
