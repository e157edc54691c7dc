"""Which tokens are scored: prompt and response boundary, templates, BOS and end-of-turn, truncation, fingerprints."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from core.data.encoded import Encoded
from core.data.errors import TemplateFailed
from core.data.examples import Example
from core.encoding.encode import encode_example, encode_examples
from core.encoding.encoding_spec import EncodingSpec
from core.encoding.rendering import render
from tests.tiny_models import BOS, EOS, MIXED_EXAMPLES, TURNS_TEMPLATE, encoding_spec, example, make_tokenizer

QUESTION = example(("user", "Name a river."), ("assistant", "The Thames."))
TURNS = example(
    ("system", "Be brief."),
    ("user", "One?"),
    ("assistant", "Uno."),
    ("user", "Two?"),
    ("assistant", "Dos."),
    ("user", "Bye."),
)
ALPACA_INSTRUCTION = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\nName a river.\n\n### Response:\n"
)
ALPACA_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\nTranslate.\n\n### Input:\nGuten Tag\n\n### Response:\n"
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return make_tokenizer()


def end_text(encoded: Encoded, tokenizer: Any) -> str:
    return str(tokenizer.decode(encoded.input_ids[encoded.is_end]))


def scored_text(encoded: Encoded, tokenizer: Any) -> str:
    return str(tokenizer.decode(encoded.input_ids[encoded.scored]))


def whole_text(encoded: Encoded, tokenizer: Any) -> str:
    return str(tokenizer.decode(encoded.input_ids))


def chat(template: str, **options: Any) -> Any:
    return make_tokenizer(chat_template=template, **options)


# Boundaries


def test_alpaca_prompt_without_input_is_stanfords_text(tokenizer: Any) -> None:
    rendered = render(QUESTION, tokenizer, "alpaca")
    assert rendered.text == ALPACA_INSTRUCTION + "The Thames." + EOS
    assert rendered.spans == ((len(ALPACA_INSTRUCTION), len(rendered.text)),)


def test_alpaca_prompt_with_input_is_stanfords_text(tokenizer: Any) -> None:
    row = example(("user", "Translate."), ("context", "Guten Tag"), ("assistant", "Good day"))
    assert render(row, tokenizer, "alpaca").text == ALPACA_INPUT + "Good day" + EOS


def test_plain_template_is_prompt_line_break_response(tokenizer: Any) -> None:
    encoded = encode_example(QUESTION, tokenizer, encoding_spec("plain"))
    assert whole_text(encoded, tokenizer) == f"{BOS}Name a river.\nThe Thames.{EOS}\n"
    assert scored_text(encoded, tokenizer) == f"The Thames.{EOS}"


def test_a_response_that_repeats_its_prompt_is_scored_at_its_own_place(tokenizer: Any) -> None:
    echo = example(("user", "river"), ("assistant", "river"))
    encoded = encode_example(echo, tokenizer, encoding_spec("plain"))
    response_ids = [*tokenizer("river", add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    assert encoded.input_ids[encoded.scored].tolist() == response_ids
    assert np.flatnonzero(encoded.scored)[0] > len(response_ids)


@pytest.mark.parametrize("template", ["chat", "alpaca", "plain"])
@pytest.mark.parametrize("row", MIXED_EXAMPLES, ids=range(len(MIXED_EXAMPLES)))
@pytest.mark.parametrize("trim_offsets", [False, True])
def test_exactly_the_assistant_turns_and_their_ends_are_scored(row: Any, template: str, trim_offsets: bool) -> None:
    tokenizer = make_tokenizer(trim_offsets=trim_offsets)
    encoded = encode_example(row, tokenizer, encoding_spec(template))
    end = "<|end|>" if template == "chat" else EOS
    replies = [message.content + end for message in row.messages if message.role == "assistant"]
    assert scored_text(encoded, tokenizer) == "".join(replies)
    assert end_text(encoded, tokenizer) == end * len(replies)
    assert encoded.end_token_count == len(replies)
    assert len(encoded.input_ids) == len(encoded.scored)
    assert encoded.reason is None


def test_all_assistant_turns_are_scored_and_what_follows_the_last_is_left_out(tokenizer: Any) -> None:
    encoded = encode_example(TURNS, tokenizer, encoding_spec("chat"))
    assert scored_text(encoded, tokenizer) == "Uno.<|end|>Dos.<|end|>"
    assert "Bye" not in whole_text(encoded, tokenizer)


def test_a_token_that_straddles_the_boundary_is_scored() -> None:
    # Here "\nY" is one token of the prompt's line break and the response's first letter.
    bare = Tokenizer(models.BPE({"a": 0, "\n": 1, "Y": 2, "e": 3, "\nY": 4}, [("\n", "Y")]))
    straddling = PreTrainedTokenizerFast(tokenizer_object=bare)
    encoded = encode_example(example(("user", "a"), ("assistant", "Ye")), straddling, encoding_spec("plain"))
    assert encoded.input_ids.tolist() == [0, 4, 3, 1]
    assert encoded.scored.tolist() == [False, True, True, False]


def test_every_token_of_a_character_of_several_tokens_is_scored(tokenizer: Any) -> None:
    encoded = encode_example(example(("user", "a"), ("assistant", "🎉")), tokenizer, encoding_spec("plain"))
    assert encoded.token_count == 4 + 1  # the character's four bytes, and the end of turn


def test_a_batch_of_examples_is_encoded_as_each_alone(tokenizer: Any) -> None:
    together = encode_examples(MIXED_EXAMPLES, tokenizer, encoding_spec("chat"))
    for row, encoded in zip(MIXED_EXAMPLES, together, strict=True):
        alone = encode_example(row, tokenizer, encoding_spec("chat"))
        assert encoded.input_ids.tolist() == alone.input_ids.tolist()
        assert encoded.scored.tolist() == alone.scored.tolist()


def test_a_first_token_is_never_scored() -> None:
    bare = Tokenizer(models.BPE({"Y": 0, "e": 1}, []))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bare)
    encoded = encode_example(example(("assistant", "Ye")), tokenizer, encoding_spec("plain"))
    assert encoded.scored.tolist() == [False, True]


# BOS and end-of-turn


@pytest.mark.parametrize("adds_bos", [True, False])
@pytest.mark.parametrize("written", ["", "{{ bos_token }}", "{{ bos_token }}{{ bos_token }}"])
def test_one_bos_whether_the_template_writes_it_or_the_tokenizer_adds_it(adds_bos: bool, written: str) -> None:
    tokenizer = chat(written + TURNS_TEMPLATE, adds_bos=adds_bos)
    encoded = encode_example(QUESTION, tokenizer, encoding_spec("chat"))
    expected = 1 if adds_bos or written else 0
    assert encoded.input_ids.tolist().count(tokenizer.bos_token_id) == expected
    assert (encoded.input_ids[0] == tokenizer.bos_token_id) == bool(expected)
    assert scored_text(encoded, tokenizer) == "The Thames.<|end|>"


@pytest.mark.parametrize("template", ["alpaca", "plain"])
@pytest.mark.parametrize("adds_bos", [True, False])
def test_other_templates_have_a_bos_just_where_the_tokenizer_adds_one(template: str, adds_bos: bool) -> None:
    tokenizer = make_tokenizer(adds_bos=adds_bos)
    encoded = encode_example(QUESTION, tokenizer, encoding_spec(template))
    assert encoded.input_ids.tolist().count(tokenizer.bos_token_id) == int(adds_bos)
    assert scored_text(encoded, tokenizer) == "The Thames." + EOS


def test_only_scored_ends_of_turn_count_as_such(tokenizer: Any) -> None:
    whole = encode_example(TURNS, tokenizer, encoding_spec("chat"))
    assert end_text(whole, tokenizer) == "<|end|><|end|>"  # of five turns, the assistant's
    last = encode_example(TURNS, tokenizer, replace(encoding_spec("chat"), replies="last"))
    assert last.end_token_count == 1
    cut = encode_example(TURNS, tokenizer, replace(encoding_spec("chat"), max_length=len(whole.input_ids) - 2))
    assert (cut.truncated, cut.end_token_count) == (True, 1)  # the second end lies beyond
    context = Example((*TURNS.messages[:2], replace(TURNS.messages[2], is_context=True), *TURNS.messages[3:]))
    assert encode_example(context, tokenizer, encoding_spec("chat")).end_token_count == 1


def test_white_space_of_the_reply_is_its_text_and_the_template_s_is_its_end() -> None:
    row = example(("user", "a"), ("assistant", "one \n"))
    template = "{% for message in messages %}{{ message.content }} <|end|>\n{% endfor %}"
    trimming = template.replace("message.content", "message.content | trim")
    for source in (template, trimming):
        tokenizer = chat(source)
        assert end_text(encode_example(row, tokenizer, encoding_spec("chat")), tokenizer) == " <|end|>"


def test_a_token_of_the_reply_and_of_its_end_belongs_to_the_reply() -> None:
    # Here "e\n" is one token of the response's last letter and the template's line break, which ends the turn.
    bare = Tokenizer(models.BPE({"a": 0, "\n": 1, "Y": 2, "e": 3, "e\n": 4}, [("e", "\n")]))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bare)
    tokenizer.chat_template = "{% for message in messages %}{{ message.content }}\n{% endfor %}"
    encoded = encode_example(example(("user", "a"), ("assistant", "Ye")), tokenizer, encoding_spec("chat"))
    assert encoded.input_ids[encoded.scored].tolist() == [2, 4]
    assert encoded.end_token_count == 0


def test_the_line_break_after_an_end_of_turn_is_not_scored(tokenizer: Any) -> None:
    encoded = encode_example(QUESTION, tokenizer, encoding_spec("chat"))
    assert whole_text(encoded, tokenizer).endswith("The Thames.<|end|>\n")
    assert encoded.scored.tolist()[-2:] == [True, False]


def test_an_end_of_turn_that_the_tokenizer_does_not_name_ends_the_turn_all_the_same() -> None:
    tokenizer = make_tokenizer(end_of_turn_is_named=False)
    assert "<|end|>" not in tokenizer.all_special_tokens
    assert scored_text(encode_example(TURNS, tokenizer, encoding_spec("chat")), tokenizer) == "Uno.<|end|>Dos.<|end|>"


def test_a_special_token_within_a_response_does_not_end_it(tokenizer: Any) -> None:
    row = example(("user", "a"), ("assistant", f"one {EOS} two"))
    template = "{% for message in messages %}{{ message.content }}\n{% endfor %}"
    for tokens, end in ((tokenizer, "<|end|>"), (chat(template), "\n")):
        assert scored_text(encode_example(row, tokens, encoding_spec("chat")), tokens) == f"one {EOS} two{end}"


def test_a_tokenizer_whose_pad_is_its_eos_still_has_its_end_of_turn_scored() -> None:
    tokenizer = make_tokenizer(pad=EOS)
    encoded = encode_example(QUESTION, tokenizer, encoding_spec("alpaca"))
    assert encoded.input_ids[-1] == tokenizer.pad_token_id
    assert encoded.scored[-1]


# Roles


def test_context_ends_the_users_turn_in_a_chat_template(tokenizer: Any) -> None:
    row = example(("user", "Translate."), ("context", "Guten Tag"), ("assistant", "Good day"))
    assert "<|turn|>user\nTranslate.\nGuten Tag<|end|>\n<|turn|>assistant" in render(row, tokenizer, "chat").text


def test_alpaca_puts_the_system_message_in_place_of_its_head(tokenizer: Any) -> None:
    row = example(("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"))
    assert render(row, tokenizer, "alpaca").text == f"Be brief.\n\n### Instruction:\nHi\n\n### Response:\nHello{EOS}"


def test_alpaca_keeps_a_later_system_message_in_its_place(tokenizer: Any) -> None:
    row = example(("system", "Be brief."), ("user", "Hi"), ("system", "Now rhyme."), ("assistant", "Oh my"))
    text = render(row, tokenizer, "alpaca").text
    assert text == f"Be brief.\n\n### Instruction:\nHi\n\nNow rhyme.\n\n### Response:\nOh my{EOS}"


@pytest.mark.parametrize("template", ["chat", "alpaca", "plain"])
def test_a_tools_answer_is_read_and_not_scored(tokenizer: Any, template: str) -> None:
    row = example(("user", "Weather?"), ("assistant", "look()"), ("tool", "hailstorm"), ("assistant", "Hail."))
    encoded = encode_example(row, tokenizer, encoding_spec(template))
    assert "hailstorm" in whole_text(encoded, tokenizer)
    assert "hailstorm" not in scored_text(encoded, tokenizer)


def test_tools_reach_the_chat_template() -> None:
    tokenizer = chat("{% for tool in tools %}{{ tool.name }};{% endfor %}" + TURNS_TEMPLATE)
    row = replace(QUESTION, tools='[{"name": "rain_radar"}]')
    assert render(row, tokenizer, "chat").text.startswith("rain_radar;<|turn|>user")


def test_tools_that_are_not_json_leave_the_row_with_a_reason(tokenizer: Any) -> None:
    encoded = encode_example(replace(QUESTION, tools="{broken"), tokenizer, encoding_spec("chat"))
    assert encoded.reason == "The row's tools are not JSON."


# Templates that misbehave


def test_a_template_that_hangs_is_stopped_and_the_row_has_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOBASS_TEMPLATE_SECONDS", "0.2")
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    encoded = encode_example(QUESTION, chat(loop), encoding_spec("chat"))
    assert encoded.reason == "The chat template took longer than 0.2 seconds for one conversation."
    assert encoded.token_count == 0


def test_a_template_that_raises_leaves_only_its_row_out() -> None:
    refuse = "{% if messages | length > 4 %}{{ raise_exception('too many turns') }}{% endif %}"
    tokenizer = chat(refuse + TURNS_TEMPLATE)
    refused, kept = encode_examples([TURNS, QUESTION], tokenizer, encoding_spec("chat"))
    assert refused.reason == "The chat template refused the conversation: too many turns"
    assert kept.reason is None
    assert scored_text(kept, tokenizer) == "The Thames.<|end|>"


def test_a_template_that_strips_thoughts_from_earlier_turns_scores_what_is_left() -> None:
    strip = (
        "{% for message in messages %}<|turn|>{{ message.role }}\n"
        "{% if message.role == 'assistant' and not loop.last %}{{ message.content.split('</think>')[-1] }}"
        "{% else %}{{ message.content }}{% endif %}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
    )
    row = example(
        ("user", "One?"),
        ("assistant", "<think>hm</think>Uno."),
        ("user", "Two?"),
        ("assistant", "<think>ah</think>Dos."),
    )
    tokenizer = chat(strip)
    encoded = encode_example(row, tokenizer, encoding_spec("chat"))
    assert scored_text(encoded, tokenizer) == "Uno.<|end|><think>ah</think>Dos.<|end|>"


def test_text_that_only_an_open_reply_has_does_not_move_the_boundary() -> None:
    thought = TURNS_TEMPLATE.replace("assistant\n{% endif %}", "assistant\n<think>\n\n</think>\n\n{% endif %}")
    tokenizer = chat(thought)
    assert scored_text(encode_example(TURNS, tokenizer, encoding_spec("chat")), tokenizer) == "Uno.<|end|>Dos.<|end|>"


def test_a_template_that_never_opens_a_reply_does_not_have_its_header_scored() -> None:
    tokenizer = chat(
        "{% for message in messages %}<|turn|>{{ message.role }}\n{{ message.content }}<|end|>\n{% endfor %}"
    )
    assert scored_text(encode_example(TURNS, tokenizer, encoding_spec("chat")), tokenizer) == "Uno.<|end|>Dos.<|end|>"


def test_a_conversation_that_the_assistant_begins_is_scored_from_its_first_turn() -> None:
    tokenizer = chat("{{ messages[0].role[:0] }}" + TURNS_TEMPLATE)  # fails on no messages, as real ones do
    row = example(("assistant", "Hello!"), ("user", "Hi"), ("assistant", "How are you?"))
    encoded = encode_example(row, tokenizer, encoding_spec("chat"))
    assert scored_text(encoded, tokenizer) == "Hello!<|end|>How are you?<|end|>"


def test_an_empty_tool_answer_that_stands_in_a_replys_own_pass_is_refused_and_never_scored() -> None:
    inside = (
        "{% for message in messages %}{% if message.role != 'tool' %}<|turn|>{{ message.role }}\n{{ message.content }}"
        "{% if not loop.last and messages[loop.index].role == 'tool' %}({{ messages[loop.index].content }}){% endif %}"
        "<|end|>\n{% endif %}{% endfor %}{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
    )
    row = example(("user", "Time?"), ("assistant", "look()"), ("tool", ""), ("assistant", "Noon."))
    encoded = encode_example(row, chat(inside), encoding_spec("chat"))
    assert encoded.reason == "The chat template does not show the place of turn 3, an empty answer."
    assert not encoded.scored.any()


def test_a_template_that_reorders_the_turns_is_refused() -> None:
    backwards = (
        "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
        "{% for message in messages | reverse %}{{ message.content }}{% endfor %}"
    )
    with pytest.raises(TemplateFailed, match="does not show where the reply begins"):
        render(TURNS, chat(backwards), "chat")


# Truncation and nothing to score


def test_a_cut_response_is_kept_and_flagged(tokenizer: Any) -> None:
    whole = encode_example(QUESTION, tokenizer, encoding_spec("plain"))
    first = int(np.flatnonzero(whole.scored)[0])
    cut = encode_example(QUESTION, tokenizer, encoding_spec("plain", max_length=first + 2))
    assert cut.truncated
    assert cut.token_count == 2
    assert cut.input_ids.tolist() == whole.input_ids[: first + 2].tolist()
    assert cut.reason is None


def test_a_cut_that_takes_no_scored_token_is_no_truncation(tokenizer: Any) -> None:
    whole = encode_example(QUESTION, tokenizer, encoding_spec("plain"))
    cut = encode_example(QUESTION, tokenizer, encoding_spec("plain", max_length=len(whole.input_ids) - 1))
    assert not cut.truncated
    assert cut.token_count == whole.token_count


def test_a_prompt_that_fills_the_maximum_length_is_the_reason(tokenizer: Any) -> None:
    encoded = encode_example(QUESTION, tokenizer, encoding_spec("alpaca", max_length=10))
    assert encoded.reason == "prompt fills the maximum length"
    assert encoded.truncated
    assert encoded.token_count == 0


def test_the_bos_counts_towards_the_maximum_length(tokenizer: Any) -> None:
    encoded = encode_example(QUESTION, tokenizer, encoding_spec("plain", max_length=5))
    assert len(encoded.input_ids) == 5
    assert encoded.input_ids[0] == tokenizer.bos_token_id


def test_an_empty_response_scores_its_end_of_turn_alone(tokenizer: Any) -> None:
    encoded = encode_example(example(("user", "Hi"), ("assistant", "")), tokenizer, encoding_spec("alpaca"))
    assert encoded.input_ids[encoded.scored].tolist() == [tokenizer.eos_token_id]


def test_an_empty_response_without_any_end_of_turn_has_a_reason() -> None:
    bare = Tokenizer(models.WordLevel({"Hi": 0}, unk_token="Hi"))
    bare.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bare)
    encoded = encode_example(example(("user", "Hi"), ("assistant", "")), tokenizer, encoding_spec("plain"))
    assert encoded.reason == "response has no token"
    assert not encoded.truncated


# Fingerprints


def test_equal_encodings_share_a_fingerprint() -> None:
    one, other = EncodingSpec("alpaca", 2048, "tokenizer"), EncodingSpec("alpaca", 2048, "tokenizer")
    assert one.fingerprint == other.fingerprint
