"""The text that each token stands for, cut from the rendered conversation so that no character of it is lost."""

from typing import Any

from ...data.encoded import Encoded
from ...data.examples import Example
from ...encoding.encoding_spec import EncodingSpec
from ...encoding.rendering import render
from ...encoding.tokenizing import tokenize


def token_pieces(example: Example, encoded: Encoded, tokenizer: Any, spec: EncodingSpec) -> tuple[list[str], str]:
    """Text of each token of `encoded` (`example` encoded so), and the rest that the maximum length cut off.

    Joined they are the conversation as the model reads it, after a BOS that only the encoding adds. Tokens are not
    decoded one by one, because a byte-level token may hold part of a character, and some decoders drop blanks: of the
    tokens that share a character the first one has it and the others have no text.
    """
    text = render(example, tokenizer, spec.rendering).text
    tokens = tokenize([text], tokenizer)
    ids, ends = list(tokens["input_ids"][0]), [end for _, end in tokens["offset_mapping"][0]]
    kept = encoded.input_ids.tolist()
    added = int(kept[:1] != ids[:1])  # the encoding put a BOS in front, or took surplus ones away
    own = kept[added:]
    first = next(start for start in range(len(ids) + 1) if ids[start : start + len(own)] == own)
    pieces, position = [str(tokenizer.bos_token)] * added, 0
    for end in ends[first : first + len(own)]:
        pieces.append(text[position:end])
        position = max(position, end)
    if own and first + len(own) == len(ids):  # blanks at the end that the tokenizer passes over
        pieces[-1] += text[position:]
        position = len(text)
    return pieces, text[position:]
