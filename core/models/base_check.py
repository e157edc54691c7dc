"""Checks a base model as soon as it is named, and finds those that are on this machine; nothing is downloaded."""

import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..data.errors import ModelUnusable, UserError
from ..system.paths import allowed_folders
from ..system.program import DEMO
from .config_facts import text_part, window_length
from .folder_check import ADAPTER_CONFIG, check_model_folder, read_files, read_json
from .resolving import check_allowed_model, folder_on_machine, tokenizer_files
from .stored_quantization import method_of, whole_shapes

_DEEPEST = 3
_MOST_FOLDERS = 2_000
_MOST_SECONDS = 1.0
_MOST_FOUND = 50


@dataclass(frozen=True, slots=True)
class BaseCheck:
    """What can be told of a base before it is loaded: whether it is `usable`, and one sentence. `parameters` and
    `weight_bytes` are 0 where they are not known."""

    usable: bool
    sentence: str
    parameters: int = 0
    weight_bytes: int = 0


def check_base(name: str, workspace: Path) -> BaseCheck:
    """Check that a base is there, may be read, has weights and a tokenizer. Only files are read."""
    try:
        check_allowed_model(name, workspace)
        folder = folder_on_machine(name, workspace)
        if folder is None:
            return BaseCheck(True, "Not on this machine yet: it is downloaded from the Hub when you start.")
        if (folder / ADAPTER_CONFIG).exists():
            return BaseCheck(True, "An adapter: it is scored on the base that it names, and cannot be trained further.")
        check_model_folder(name, folder)
        if not any("template" not in path.name for path in tokenizer_files(folder)):
            raise ModelUnusable(f"The model {name!r} has no tokenizer in {folder}. Choose a folder that has one.")
        return _found(folder)
    except UserError as error:
        return BaseCheck(False, str(error))


def bases_on_machine(workspace: Path) -> list[str]:
    """Folders with a model and its tokenizer in the allowed folders, without the workspace; a bounded search."""
    started, seen = time.monotonic(), 0
    found: list[str] = []
    inside = workspace.resolve()
    for root in allowed_folders(workspace)[1:]:
        for folder in _folders(root):
            seen += 1
            if seen > _MOST_FOLDERS or time.monotonic() - started > _MOST_SECONDS or len(found) >= _MOST_FOUND:
                return found
            if _looks_like_a_base(folder) and not {inside, DEMO} & {folder, *folder.parents}:
                found.append(str(folder))
    return found


def _found(folder: Path) -> BaseCheck:
    files = read_files(folder)
    config = read_json(folder / "config.json")
    parameters = sum(math.prod(shape) for shape in whole_shapes(config, files).values())
    size = sum(path.stat().st_size for path in files)
    dtype = next((value for part in (text_part(config), config) for key in ("dtype", "torch_dtype")
                  if isinstance(value := part.get(key), str)), "an unnamed precision")  # fmt: skip
    if method := method_of(config):
        form = f"stored quantized ({method}) and de-quantized as they are loaded"
    else:
        form = f"in {dtype[:20]}"
    window = window_length(folder)
    sentence = f"Ready: {_amount(parameters)} parameters, {size_text(size)} of weights {form}, tokenizer found" + (
        f", up to {window:,} tokens per row." if window else "."
    )
    return BaseCheck(True, sentence, parameters, size)


def size_text(size: float) -> str:
    """A number of bytes as text: "540 MB", "2.1 GB"."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6)):,} MB"


def _amount(number: int) -> str:
    if number >= 1e9:
        return f"{number / 1e9:,.1f} billion"
    return f"{number / 1e6:,.1f} million" if number >= 1e6 else f"{number:,}"


def _folders(root: Path, depth: int = 0) -> Iterator[Path]:
    """The folder and those below it, nearer ones first within each; hidden ones and links are left out."""
    yield root
    if depth == _DEEPEST:
        return
    try:
        with os.scandir(root) as entries:
            below = sorted(entry.name for entry in entries
                           if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."))  # fmt: skip
    except OSError:
        return
    for name in below:
        yield from _folders(root / name, depth + 1)


def _looks_like_a_base(folder: Path) -> bool:
    try:
        names = set(os.listdir(folder))
    except OSError:
        return False
    has_weights = any(name.endswith(".safetensors") for name in names)
    has_tokenizer = any(name.startswith("tokenizer") for name in names)
    return "config.json" in names and has_weights and has_tokenizer and ADAPTER_CONFIG not in names
