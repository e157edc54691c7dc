"""Which checkpoints were written whole, and the last of them."""

from pathlib import Path

CHECKPOINT_COMPLETE = "complete"
"""File that marks a checkpoint as whole; the Trainer's own folder appears before its files are written."""


def last_checkpoint(folder: Path) -> str | None:
    """The last whole checkpoint of the training in a folder."""
    whole = sorted(
        (folder / "checkpoints").glob(f"checkpoint-*/{CHECKPOINT_COMPLETE}"), key=lambda path: _step_of(path.parent)
    )
    return str(whole[-1].parent) if whole else None


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rsplit("-", 1)[1])
