"""Bundles: the selected rows in a trainer's format, with its config and the command to run, as a folder or a zip."""

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..data.errors import ExportFailed, JsonInvalid
from ..data.examples import Example
from ..data.json_types import shown
from ..data.unicode_text import is_unicode
from ..selection import Selection, scored_run, select_summary
from ..store import Store
from ..system.atomic_files import published_folder
from ..system.durable_file import DurableFile
from ..system.paths import named_path, plain_name
from ..system.permission import require_change
from ..system.untrusted_json import read_json_object
from ..system.workspace_files import check_output
from .bundle_plan import ConversationShape, with_last_reply_alone
from .bundle_readme import readme
from .exporter import check_destination, check_folder, json_file, publish, selected_records
from .manifest import manifest, manifest_path
from .preflight import Preflight, judge, preflight
from .record_text import on_one_line
from .score_text import row_scores
from .trainer_configs import DATA_FILE
from .trainers import trainer_named

SCORES_FILE = "scores.jsonl"
"""Scores of the rows, by line of the data. A separate file, because loaders can fail on unknown columns."""
MANIFEST_FILE = "manifest.json"
README_FILE = "README.txt"
PIECE_BYTES = 2**18
_OLDEST_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class BundleReport:
    """A written bundle: path, rows, SHA-256 (of the zip, or of the folder's data file), size [bytes], manifest, and the
    preflight."""

    rows: int
    path: Path
    sha256: str
    byte_count: int
    manifest_path: Path
    preflight: Preflight
    notices: tuple[str, ...] = ()


def export_bundle(
    store: Store,
    selection: Selection,
    destination: Path,
    trainer: str,
    name: str | None = None,
    evidence: dict[str, Any] | None = None,
) -> BundleReport:
    """Write a bundle to `destination`: a zip if its name ends in .zip, else a folder. `name` is the selection's and
    `evidence` what a trial says of it, for the manifest.

    It is written completely or not at all; the manifest is the last file. An existing bundle is overwritten, anything
    else is not touched. Rows that the trainer would reject are skipped and counted. The same selection gives the same
    bytes. Raises `ExportFailed` and leaves no partial files.
    """
    require_change()  # before the queries, so that they are not limited as a page's
    _check_place(store, selection, destination)
    summary = select_summary(store, selection)
    found = preflight(store, selection, trainer)
    _check_name(found.plan.model)
    if not found.written_rows:
        raise ExportFailed(_nothing_to_write(found))
    fields = manifest(store, selection, summary, {}, name, evidence)
    # No timestamp, so that equal selections give equal bundles.
    del fields["created_at"]
    write = _write_zip if _is_zip(destination) else _write_folder
    try:
        with tempfile.TemporaryFile(dir=destination.parent) as aside:
            parts = _parts(store, selection, found, aside)
            sha256, byte_count = write(destination, parts, fields, found)
    except OSError as error:
        raise ExportFailed(
            f"{destination} cannot be written ({error.strerror or error}). Free disk space or choose another location."
        ) from error
    beside = manifest_path(destination) if _is_zip(destination) else destination / MANIFEST_FILE
    notices = (*summary.notices, *found.notices)
    return BundleReport(found.written_rows, destination, sha256, byte_count, beside, found, notices)


