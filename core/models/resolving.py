"""Resolves a model's name to files and their fingerprint, and checks that they are safe to load.

Nothing here imports torch, so the dashboard can show what is cached before any model is loaded.
"""

import os
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from ..data.errors import ModelUnusable, PathRefused
from ..system.paths import allowed_path, is_hub_id, named_path
from ..system.program import DEMO
from .adapter_base import base_notice, shape_conflict
from .cache_key import TOKENIZER_FILES, FileHashes, hash_adapted_weights, hash_files, hash_weights, model_key
from .config_facts import OFFSET_POSITIONS
from .folder_check import ADAPTER_CONFIG, TEMPLATES, check_adapter_folder, check_model_folder, loss_files, read_json
from .known_hashes import content_hash
from .provenance import PROVENANCE as PROVENANCE
from .provenance import WEIGHTS

DEMO_BASE = "demo/base"
"""Name of the tiny base model that comes with the program, available from any working directory."""

FOLD_MODEL = re.compile(r"fold-\d+-seed-\d+")
"""Name of a model in the folder of a cross-fitted reference."""
_HUB_PATTERNS = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A resolved model: its weights folder, an optional adapter, and a hash of their contents.

    quantization: how the base's weights are quantized as they are loaded (a key of QUANTIZATION_RULE), if they are.
    """

    label: str
    path: str
    adapter: str | None
    weights_hash: str
    quantization: str | None = None

    def fingerprint(self, dtype: str) -> str:
        """Hex digest of these weights computing in `dtype`; part of the cache key of every loss."""
        return model_key(self.weights_hash, dtype, self.adapter is not None, self.quantization)

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields, for a job; earlier versions had no quantization, so it is left out where there is none."""
        return {name: value for name, value in asdict(self).items() if name != "quantization" or value is not None}


def resolve_model(name: str, workspace: Path, base: ModelSpec | None = None) -> ModelSpec:
    """Resolve a name: a reference trained here, a local folder, or a Hugging Face id, in this order.

    `base` is the base for an adapter that does not name its own. Raises `ModelUnusable` if there is no such model or it
    is unsafe to load.
    """
    folder = model_folder(name, workspace)
    if (folder / ADAPTER_CONFIG).exists():
        return _resolve_adapter(name, folder, workspace, base)
    if "cross_fitted" in read_json(folder / PROVENANCE):
        raise ModelUnusable(
            f"{name!r} is a cross-fitted reference of several models. Name one of them here, such as "
            f"{name}/fold-0-seed-0."
        )
    check_model_folder(name, folder)
    _check_weights(name, folder, workspace)
    return ModelSpec(name, str(folder), None, hash_of_weights(folder, workspace=workspace))


def weights_digest(folder: Path, workspace: Path | None = None) -> str:
    """Hex digest of the files in a model's or an adapter's own folder that make its losses."""
    is_adapter = (folder / ADAPTER_CONFIG).exists()
    return hash_files(_file_hashes(loss_files(folder, is_adapter), workspace))


def hash_of_weights(folder: Path, adapter: str | None = None, workspace: Path | None = None) -> str:
    """The hash of the weights in a model's folder, with an adapter's folder those that it makes of them. Hashes of
    large files are looked up in the workspace, if one is given."""
    files = _file_hashes(loss_files(folder), workspace)
    has_offset_positions = read_json(folder / "config.json").get("model_type") in OFFSET_POSITIONS
    base = hash_weights(files, has_offset_positions)
    return hash_with_adapter(base, Path(adapter), workspace) if adapter else base


def hash_with_adapter(base_hash: str, adapter: Path, workspace: Path | None = None) -> str:
    """The hash of the weights that an adapter's folder makes of a base's."""
    return hash_adapted_weights(base_hash, _file_hashes(loss_files(adapter, is_adapter=True), workspace))


def lasting_name(name: str, workspace: Path) -> str:
    """A model's name that means the same from any folder: that of a reference trained here, a Hugging Face id, or the
    whole path of a folder."""
    trained = _trained_folder(name, workspace)
    if name == DEMO_BASE or (trained and not FOLD_MODEL.fullmatch(name)):
        return name
    local = trained or named_path(name)
    return str(local.resolve()) if local.is_dir() else name


