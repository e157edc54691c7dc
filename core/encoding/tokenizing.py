"""Tokenises texts under a time limit: a tokenizer's patterns came with the model and may never terminate."""

import threading
from collections.abc import Sequence
from typing import Any

from ..data import settings
from ..data.errors import ModelUnusable

_CHARACTERS_PER_SECOND = 20_000
"""The time limit grows by a second for this many characters; any honest tokenizer is faster."""


def tokenize(texts: Sequence[str], tokenizer: Any) -> Any:
    """Token ids and character offsets of texts, without special tokens added by the tokenizer.

    Raises `ModelUnusable` if the tokenizer fails or does not terminate. It runs in its own thread because its compiled
    code cannot be interrupted: a thread that hangs is abandoned and ends with the process.
    """
    answer: list[Any] = []
    problem: list[BaseException] = []

    def run() -> None:
        try:
            # verbose=False: texts longer than the model's window are truncated later, so the warning would mislead.
            answer.append(tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True, verbose=False))
        # tokenizers raises bare `Exception`, and a panic of its Rust code is not even an `Exception`.
        except BaseException as error:  # noqa: BLE001
            problem.append(error)

    seconds = settings.number("tokenizer_seconds") + sum(map(len, texts)) / _CHARACTERS_PER_SECOND
    thread = threading.Thread(target=run, name="tokenizer", daemon=True)
    thread.start()
    thread.join(seconds)
    if answer:
        return answer[0]
    if problem:
        found = " ".join(str(problem[0]).split())[:200]
        raise ModelUnusable(f"The tokenizer failed on a text ({found}). Fetch the model again, or choose another.")
    raise ModelUnusable(
        f"The tokenizer took longer than {seconds:,.0f} seconds for {len(texts):,} texts. Choose another model, or "
        "raise LOBASS_TOKENIZER_SECONDS."
    )
