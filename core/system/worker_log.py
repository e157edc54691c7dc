"""The log of a worker process, for people: what it does, and no progress bars or notes of libraries."""

import logging
import os
import sys
import warnings


def log_for_people(log: logging.Logger) -> None:
    """Let the logger's lines, and warnings of others, go to standard error; to be called before torch is imported."""
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr, force=True
    )
    log.setLevel(logging.INFO)
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    warnings.filterwarnings("ignore", category=FutureWarning)


def in_short(error: Exception) -> str:
    """An unexpected error's type and first line, for a sentence; the log gets all of it."""
    first = (str(error).strip().splitlines() or [""])[0][:300]
    return f"{type(error).__name__}: {first}"