def bundle_records(
    store: Store, selection: Selection, found: Preflight, limit: int | None = None
) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Records of a bundle in dataset order, each as its line (without line end) and its scores; at most `limit`."""
    trainer, plan = trainer_named(found.trainer), found.plan
    needed = None if limit is None else limit * found.rows_together + found.rows - found.written_rows
    written = 0
    scores = scored_run(store, selection.run).score_columns
    chosen: tuple[dict[str, Any], Example] | None = None
    for row in selected_records(store, selection, needed, conversations=True):
        example = Example.from_json(row["conversation"])
        example = with_last_reply_alone(example) if plan.replies == "last" else example
        if judge(trainer, ConversationShape.of(example, row["truncated"]), plan)[0]:
            continue
        record, more = None, {}
        if trainer.pair_record:  # the chosen row comes right before the rejected one
            if row["side"] == "chosen" or not chosen or chosen[0]["pair"] != row["pair"]:
                chosen = (row, example) if row["side"] == "chosen" else None
                continue
            record = trainer.pair_record(chosen[1], example, plan)
            more = {"rejected_row_number": row["row_number"], "rejected_example_id": row["example_id"]}
            row, chosen = chosen[0], None
        elif trainer.record:
            record = trainer.record(example, plan)
        written += 1
        if limit is not None and written > limit:
            return
        if record is None:
            line = on_one_line(row["original"])
        else:
            if written == 1 and plan.details and trainer.first_record:
                record = trainer.first_record(record)
            line = json.dumps(record, ensure_ascii=False).encode()
        place = {"line": written, "row_number": row["row_number"], "example_id": row["example_id"]}
        yield line, place | more | row_scores(row, scores)


def _parts(
    store: Store, selection: Selection, found: Preflight, aside: BinaryIO
) -> dict[str, Callable[[], Iterator[bytes]]]:
    """The bundle's files in order. Each must be read once, in this order.

    Every record is computed once: its scores are kept in the file `aside` until all lines are written.
    """

    def data() -> Iterator[bytes]:
        count, lines, size = 0, [], 0
        for line, row in bundle_records(store, selection, found):
            count += 1
            aside.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
            lines.append(line + b"\n")
            size += len(line)
            if size >= PIECE_BYTES:
                yield b"".join(lines)
                lines, size = [], 0
        yield b"".join(lines)
        if count * found.rows_together != found.written_rows:
            raise ExportFailed("The dataset changed during the export. Export again.")

    def scores() -> Iterator[bytes]:
        aside.seek(0)
        while piece := aside.read(PIECE_BYTES):
            yield piece

    texts = trainer_named(found.trainer).files(found.plan) | {README_FILE: readme(found)}
    fixed = {name: _once(text) for name, text in texts.items()}
    return {DATA_FILE: data, SCORES_FILE: scores, **fixed}


def _check_place(store: Store, selection: Selection, destination: Path) -> None:
    """Raise `ExportFailed` for a location that is not writable or holds something other than a bundle."""
    if _is_zip(destination):
        check_destination(store, selection, destination)
        return
    named_path(str(destination))
    check_output(destination, store.workspace)
    check_folder(destination.parent)
    if destination.exists() and not _is_bundle(destination):
        raise ExportFailed(
            f"{destination} exists and is not a bundle, so it is not overwritten. Choose another name, or a name that "
            "ends in .zip."
        )


def _check_name(model: str) -> None:
    """Raise `ExportFailed` for a model whose name cannot be written into a config."""
    if not is_unicode(model):
        raise ExportFailed(
            f"The name of the base {shown(model)} is not valid Unicode, so no trainer could read it. Rename its folder."
        )


def _is_zip(destination: Path) -> bool:
    return destination.suffix.lower() == ".zip"


def _is_bundle(folder: Path) -> bool:
    """Whether a folder is a bundle or empty."""
    try:
        if not any(folder.iterdir()):
            return True
        output = read_json_object(folder / MANIFEST_FILE).get("output")
        return isinstance(output, dict) and "bundle" in output
    except (OSError, JsonInvalid):
        return False


def _nothing_to_write(found: Preflight) -> str:
    if not found.rows:
        return "The selection is empty, so nothing was written. Increase its amount or relax its filters."
    reasons = "; ".join(f"{finding.rows:,} because {finding.reason.sentence}" for finding in found.left_out)
    return (
        f"The trainer {found.trainer} can use none of the {found.rows:,} rows, so nothing was written: "
        f"{reasons}. Choose another trainer."
    )


def _once(text: str) -> Callable[[], Iterator[bytes]]:
    return lambda: iter([text.encode()])


def _output(found: Preflight, files: list[dict[str, Any]]) -> dict[str, Any]:
    """The manifest's fields about a bundle's files."""
    return {
        "bundle": found.trainer,
        "template": found.plan.template,
        "max_length": found.plan.max_length,
        "kept_rows": found.rows,
        "rows": found.written_rows,
        **({"pairs": found.written_rows // 2} if found.rows_together > 1 else {}),
        "tokens": found.written_tokens,
        "left_out": [finding.to_fields() for finding in found.left_out],
        "changed": [finding.to_fields() for finding in found.changed],
        "notices": list(found.notices),
        "files": files,
    }


def _write_folder(
    destination: Path, parts: dict[str, Callable[[], Iterator[bytes]]], fields: dict[str, Any], found: Preflight
) -> tuple[str, int]:
    with published_folder(destination) as folder:
        files = [_write_file(folder / name, part()) for name, part in parts.items()]
        fields["output"] = _output(found, files)
        _write_file(folder / MANIFEST_FILE, [json_file(fields)])
    return str(files[0]["sha256"]), sum(file["bytes"] for file in files)


def _write_file(path: Path, pieces: Iterable[bytes]) -> dict[str, Any]:
    with DurableFile(path) as file:
        for piece in pieces:
            file.write(piece)
        file.finish()
        file.replace()
        return {"name": path.name, "bytes": file.byte_count, "sha256": file.sha256}


def _write_zip(
    destination: Path, parts: dict[str, Callable[[], Iterator[bytes]]], fields: dict[str, Any], found: Preflight
) -> tuple[str, int]:
    """Write the zip, and next to it its manifest, which also has the zip's digest."""
    with DurableFile(destination) as file, DurableFile(manifest_path(destination)) as beside:
        with zipfile.ZipFile(cast(BinaryIO, file), "w") as archive:
            # All files are in one top folder, so that unpacking is tidy.
            top = plain_name(destination.stem, "bundle")
            files = [write_entry(archive, top, name, part()) for name, part in parts.items()]
            fields["output"] = _output(found, files)
            write_entry(archive, top, MANIFEST_FILE, [json_file(fields)])
        file.finish()
        fields["output"] |= {"file": destination.name, "bytes": file.byte_count, "sha256": file.sha256}
        publish(file, beside, fields)
        return file.sha256, file.byte_count


def write_entry(archive: zipfile.ZipFile, folder: str, name: str, pieces: Iterable[bytes]) -> dict[str, Any]:
    """Write one file of a zip; equal content gives equal bytes. Returns its name, size [bytes] and SHA-256."""
    entry = zipfile.ZipInfo(f"{folder}/{name}", _OLDEST_ZIP_TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    entry.create_system = 3  # Unix, whatever wrote it: equal bundles have equal bytes
    digest, size = hashlib.sha256(), 0
    with archive.open(entry, "w", force_zip64=True) as stream:
        for piece in pieces:
            stream.write(piece)
            digest.update(piece)
            size += len(piece)
    return {"name": name, "bytes": size, "sha256": digest.hexdigest()}