def adapter_notice(spec: ModelSpec, base: ModelSpec) -> str | None:
    """A sentence if a model is an adapter that names another base than the one it is applied to; else None.

    Adapters trained here are identified by their base's weights, so the name does not matter.
    """
    if spec.adapter is None or read_json(Path(spec.adapter) / PROVENANCE).get("base_weights_hash"):
        return None
    named = read_json(Path(spec.adapter) / ADAPTER_CONFIG).get("base_model_name_or_path")
    return base_notice(spec.label, str(named or ""), base.label, Path(base.path))


def trained_references(workspace: Path) -> list[str]:
    """Names of the references trained in this workspace. The provenance is written last, so it marks a complete one."""
    return sorted(path.parent.name for path in (workspace / "models").glob(f"*/{PROVENANCE}"))


def trained_encoding(name: str, workspace: Path) -> dict[str, Any]:
    """The encoding that a reference of the workspace was trained with, as JSON fields (`EncodingSpec`); empty if its
    provenance does not say."""
    folder = _trained_folder(name, workspace)
    found = read_json(folder / PROVENANCE).get("encoding") if folder else None
    return found if isinstance(found, dict) else {}


def trained_examples(spec: ModelSpec) -> list[str]:
    """Ids of the examples that a reference was trained on here; empty if its provenance does not say."""
    order = read_json(Path(spec.adapter or spec.path) / PROVENANCE).get("data_order")
    try:
        return [str(UUID(example_id)) for example_id in order or ()]
    except (ValueError, TypeError, AttributeError):
        return []


def tokenizer_fingerprint(spec: ModelSpec) -> str:
    """Hex digest of the tokenizer's files, chat template included."""
    files = tokenizer_files(Path(spec.path))
    if not files:
        raise ModelUnusable(f"The model {spec.label!r} has no tokenizer in {spec.path}. Choose a folder that has one.")
    return hash_files(_file_hashes(files))


def tokenizer_files(folder: Path) -> list[Path]:
    """The files of a model's folder that make its tokens, in the order of their hash; further chat templates, which
    few models have, are last."""
    named = [path for name in TOKENIZER_FILES if (path := folder / name).exists()]
    return named + sorted((folder / TEMPLATES).glob("*.jinja"))


def check_allowed_model(name: str, workspace: Path, is_base: bool = True) -> None:
    """Raise `PathRefused` if a dashboard user names a model folder outside the allowed folders.

    The demo's base, references trained here and Hub ids are not paths. If the base is an adapter, the base that it
    names is checked too; a reference uses the base of the request.
    """
    if not name or not _is_path(name, workspace):
        return
    folder = allowed_path(name, workspace)
    named = read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path") if is_base else None
    if isinstance(named, str) and _is_path(named, workspace):
        allowed_path(named, workspace)


def _is_path(name: str, workspace: Path) -> bool:
    """Whether a model's name is, or could be, a folder that is not the program's own."""
    if name == DEMO_BASE or _trained_folder(name, workspace):
        return False
    return name.startswith("~") or ("/" in name and not is_hub_id(name)) or os.path.lexists(name)


def model_folder(name: str, workspace: Path) -> Path:
    """The folder that a model's name means; one of the Hub is downloaded. Raises `ModelUnusable` if there is none."""
    if not name:
        raise ModelUnusable("No model was given. Give a folder, a Hugging Face id, or a reference trained here.")
    folder = _folder_here(name, workspace)
    if folder is not None:
        return folder
    if not is_hub_id(name):
        known = trained_references(workspace)
        names = f"References trained here: {', '.join(known)}." if known else "No reference has been trained here yet."
        raise ModelUnusable(
            f"No model {name[:200]!r}: it is neither a folder nor a valid Hugging Face id (owner/name). {names}"
        )
    return _download(name)


