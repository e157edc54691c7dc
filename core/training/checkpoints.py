"""Which checkpoints were written whole, and the last of them."""

from pathlib import Path

from ..system.atomic_files import flush_folder, sync_folder

CHECKPOINTS = "checkpoints"
"""Folder of the checkpoints, in the folder of what the model in work needs."""
CHECKPOINT_COMPLETE = "loss_window.json"
"""File that is written last and so marks a checkpoint as whole; the Trainer's own folder appears before its files are
written. Checkpoints of earlier versions lack it and do not count: their passes had other batches."""


def flush_checkpoint(checkpoint: Path) -> None:
    """Flush what the Trainer wrote of a checkpoint to disk, before it is marked as whole."""
    flush_folder(checkpoint)
    sync_folder(checkpoint.parent)


def last_checkpoint(folder: Path) -> str | None:
    """The last whole checkpoint of the training in a folder."""
    whole = sorted(
        (folder / CHECKPOINTS).glob(f"checkpoint-*/{CHECKPOINT_COMPLETE}"), key=lambda path: _step_of(path.parent)
    )
    return str(whole[-1].parent) if whole else None


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rsplit("-", 1)[1])
