"""What exactly is scored: a conversation becomes token ids, and which of them count.

Training and scoring both call `encode_examples`, so they mean the same tokens. The text is rendered once and
tokenised once; which tokens are scored comes from the places where the template put the assistant's turns, never
from searching the text for the response.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.examples import Example
from core.rendering import Rendered, render_all
from core.tokenizing import tokenize

ENCODING_VERSION = 1
"""Part of every cache key: raise it whenever the same example would be encoded differently."""


@dataclass(frozen=True, slots=True)
class EncodingSpec:
    """How text becomes tokens: everything that a loss depends on besides the model."""

    template: str
    max_length: int
    tokenizer_fingerprint: str
    version: int = ENCODING_VERSION

    @property
    def fingerprint(self) -> str:
        """Hex digest of all fields; part of the cache key of every loss."""
        return hashlib.blake2b(json.dumps(asdict(self), sort_keys=True).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of a conversation, and a mask of the same length that is true where the token is scored.

    `scored[0]` is always false: nothing predicts the first token. Without a scored token, `reason` says why.
    """

    input_ids: NDArray[np.int32]
    scored: NDArray[np.bool_]
    truncated: bool
    reason: str | None = None

    @property
    def token_count(self) -> int:
        """Scored tokens."""
        return int(self.scored.sum())


def encode_examples(examples: Sequence[Example], tokenizer: Any, spec: EncodingSpec) -> list[Encoded]:
    """Encode conversations with a fast transformers tokenizer; one result an example, in order.

    A conversation that the template refuses, or of which nothing is left to score, comes back with a reason.
    Raises `TemplateFailed` if the template hangs on several in a row, `ModelUnusable` if the tokenizer fails.
    """
    rendered = render_all(examples, tokenizer, spec.template)
    texts = [item.text for item in rendered if isinstance(item, Rendered)]
    tokens = tokenize(texts, tokenizer) if texts else None
    encoded, position = [], 0
    for item in rendered:
        if isinstance(item, str):
            encoded.append(_unscorable(item))
            continue
        assert tokens is not None
        ids, offsets = tokens["input_ids"][position], tokens["offset_mapping"][position]
        encoded.append(_mask(ids, offsets, item.spans, tokenizer, spec.max_length))
        position += 1
    return encoded


def encode_example(example: Example, tokenizer: Any, spec: EncodingSpec) -> Encoded:
    """`encode_examples` for one conversation."""
    return encode_examples([example], tokenizer, spec)[0]


def _unscorable(reason: str) -> Encoded:
    return Encoded(np.zeros(0, np.int32), np.zeros(0, np.bool_), False, reason)


def _mask(
    ids: list[int], offsets: list[tuple[int, int]], spans: Sequence[tuple[int, int]], tokenizer: Any, max_length: int
) -> Encoded:
    starts = np.array([start for start, _ in offsets], np.int64)
    ends = np.array([end for _, end in offsets], np.int64)
    # Some tokenizers leave white space out of offsets: an indent then has none of its own, and begins where the
    # token before it ends.
    previous_ends = np.concatenate([np.zeros(1, np.int64), np.maximum.accumulate(ends)])[:-1]
    starts = np.where(starts == ends, np.minimum(starts, previous_ends), starts)
    scored = np.zeros(len(ids), np.bool_)
    for start, end in spans:
        # A token that straddles the boundary holds response text, so it is scored.
        scored |= (ends > start) & (starts < end) & (ends > starts)
    input_ids = np.array(ids, np.int32)
    input_ids, scored = _exactly_one_bos(input_ids, scored, tokenizer)
    truncated = bool(scored[max_length:].any())
    input_ids, scored = input_ids[:max_length], scored[:max_length]
    scored[:1] = False
    reason = None if scored.any() else ("prompt fills the maximum length" if truncated else "response has no token")
    return Encoded(input_ids, scored, truncated, reason)


def _exactly_one_bos(
    input_ids: NDArray[np.int32], scored: NDArray[np.bool_], tokenizer: Any
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Templates differ in whether they write the BOS; a model trained with one must see one."""
    bos = tokenizer.bos_token_id
    if bos is None:
        return input_ids, scored
    while len(input_ids) > 1 and input_ids[0] == bos and input_ids[1] == bos:
        input_ids, scored = input_ids[1:], scored[1:]
    begins_with_bos = len(input_ids) > 0 and input_ids[0] == bos
    if not begins_with_bos and _adds_bos(tokenizer):
        input_ids = np.concatenate([np.array([bos], np.int32), input_ids])
        scored = np.concatenate([np.zeros(1, np.bool_), scored])
    return input_ids, scored


def _adds_bos(tokenizer: Any) -> bool:
    return bool(tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id])
