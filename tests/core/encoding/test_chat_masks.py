"""Which tokens are scored, against masks made by hand: real families' templates, each with many kinds of conversation.

`chat_masks/FAMILY.txt` has a line for each kind: the text with what is scored in [[ ]], made by reading the template
and never by running the code; or why the row is refused; and which share of its replies the template leaves out."""

import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerFast

from core.data.examples import Example
from core.encoding.encode import encode_and_render
from core.encoding.encoding_spec import EncodingSpec
from tests.core.chat_conversations import CONVERSATIONS, QUOTES
from tests.core.chat_families import FAMILIES, family_tokenizer
from tests.core.chat_openai_form import DAY, hold_date, openai_messages
from tests.core.odd_templates import ODD_TEMPLATES, conversation

MASKS = Path(__file__).parents[1].joinpath("chat_masks")


@cache
def masks_by_hand(family: str) -> dict[str, str]:
    """A family's expected texts by kind of conversation. `$NAME = text` names a text that other lines begin with."""
    lines = [line.split(" = ", 1) for line in (MASKS / f"{family}.txt").read_text("utf-8").split("\n") if line]
    named = {name: unescaped(text) for name, text in lines if name.startswith("$")}
    masks = {kind: unescaped(text) for kind, text in lines if not kind.startswith("$")}
    for name, text in named.items():
        masks = {kind: mask.replace(name, text) for kind, mask in masks.items()}
    return masks


def unescaped(text: str) -> str:
    """A line of a table, with \\n for a line break and \\\\ for a backslash, as the text that it stands for."""
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], text)


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


ENDS = {
    "cohere": "<|END_OF_TURN_TOKEN|>",
    "cohere2": "<|END_RESPONSE|><|END_OF_TURN_TOKEN|>",
    "deepseek_r1_distill": "<｜end▁of▁sentence｜>",
    "deepseekv3": "<｜end▁of▁sentence｜>",
    "gemma": "<end_of_turn>",
    "gemma3": "<end_of_turn>",
    "gemma4": "<turn|>",
    "glm4moe": "",  # the next turn's header ends a reply
    "gptoss": "<|return|>",
    "llama3": "<|eot_id|>",
    "llama3_1": "<|eot_id|>",
    "llama3_2": "<|eot_id|>",
    "muse_glimmer": "<|eot|>",
    "phi3": "<|end|>",
    "phi3_5": "<|end|>",
}
"""What a family's last reply ends with, where it is not `<|im_end|>`."""
OTHER_ENDS = {
    "cohere2": {"<|END_OF_TURN_TOKEN|>"},
    "gemma4": {"<tool_call|>", "<|tool_response>"},
    "gptoss": {"<|end|>", "<|call|>"},
}
"""What replies before the last end with, or replies that call a tool, where that is something else."""


def end_texts(example: Example, tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """The text of each run of end-of-turn tokens of a conversation."""
    ((encoded, _),) = encode_and_render([example], tokenizer, EncodingSpec("chat", 100_000, "tests", day=DAY))
    places = np.flatnonzero(encoded.is_end)
    runs = np.split(encoded.input_ids[places], np.flatnonzero(np.diff(places) > 1) + 1)
    return [str(tokenizer.decode(run)) for run in runs if len(run)]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_end_of_a_reply_is_its_closing_marker_and_nothing_else(family: str) -> None:
    tokenizer, end = family_tokenizer(family), ENDS.get(family, "<|im_end|>")
    quote = next(quote for token, quote in QUOTES.items() if token in FAMILIES[family].specials)
    assert end_texts(CONVERSATIONS["one turn"](quote), tokenizer) == ([end] if end else [])
    found = {text for make in CONVERSATIONS.values() for text in end_texts(make(quote), tokenizer)}
    assert found == ({end} if end else set()) | OTHER_ENDS.get(family, set())


PLAIN = [
    *("one turn", "two turns", "three turns", "system prompt", "system prompt and two turns", "reply first"),
    *("empty reply in the middle", "white space reply in the middle", "white space around replies"),
    *("special tokens quoted", "replies in HTML", "replies that begin like a thought", "code and emoji"),
    *("separate thought", "separate thoughts in two turns", "thought without an answer", "two replies in a row"),
]
WITH_CALLS = ["tool call", "two tool calls", "thoughts and tool call", "tool call last", "tool call after a turn"]
WRITE_CALLS = {
    *("gemma4", "glm4moe", "gptoss", "lfm2_v2", "lfm2_2_5", "lfm2_2_5_v2", "llama3_1", "llama3_2", "muse_glimmer"),
    *("nemotron_3_nano", "nemotron_3_super", "qwen2_5", "qwen3", "qwen3_vl", "qwen3_instruct_2507"),
    *("qwen3_5_think", "qwen3_5_nothink", "qwen3_6", "qwen3_8"),
}
"""Families whose templates take calls in OpenAI's form; DeepSeek's take arguments as text."""


@pytest.mark.parametrize("family", FAMILIES)
def test_the_text_is_what_transformers_writes(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hold_date(monkeypatch)
    tokenizer = family_tokenizer(family)
    quote = next(quote for token, quote in QUOTES.items() if token in FAMILIES[family].specials)
    compared = 0
    for kind in PLAIN + (WITH_CALLS if family in WRITE_CALLS else []):
        example = CONVERSATIONS[kind](quote)
        spec = EncodingSpec("chat", 100_000, "tests", day=DAY)
        ((encoded, rendered),) = encode_and_render([example], tokenizer, spec)
        tools = json.loads(example.tools) if example.tools else None
        if (family, kind) == ("gptoss", "two tool calls"):
            # The template writes the first call alone and says nothing: the row is refused.
            assert rendered is None
        elif rendered is None or encoded.folded_system:
            with pytest.raises(TemplateError):
                tokenizer.apply_chat_template(openai_messages(example, family), tools=tools, tokenize=False)
        else:
            written = tokenizer.apply_chat_template(openai_messages(example, family), tools=tools, tokenize=False)
            assert rendered.text == written, kind
            compared += 1
    assert compared >= 13
