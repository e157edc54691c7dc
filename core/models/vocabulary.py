"""Which ids of the base's tokenizer a model can read: those with a row in its weights and the same meaning.

A tokenizer may have more tokens than the weights have rows, most often a padding token that never occurs in text. Only
data rows with such a token get no loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..data.encoded import Encoded
from .config_facts import embedding_rows
from .resolving import ModelSpec
from .tokenizer_comparison import compare_tokenizers, token_ids, tokenizer_fields, tokens_in_use

_NAMED = 3
_BEYOND = "holds a token that the model's weights have no row for"
_OTHER = "holds a token that means another one to the reference"


@dataclass(frozen=True, slots=True)
class ReadableIds:
    """Ids below `rows` (None: no limit), except `others`."""

    rows: int | None = None
    others: frozenset[int] = frozenset()


def readable_ids(base: ModelSpec, *specs: ModelSpec) -> ReadableIds:
    """The ids of the base's tokenizer that all of the models can read.

    Raises `TokenizerMismatch` for a model with another tokenizer.
    """
    rows, others = [], frozenset[int]()
    for spec in specs:
        count = embedding_rows(Path(spec.path), Path(spec.adapter) if spec.adapter else None)
        rows += [count] if count is not None else []
        others |= compare_tokenizers(Path(base.path), Path(spec.path)).other_ids
    return ReadableIds(min(rows, default=None), others)


def without_unreadable(encoded: Sequence[Encoded], readable: ReadableIds) -> list[Encoded]:
    """The rows, in order; a row with an id that the model cannot read is returned with a reason."""
    others = np.array(sorted(readable.others), np.int64)
    return [_checked(item, readable.rows, others) for item in encoded]


def _checked(item: Encoded, rows: int | None, others: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Encoded:
    if item.reason is not None:
        return item
    if rows is not None and int(item.input_ids.max()) >= rows:
        reason = _BEYOND
    elif len(others) and np.isin(item.input_ids, others).any():
        reason = _OTHER
    else:
        return item
    none = np.zeros_like(item.scored)
    return replace(item, scored=none, is_end=none, reason=reason)


def vocabulary_notice(role: str, spec: ModelSpec, base: ModelSpec) -> str | None:
    """A sentence if the base's tokenizer has tokens without a row in a model's weights."""
    rows = readable_ids(base, spec).rows
    ids = token_ids(tokenizer_fields(Path(base.path)))
    if rows is None or not (beyond := [token for token, number in ids.items() if number >= rows]):
        return None
    beyond.sort(key=ids.__getitem__)
    named = ", ".join(f"{token[:40]!r} {ids[token]}" for token in beyond[:_NAMED])
    more = f" and {len(beyond) - _NAMED:,} more" if len(beyond) > _NAMED else ""
    everywhere = tokens_in_use(Path(base.path), beyond)
    warning = " The template or the end of a text uses them, so this may affect every row." if everywhere else ""
    return (
        f"The tokenizer has {len(set(ids.values())):,} tokens, but the weights of the {role} have {rows:,} rows. Data "
        f"rows with {named}{more} are not scored; the reason is recorded.{warning}"
    )