def folder_on_machine(name: str, workspace: Path) -> Path | None:
    """The folder of a model, also of one that was downloaded before; None for a Hub id that was not. Nothing is
    downloaded. Raises `ModelUnusable` for a name that is neither."""
    if name and (not is_hub_id(name) or _folder_here(name, workspace)):
        return model_folder(name, workspace)
    try:
        return _download(name, only_cached=True)
    except ModelUnusable:
        return None


def _folder_here(name: str, workspace: Path) -> Path | None:
    """The folder of a model on this machine, or None; nothing is downloaded."""
    if name == DEMO_BASE:
        return DEMO / "base"
    if trained := _trained_folder(name, workspace):
        return trained
    try:
        local = named_path(name)
        if local.is_dir():
            return local.resolve()
        if local.exists():
            raise ModelUnusable(f"{name!r} is a file. A model is a folder with config.json and *.safetensors.")
    except (PathRefused, OSError) as error:
        raise ModelUnusable(f"No model {name[:200]!r}: the path cannot be read. Check its spelling.") from error
    return None


def _trained_folder(name: str, workspace: Path) -> Path | None:
    """The folder of a reference trained here, or of one of its models (NAME/fold-0-seed-0); None if it is neither."""
    reference, slash, model = name.partition("/")
    if reference not in trained_references(workspace) or (slash and not FOLD_MODEL.fullmatch(model)):
        return None
    folder = workspace / "models" / name
    return folder if (folder / PROVENANCE).exists() else None


def _download(name: str, only_cached: bool = False) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_PATTERNS, local_files_only=only_cached))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ModelUnusable(
            f"The model {name!r} is not a local folder and could not be downloaded from the Hugging Face Hub "
            f"({type(error).__name__}). Check the name, the network and your access, or give a folder."
        ) from error


def _resolve_adapter(name: str, folder: Path, workspace: Path, base: ModelSpec | None) -> ModelSpec:
    config = check_adapter_folder(name, folder)
    _check_weights(name, folder, workspace)
    named = str(config.get("base_model_name_or_path") or "")
    if base is None and not named:
        raise ModelUnusable(f"The adapter {name!r} does not say which base it was trained on. Give the base too.")
    base_folder = _base_of_adapter(name, named, workspace) if base is None else Path(base.adapter or base.path)
    if (base_folder / ADAPTER_CONFIG).exists():
        raise ModelUnusable(
            f"The base of adapter {name!r} is an adapter itself. Merge that adapter into its base first."
        )
    if base is None:
        base = replace(resolve_model(str(base_folder), workspace), label=named)
    trained_on = read_json(folder / PROVENANCE).get("base_weights_hash")
    if trained_on and trained_on != base.weights_hash:
        raise ModelUnusable(
            f"The adapter {name!r} was trained on {named!r}, not on the base {base.label!r}. Use that one as the base."
        )
    if conflict := shape_conflict(folder, Path(base.path)):
        raise ModelUnusable(
            f"The adapter {name!r} does not fit its base {base.label!r}: {conflict}. Name the base that it was trained "
            f"on{f' ({named[:200]})' if named else ''}."
        )
    return ModelSpec(name, base.path, str(folder), hash_with_adapter(base.weights_hash, folder, workspace))


def _base_of_adapter(name: str, named: str, workspace: Path) -> Path:
    """The local folder of the base that an adapter names: only models named by the user are downloaded."""
    try:
        return _folder_here(named, workspace) or _download(named, only_cached=True)
    except ModelUnusable as error:
        raise ModelUnusable(
            f"The adapter {name!r} was trained on {named[:200]!r}, which is not on this machine. Name the base "
            "yourself."
        ) from error


def _check_weights(name: str, folder: Path, workspace: Path) -> None:
    """Raise `ModelUnusable` for a reference that was trained here unless it has the weights that were trained."""
    trained = read_json(folder / PROVENANCE).get(WEIGHTS)
    if trained is not None and weights_digest(folder, workspace) != trained:
        raise ModelUnusable(
            f"The weights of the reference {name!r} are not those that were trained: files in {folder} are damaged, or "
            "were replaced. Put them back, or train it again under another name."
        )


def _file_hashes(paths: list[Path], workspace: Path | None = None) -> FileHashes:
    return [(path.name, content_hash(path, workspace)) for path in paths]
