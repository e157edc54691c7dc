"""The log of a worker process: readable lines, without progress bars and messages of libraries."""

import logging
import os
import sys
import warnings


def log_for_people(log: logging.Logger) -> None:
    """Send the logger's lines, and warnings of others, to standard error; call this before importing torch."""
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr, force=True
    )
    log.setLevel(logging.INFO)
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    warnings.filterwarnings("ignore", category=FutureWarning)


def in_short(error: Exception) -> str:
    """An unexpected error's type and first line, for use in a sentence; the log gets the full error."""
    first = (str(error).strip().splitlines() or [""])[0][:300]
    return f"{type(error).__name__}: {first}"
