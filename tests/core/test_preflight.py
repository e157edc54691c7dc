"""The preflight: what a trainer would refuse or shorten is known, counted and named before anything is written."""

from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from core.examples import Example
from core.exporting import REASONS, TRAINERS, bundle_records, preflight
from core.exporting.bundle_plan import Shape
from core.exporting.chat_templates import jinja_template
from core.exporting.preflight import FIRST_ROWS, Preflight
from core.rendering import render
from core.selection import Amount, Selection
from tests.core.bundle_rows import ALL, SEVERAL, SINGLE, WEATHER, Talk, example, talk_store
from tests.tiny_models import MIXED_EXAMPLES, make_tokenizer

TWO_QUESTIONS = example(("user", "One."), ("user", "Two."), ("assistant", "Yes."))
LATE_SYSTEM = example(("user", "Hi."), ("system", "Be terse."), ("assistant", "Hi."))
REPLY_FIRST = example(("assistant", "Hello."), ("user", "Hi."), ("assistant", "How are you?"))
ONLY_A_REPLY = example(("assistant", "Hello."))
NO_LIST = example(("user", "Weather?"), ("assistant", "look()"), tools='"weather"')
NO_PARAMETERS = example(("user", "Weather?"), ("assistant", "look()"), tools='[{"name": "weather"}]')
WITH_TOOLS = example(("user", "Weather?"), ("assistant", "look()"), tools=WEATHER)
LONG = Talk(example(("user", "Count."), ("assistant", "1 2 3")), truncated=True)
HARD = (*SEVERAL, TWO_QUESTIONS, LATE_SYSTEM, REPLY_FIRST, NO_LIST, NO_PARAMETERS, WITH_TOOLS, LONG)


def found(tmp_path: Path, trainer: str, *talks: Example | Talk, template: str = "chat") -> Preflight:
    with talk_store(tmp_path / "workspace", talks, template) as store:
        report = preflight(store, ALL, trainer)
        assert len(list(bundle_records(store, ALL, report))) == report.written_rows
    return report


def counts(report: Preflight) -> dict[str, int]:
    return {finding.reason.name: finding.rows for finding in report.findings}


@pytest.mark.parametrize(
    ("trainer", "expected"),
    [
        (
            "llama-factory",
            {
                "begins_with_a_reply": 1,
                "turns_out_of_order": 2,
                "tools_unreadable": 2,
                "cut_at_max_length": 1,
                "ends_without_a_reply": 1,
                "tool_turns_reworded": 1,
                "tools_reworded": 1,
            },
        ),
        ("trl", {"tools_unreadable": 1, "cut_at_max_length": 1, "ends_without_a_reply": 1}),
        ("axolotl", {"tools_unreadable": 1, "cut_at_max_length": 1, "ends_without_a_reply": 1}),
        ("plain", {}),
    ],
)
def test_each_trainer_refuses_and_shortens_what_its_loader_would(
    tmp_path: Path, trainer: str, expected: dict[str, int]
) -> None:
    report = found(tmp_path, trainer, *HARD)
    assert counts(report) == expected
    refused = sum(count for name, count in expected.items() if REASONS[name].refuses)
    assert (report.rows, report.written_rows) == (len(HARD), len(HARD) - refused)
    assert (report.tokens, report.written_tokens) == (10 * len(HARD), 10 * (len(HARD) - refused))


def test_the_first_rows_of_each_reason_are_named(tmp_path: Path) -> None:
    talks = [example(("user", f"One {n}."), ("user", "Two."), ("assistant", "Yes.")) for n in range(7)]
    (finding,) = found(tmp_path, "llama-factory", SINGLE[0], *talks).findings
    assert finding.rows == 7
    assert finding.first_rows == tuple(range(2, 2 + FIRST_ROWS))


def test_only_kept_rows_are_counted(tmp_path: Path) -> None:
    # Losses fall with the row number, so the first row has the highest score.
    with talk_store(tmp_path / "workspace", [SINGLE[0], TWO_QUESTIONS]) as store:
        report = preflight(store, Selection("talks", amount=Amount("rows", 1)), "llama-factory")
    assert (report.rows, counts(report)) == (1, {})


def test_trl_needs_a_prompt_only_where_it_trains_on_completions(tmp_path: Path) -> None:
    assert counts(found(tmp_path / "single", "trl", *SINGLE, ONLY_A_REPLY)) == {"begins_with_a_reply": 1}
    assert counts(found(tmp_path / "several", "trl", *SINGLE, REPLY_FIRST)) == {}


def test_tools_matter_only_where_the_template_shows_them(tmp_path: Path) -> None:
    assert counts(found(tmp_path, "llama-factory", *SINGLE, NO_LIST, template="alpaca")) == {}


def test_tool_turns_that_are_written_otherwise_are_said(tmp_path: Path) -> None:
    assert counts(found(tmp_path, "llama-factory", *SEVERAL, template="alpaca")) == {
        "ends_without_a_reply": 1,
        "tool_turns_reworded": 1,
    }


def test_every_reason_reads_as_a_clause() -> None:
    for reason in REASONS.values():
        assert reason.sentence[0].islower()
        assert not reason.sentence.endswith(".")


def test_an_input_is_part_of_its_question() -> None:
    assert Shape(("system", "user", "context", "assistant", "user")).turns == ("user", "assistant")
    assert Shape(("context", "assistant")).turns == ("user", "assistant")


@pytest.mark.parametrize("template", ["alpaca", "plain"])
@pytest.mark.parametrize("conversation", [*MIXED_EXAMPLES, LATE_SYSTEM, REPLY_FIRST], ids=range(12))
def test_the_templates_we_ship_write_what_was_scored(template: str, conversation: Example) -> None:
    tokenizer: PreTrainedTokenizerFast = make_tokenizer(adds_bos=False)
    messages = [{"role": message.role, "content": message.content} for message in conversation.messages]
    for marks_replies in (True, False):
        jinja = jinja_template(template, marks_replies)
        written = tokenizer.apply_chat_template(messages, chat_template=jinja, tokenize=False)
        scored = render(conversation, tokenizer, template).text
        assert written == tokenizer.bos_token + scored.removesuffix("\n" if template == "plain" else "")


@pytest.mark.parametrize("template", ["alpaca", "plain"])
def test_the_marked_template_marks_the_replies_and_their_ends(template: str) -> None:
    tokenizer = make_tokenizer()
    messages = [{"role": message.role, "content": message.content} for message in SEVERAL[4].messages]
    encoded = tokenizer.apply_chat_template(
        messages,
        chat_template=jinja_template(template, with_marks=True),
        return_assistant_tokens_mask=True,
        return_dict=True,
    )
    marked = [i for i, mark in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if mark]
    assert tokenizer.decode(marked) == "12.</s> 7 of them.</s>"


def test_the_table_of_trainers_is_complete() -> None:
    assert list(TRAINERS) == ["llama-factory", "trl", "axolotl", "plain"]
    assert all(name == trainer.name and trainer.summary.endswith(".") for name, trainer in TRAINERS.items())
