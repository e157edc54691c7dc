"""The text of each token: joined it is what the model reads, whatever the tokenizer does with characters and blanks."""

from typing import Any

import pytest

from core.encoding.encode import encode_example
from core.encoding.rendering import render
from core.scoring.tokens.pieces import token_pieces
from tests.tiny_models import BOS, MIXED_EXAMPLES, encoding_spec, example, make_tokenizer

TOKENIZERS: dict[str, dict[str, Any]] = {
    "a BOS added": {},
    "no BOS": {"adds_bos": False},
    "a BOS by both": {"chat_template": BOS + "{% for m in messages %}<|turn|>{{ m.content }}<|end|>{% endfor %}"},
    "blanks outside of offsets": {"trim_offsets": True},
}
HOSTILE = "<b>&amp;</b>\u202e\u200b\x00\x07 שלום \ud83c\udf89".encode("utf-16", "surrogatepass").decode("utf-16")


@pytest.mark.parametrize("template", ["chat", "alpaca", "plain"])
@pytest.mark.parametrize("options", TOKENIZERS.values(), ids=TOKENIZERS)
def test_the_pieces_joined_are_the_conversation_as_the_model_reads_it(template: str, options: dict[str, Any]) -> None:
    tokenizer, spec = make_tokenizer(**options), encoding_spec(template)
    for conversation in (*MIXED_EXAMPLES, example(("user", HOSTILE), ("assistant", HOSTILE))):
        encoded = encode_example(conversation, tokenizer, spec)
        pieces, cut = token_pieces(conversation, encoded, tokenizer, spec)
        assert len(pieces) == len(encoded.input_ids)
        assert cut == ""
        assert "".join(pieces).removeprefix(BOS) == render(conversation, tokenizer, template).text.removeprefix(BOS)


def test_of_tokens_that_share_a_character_the_first_has_it() -> None:
    tokenizer, spec = make_tokenizer(adds_bos=False), encoding_spec("plain")
    conversation = example(("user", "a"), ("assistant", "🎉!"))
    pieces, _ = token_pieces(conversation, encode_example(conversation, tokenizer, spec), tokenizer, spec)
    assert pieces == ["a", "\n", "🎉", "", "", "", "!", "</s>", "\n"]


def test_a_truncated_conversation_gives_its_rest_apart() -> None:
    tokenizer, spec = make_tokenizer(), encoding_spec("alpaca", max_length=40)
    conversation = MIXED_EXAMPLES[3]
    encoded = encode_example(conversation, tokenizer, spec)
    pieces, cut = token_pieces(conversation, encoded, tokenizer, spec)
    assert len(pieces) == 40
    assert cut.endswith("148 149</s>")
    assert "".join(pieces) + cut == BOS + render(conversation, tokenizer, "alpaca").text
