"""Kept checkpoints as models: each becomes an adapter's folder, so that its losses are computed and cached like those
of any other model.

    kept_checkpoints/epoch-N/    beside the file, in the reference's folder; 4 bytes a trained weight

The last checkpoint's files are those of the reference itself, so its losses are the reference's.
"""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..data.errors import ModelUnusable
from ..models.folder_check import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from ..models.resolving import ModelSpec, hash_with_adapter
from ..system.atomic_files import write_durably
from ..system.disk_errors import translate_disk_errors
from .kept_checkpoints import WEIGHT, KeptCheckpoint
from .run_checkpoints import RunCheckpoints


def checkpoint_models(found: RunCheckpoints, workspace: Path) -> dict[str, ModelSpec]:
    """The checkpoints as models on the run's base, in order, by name ("epoch-1"); nothing is loaded. Folders that are
    there and whole are left as they are. Raises `ModelUnusable`, or `WriteFailed`."""
    return {Path(one.file).stem: _model(found, one, workspace) for one in found.checkpoints}


@translate_disk_errors("A checkpoint as a model")
def _model(found: RunCheckpoints, kept: KeptCheckpoint, workspace: Path) -> ModelSpec:
    file = found.folder / kept.file
    folder = file.parent / file.stem
    _put(folder / ADAPTER_CONFIG, (found.folder / ADAPTER_CONFIG).read_bytes())
    _put(folder / ADAPTER_WEIGHTS, _adapter(file))
    label, base = f"{found.reference.label} after epoch {kept.passes:g}", found.base
    key = hash_with_adapter(base.weights_hash, folder, workspace)
    return ModelSpec(label, found.reference.path, str(folder), key, base.quantization)


def _adapter(file: Path) -> bytes:
    """A checkpoint's weights as peft writes an adapter."""
    try:
        with safe_open(file, framework="numpy") as tensors:
            names = [name for name in tensors.keys() if name.startswith(WEIGHT)]  # noqa: SIM118 (it is no mapping)
            weights = {name.removeprefix(WEIGHT).replace(".default", ""): tensors.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise ModelUnusable(f"The checkpoint {file} cannot be read ({error}). Train the reference again.") from error
    return save(weights, {"format": "pt"})


def _put(path: Path, content: bytes) -> None:
    """A job that computes with a file must not find it replaced, so one that is as wanted stays."""
    if not (path.exists() and path.read_bytes() == content):
        write_durably(path, [content])
