"""Compares scored tokens with the tokens a trainer trains on; the trainer's own code reads the first bundle rows.

Not imported by the package's `__init__`: encoding needs transformers, which the dashboard does not import.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ..data.errors import ExportFailed
from ..data.examples import Example
from ..encoding.encode import encode_examples
from ..encoding.encoding_spec import EncodingSpec
from ..models.resolving import ModelSpec
from ..selection import Selection
from ..store import Store
from ..system.program import has_package
from .bundles import bundle_records
from .exporter import selected_records
from .mask_diff import MaskReport, Tokens, compare_masks
from .preflight import Preflight, preflight
from .trainer_configs import DATA_FILE
from .trainers import TRAINERS, Trainer, trainer_named

READ_BY = {"trl": "trl", "axolotl": "axolotl", "llama-factory": "llamafactory"}
"""The Python package of each trainer that reads its bundles."""

_READERS = Path(__file__).with_name("readers")
_SECONDS, _SECONDS_A_ROW = 600.0, 2.0
_BATCH_ROWS = 256


def compare_with_trainer(
    store: Store, selection: Selection, trainer: str, rows: int, python: str | None = None
) -> MaskReport:
    """Compare the first `rows` rows of the bundle with the scored tokens. Rows are identified by their numbers in the
    dataset. `python`: an interpreter with the trainer installed, by default this one.

    Raises `ExportFailed` if the trainer is not installed or its loader fails; `ModelUnusable` without the tokenizer.
    """
    chosen = trainer_named(trainer)
    if trainer not in READ_BY:
        known = ", ".join(TRAINERS[name].name for name in READ_BY)
        raise ExportFailed(f"There is no reader for the bundle {trainer!r}, so it cannot be compared. Choose: {known}.")
    interpreter = python or sys.executable
    _check_installed(chosen, interpreter)
    description = store.run(selection.run)["description"]
    if "encoding" not in description:
        raise ExportFailed(f"The run {selection.run!r} does not record how it was encoded. Score the dataset again.")
    base = description["models"]["base"]
    spec = ModelSpec(base["label"], base["path"], base.get("adapter"), base.get("weights_hash", ""))
    from ..models.loading import load_tokenizer  # loads torch, which takes seconds

    encoding = EncodingSpec(**description["encoding"])
    tokenizer = load_tokenizer(spec, encoding.tokenizer_fingerprint)
    found = preflight(store, selection, trainer)
    with tempfile.TemporaryDirectory() as folder:
        numbers = _write(store, selection, found, rows, Path(folder))
        trained = _read(chosen, interpreter, spec.path, Path(folder), len(numbers))
    lines = {number: line for line, number in enumerate(numbers)}
    scored = _scored(store, selection, set(lines), tokenizer, encoding)
    return compare_masks(
        ((number, tokens, trained.get(lines[number])) for number, tokens in scored),
        lambda ids: str(tokenizer.decode(list(ids))),
    )


def _check_installed(trainer: Trainer, interpreter: str) -> None:
    package = READ_BY[trainer.name]
    try:
        installed = has_package(interpreter, package)
    except OSError as error:
        raise ExportFailed(f"{interpreter} cannot be run ({error.strerror}). Give a Python interpreter.") from error
    if not installed:
        raise ExportFailed(
            f"{trainer.label} is not installed for {interpreter}, so nothing was compared. Install the package "
            f"{package}, or give an interpreter that has it with --python."
        )


def _write(store: Store, selection: Selection, found: Preflight, rows: int, folder: Path) -> list[int]:
    """Write the bundle's first rows and its configs; returns the rows' numbers in the dataset, by line."""
    numbers = []
    with (folder / DATA_FILE).open("wb") as file:
        for line, row in bundle_records(store, selection, found, limit=rows):
            file.write(line + b"\n")
            numbers.append(row["row_number"])
    if not numbers:
        raise ExportFailed("The bundle has no rows, so there is nothing to compare. Check the reasons in the export.")
    for name, text in trainer_named(found.trainer).files(found.plan).items():
        (folder / name).write_text(text, encoding="utf-8")
    return numbers


def _read(trainer: Trainer, interpreter: str, base: str, folder: Path, rows: int) -> dict[int, Tokens]:
    """The tokens of the bundle in a folder as read by the trainer's own code, by line from 0."""
    reader = _READERS / f"read_{trainer.name.replace('-', '_')}.py"
    output = folder / "read.json"
    quiet = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(folder / "cache"), "TOKENIZERS_PARALLELISM": "false"}
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | quiet
    command = [interpreter, str(reader), str(Path(base).resolve()), str(output)]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS + rows * _SECONDS_A_ROW,
        )
    except subprocess.TimeoutExpired as error:
        raise ExportFailed(
            f"{trainer.label} did not finish {rows:,} rows in {error.timeout:,.0f} seconds. Compare fewer rows with "
            "--rows."
        ) from error
    if done.returncode or not output.exists():
        last = (done.stderr.strip() or "no message").splitlines()[-1][:300]
        raise ExportFailed(
            f"{trainer.label} fails on this bundle, as it would in training: {last} Exclude the rows that it cannot "
            "read, or choose another template."
        )
    read: list[dict[str, Any]] = json.loads(output.read_text(encoding="utf-8"))
    if trainer.name == "llama-factory" and len(read) != rows:
        raise ExportFailed(
            f"{trainer.label} drops {rows - len(read):,} of the first {rows:,} rows without saying which, so nothing "
            "was compared. Choose other rows or another trainer."
        )
    return {row["row"]: Tokens(row["input_ids"], row["trained"]) for row in read}


def _scored(
    store: Store, selection: Selection, numbers: set[int], tokenizer: Any, encoding: EncodingSpec
) -> Iterator[tuple[int, Tokens]]:
    """The rows as they were scored, in dataset order."""
    kept = (
        (row["row_number"], Example.from_json(row["conversation"]))
        for row in selected_records(store, selection, conversations=True)
        if row["row_number"] in numbers
    )
    first = islice(kept, len(numbers))
    while batch := list(islice(first, _BATCH_ROWS)):
        for (number, _), encoded in zip(
            batch, encode_examples([example for _, example in batch], tokenizer, encoding), strict=True
        ):
            yield number, Tokens(encoded.input_ids.tolist(), encoded.scored.tolist())
