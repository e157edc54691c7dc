"""A response's text from its tokens: where it ends, and what the template writes around a reply is no part of it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...data.examples import Example, Message
from ...encoding.encode import encode_and_render
from ...encoding.encoding_spec import EncodingSpec

_REPLY = "proper reply"
_EXCHANGE = Example((Message("user", "?"), Message("assistant", _REPLY)))
_ANY_LENGTH = 2**20
_TAIL_TOKENS = 16


class ResponseText:
    """Reads responses of a tokenizer's model in an encoding. `end_ids`: tokens that end one, the model's own and those
    that end a text or, in the template, a turn.

    The template is asked by a short exchange: what ends a reply, and which white space stands before one, which may
    belong to the prompt or to the reply's first token.
    """

    def __init__(self, tokenizer: Any, encoding: EncodingSpec, model_end_ids: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        ids = {*model_end_ids, *([] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id])}
        self._end, self._space = "", ""
        ((encoded, rendered),) = encode_and_render([_EXCHANGE], tokenizer, replace(encoding, max_length=_ANY_LENGTH))
        if rendered is not None:
            before = rendered.text.rpartition(_REPLY)[0]
            self._space = before[len(before.rstrip()) :]
            of_turn = encoded.input_ids[encoded.is_end].tolist()
            added = tokenizer.added_tokens_decoder.get(of_turn[0]) if of_turn else None
            if added is not None and added.special:
                ids.add(of_turn[0])
            elif rendered.end_spans:
                start, end = rendered.end_spans[-1]
                self._end = rendered.text[start:end].strip()
        self.end_ids = frozenset(ids)

    def read(self, prompt: Sequence[int], tokens: Sequence[int]) -> tuple[str, bool]:
        """The text of new tokens, and whether it was cut, having no end. Of a character that it was cut in, nothing is
        left."""
        decoded = self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        text, end, _ = decoded.partition(self._end) if self._end else (decoded, "", "")
        is_cut = not end and not (tokens and tokens[-1] in self.end_ids)
        if is_cut:
            text = text.rstrip("\N{REPLACEMENT CHARACTER}")  # bytes of a character whose last ones are missing
        return text.removeprefix(self._space_after(prompt)), is_cut

    def _space_after(self, prompt: Sequence[int]) -> str:
        """The part of the white space before a reply that its prompt does not have yet."""
        if not self._space:
            return ""
        tail = self._tokenizer.decode(prompt[-_TAIL_TOKENS:])
        length = next(n for n in range(len(self._space), -1, -1) if tail.endswith(self._space[:n]))
        return self._space[length:]
