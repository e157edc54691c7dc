"""Encodes conversations: token ids, and which of them are scored.

Training and scoring both call `encode_examples`, so they use the same tokens. The text is rendered once and tokenised
once; the scored tokens come from the positions where the template put the assistant's turns, never from searching the
text for the response.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.encoded import NO_TURN, Encoded
from ..data.errors import EncodingOutdated
from ..data.examples import Example
from ..models.cache_key import encoding_version
from .encoding_spec import CUT, EncodingSpec
from .rendering import Rendered, render_all
from .tokenizing import tokenize

FOLDED_SYSTEM = (
    "The chat template has no system role: system prompts are put at the beginning of the first user's turn."
)
PROMPT_FILLS_LENGTH = "prompt fills the maximum length"
"""The reason of a conversation whose replies are all behind its first `max_length` tokens."""


def encode_examples(examples: Sequence[Example], tokenizer: Any, spec: EncodingSpec) -> list[Encoded]:
    """Encode conversations with a fast transformers tokenizer; one result per example, in order.

    A conversation that the template refuses, or with nothing left to score, is returned with a reason.
    Raises `TemplateFailed` if the template hangs on several in a row, `ModelUnusable` if the tokenizer fails.
    """
    return [encoded for encoded, _ in encode_and_render(examples, tokenizer, spec)]


def encode_and_render(
    examples: Sequence[Example], tokenizer: Any, spec: EncodingSpec, with_turns: bool = False
) -> list[tuple[Encoded, Rendered | None]]:
    """`encode_examples`, each with its text and positions, or None if the template refused it. `with_turns`: also give
    the turn of each token."""
    if spec.version != encoding_version(spec.template):
        raise EncodingOutdated(
            "This was started by another version of the program, which masks prompts differently. Start it again."
        )
    rendered = render_all(examples, tokenizer, spec.rendering)
    texts = [item.text for item in rendered if isinstance(item, Rendered)]
    tokens = tokenize(texts, tokenizer) if texts else None
    encoded: list[tuple[Encoded, Rendered | None]] = []
    position = 0
    for item in rendered:
        if isinstance(item, str):
            encoded.append((_unscorable(item), None))
            continue
        assert tokens is not None
        ids, offsets = tokens["input_ids"][position], tokens["offset_mapping"][position]
        whole = _encoded(ids, offsets, item, tokenizer, spec.max_length, with_turns)
        encoded.append((_without_prompt(whole, tokenizer) if spec.prompt == CUT else whole, item))
        position += 1
    return encoded


def encode_example(example: Example, tokenizer: Any, spec: EncodingSpec) -> Encoded:
    """`encode_examples` for one conversation."""
    return encode_examples([example], tokenizer, spec)[0]


def token_roles(example: Example, encoded: Encoded) -> list[str]:
    """Role of the turn that each token belongs to, "template" for tokens added by the template. Needs
    `encoded.turns`."""
    turns = [] if encoded.turns is None else encoded.turns.tolist()
    return ["template" if turn == NO_TURN else example.messages[turn].role for turn in turns]


def _unscorable(reason: str) -> Encoded:
    return Encoded(np.zeros(0, np.int32), np.zeros(0, np.bool_), False, reason)


def _encoded(
    ids: list[int],
    offsets: list[tuple[int, int]],
    rendered: Rendered,
    tokenizer: Any,
    max_length: int,
    with_turns: bool,
) -> Encoded:
    starts, ends = _token_bounds(offsets)
    scored, is_end = np.zeros(len(ids), np.bool_), np.zeros(len(ids), np.bool_)
    for span in rendered.spans:
        scored |= _within(starts, ends, span)
    for span in rendered.end_spans:
        # A token that begins in the reply's own text belongs to that text.
        is_end |= _within(starts, ends, span) & (starts >= span[0])
    input_ids = np.array(ids, np.int32)
    dropped, added = _bos_to_mend(input_ids, tokenizer)
    unscored = [False] * len(added)
    input_ids = _mended(input_ids, dropped, added)
    scored, is_end = _mended(scored, dropped, unscored), _mended(is_end, dropped, unscored)
    turns = None
    if with_turns:
        of_token = np.full(len(ids), NO_TURN, np.int32)
        for place in rendered.places:
            for span in place.spans:
                of_token[_within(starts, ends, span)] = place.turn
        turns = _mended(of_token, dropped, [NO_TURN] * len(added))[:max_length]
    truncated = bool(scored[max_length:].any())
    input_ids, scored = input_ids[:max_length], scored[:max_length]
    scored[:1] = False
    reason = None if scored.any() else (PROMPT_FILLS_LENGTH if truncated else "response has no token")
    is_end = is_end[:max_length] & scored
    return Encoded(input_ids, scored, truncated, reason, rendered.left_out, rendered.folded_system, turns, is_end)


def _without_prompt(whole: Encoded, tokenizer: Any) -> Encoded:
    """The same scored tokens alone, behind one token that begins a text: BOS, else the end-of-text token, so that the
    first of them is predicted too."""
    begin = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    added = [] if begin is None else [begin]
    kept, unscored = whole.scored, [False] * len(added)
    scored, is_end = (_mended(mask[kept], 0, unscored) for mask in (whole.scored, whole.is_end))
    scored[:1] = False
    turns = None if whole.turns is None else _mended(whole.turns[kept], 0, [NO_TURN] * len(added))
    reason = whole.reason or (None if scored.any() else "response has no token")
    ids = _mended(whole.input_ids[kept], 0, added)
    return replace(whole, input_ids=ids, scored=scored, is_end=is_end & scored, turns=turns, reason=reason)


def _token_bounds(offsets: list[tuple[int, int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First character of each token, and the one after its last."""
    starts = np.array([start for start, _ in offsets], np.int64)
    ends = np.array([end for _, end in offsets], np.int64)
    # Some tokenizers exclude white space from offsets: an indent then has no offset of its own, and begins where the
    # token before it ends.
    previous_ends = np.concatenate([np.zeros(1, np.int64), np.maximum.accumulate(ends)])[:-1]
    return np.where(starts == ends, np.minimum(starts, previous_ends), starts), ends


def _within(starts: NDArray[np.int64], ends: NDArray[np.int64], span: tuple[int, int]) -> NDArray[np.bool_]:
    """Tokens with a character of the span, including those that cross its edge."""
    start, end = span
    inside: NDArray[np.bool_] = (ends > start) & (starts < end) & (ends > starts)
    return inside


def _bos_to_mend(input_ids: NDArray[np.int32], tokenizer: Any) -> tuple[int, list[int]]:
    """How many leading tokens to drop and which to add, so that there is exactly one BOS if the tokenizer uses one:
    templates differ in whether they write it, and a model trained with one must see one."""
    bos = tokenizer.bos_token_id
    if bos is None:
        return 0, []
    first = next((place for place, token in enumerate(input_ids.tolist()) if token != bos), len(input_ids))
    if first:
        return first - 1, []
    return 0, [bos] if _adds_bos(tokenizer) else []


def _mended(values: NDArray[Any], dropped: int, added: Sequence[Any]) -> NDArray[Any]:
    return np.concatenate([np.array(added, values.dtype), values[dropped:]])


def _adds_bos(tokenizer: Any) -> bool:
    return bool(tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id])
