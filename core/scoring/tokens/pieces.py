"""The text of each token, cut from the rendered conversation so that no character is lost."""

from typing import Any

from ...data.encoded import Encoded
from ...data.examples import Example
from ...encoding.encoding_spec import EncodingSpec
from ...encoding.rendering import render
from ...encoding.tokenizing import tokenize


def token_pieces(example: Example, encoded: Encoded, tokenizer: Any, spec: EncodingSpec) -> tuple[list[str], str]:
    """Text of each token of `encoded` (the encoding of `example`), and the text beyond the maximum length.

    Joined, they are the conversation as the model reads it, without a BOS added by the encoding. Tokens are not decoded
    one by one, because a byte-level token may be part of a character, and some decoders drop spaces. If several tokens
    share a character, the first one gets it and the others have no text.
    """
    text = render(example, tokenizer, spec.rendering).text
    tokens = tokenize([text], tokenizer)
    ids, ends = list(tokens["input_ids"][0]), [end for _, end in tokens["offset_mapping"][0]]
    kept = encoded.input_ids.tolist()
    added = int(kept[:1] != ids[:1])  # the encoding added a BOS, or removed surplus ones
    own = kept[added:]
    first = next(start for start in range(len(ids) + 1) if ids[start : start + len(own)] == own)
    pieces, position = [str(tokenizer.bos_token)] * added, 0
    for end in ends[first : first + len(own)]:
        pieces.append(text[position:end])
        position = max(position, end)
    if own and first + len(own) == len(ids):  # trailing spaces that the tokenizer ignores
        pieces[-1] += text[position:]
        position = len(text)
    return pieces, text[position:]
