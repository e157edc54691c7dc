"""Which tokens are scored, against masks made by hand: real families' templates, each with many kinds of conversation.

`chat_masks/FAMILY.txt` has a line for each kind: the text with what is scored in [[ ]], made by reading the template
and never by running the code; or why the row is refused; and which share of its replies the template leaves out."""

from functools import cache
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from core.encoding import encode_and_render
from core.encoding_spec import EncodingSpec
from core.examples import Example
from tests.core.chat_conversations import CONVERSATIONS, QUOTES
from tests.core.chat_families import FAMILIES, family_tokenizer
from tests.core.odd_templates import ODD_TEMPLATES, conversation

MASKS = Path(__file__).with_name("chat_masks")
DAY = "2026-03-05"


@cache
def masks_by_hand(family: str) -> dict[str, str]:
    """A family's expected texts by kind of conversation. Lines `$NAME = text` name a text that other lines begin with."""
    lines = [line.split(" = ", 1) for line in (MASKS / f"{family}.txt").read_text().split("\n") if line]
    texts = {kind: text.encode().decode("unicode_escape").encode("latin-1").decode() for kind, text in lines}
    return texts


def scored_text(example: Example, tokenizer: PreTrainedTokenizerFast, day: str | None = DAY) -> str:
    """A conversation's text with its scored tokens in [[ ]], and what else is said of it."""
    ((encoded, _),) = encode_and_render([example], tokenizer, EncodingSpec("chat", 100_000, "tests", day=day), True)
    if encoded.reason:
        return f"(refused) {encoded.reason}"
    text = f"(left out {100 * encoded.left_out:.0f} %) " if encoded.left_out else ""
    run: list[int] = []
    ids, scored = encoded.input_ids.tolist(), encoded.scored.tolist()
    for position, token in enumerate(ids):
        run.append(token)
        if position + 1 == len(ids) or scored[position + 1] != scored[position]:
            piece = tokenizer.decode(run, skip_special_tokens=False, clean_up_tokenization_spaces=False)
            text += f"[[{piece}]]" if scored[position] else piece
            run = []
    return text


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_s_masks_are_those_made_by_hand(family: str) -> None:
    tokenizer = family_tokenizer(family)
    quote = next(quote for token, quote in QUOTES.items() if token in FAMILIES[family].specials)
    found = {kind: scored_text(make(quote), tokenizer) for kind, make in CONVERSATIONS.items()}
    assert found == masks_by_hand(family)


@pytest.mark.parametrize("habit", ODD_TEMPLATES)
def test_a_template_s_odd_habit_moves_no_mask(habit: str) -> None:
    odd = ODD_TEMPLATES[habit]
    tokenizer = odd.tokens.tokenizer(odd.source)
    assert {kind: scored_text(conversation(kind), tokenizer) for kind in odd.masks} == odd.masks
