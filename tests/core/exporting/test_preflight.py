"""The preflight: what a trainer would refuse or shorten is known, counted and named before anything is written."""

from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from core.data.examples import Example, Message
from core.encoding.rendering import render
from core.encoding.template_turns import chat_messages
from core.exporting import TRAINER_REASONS, TRAINERS, bundle_records, preflight
from core.exporting.bundle_plan import ConversationShape
from core.exporting.chat_templates import jinja_template
from core.exporting.preflight import FIRST_ROWS, Preflight, _shapes
from core.selection import Amount, Selection
from tests.core.bundle_rows import (
    ALL,
    CALLS,
    CONTEXT_BETWEEN,
    FORECAST,
    ONE_SCORED,
    RICH_TEMPLATE,
    SCORED_AFTER_CONTEXT,
    SEVERAL,
    SINGLE,
    THOUGHTS,
    WEATHER,
    Talk,
    answering,
    asking,
    calling,
    example,
    talk_store,
)
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


def found(tmp_path: Path, trainer: str, *talks: Example | Talk, template: str = "chat", **encoding: str) -> Preflight:
    with talk_store(tmp_path / "workspace", talks, template, **encoding) as store:
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
    refused = sum(count for name, count in expected.items() if TRAINER_REASONS[name].refuses)
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


@pytest.mark.parametrize(
    ("trainer", "talks", "left_out"),
    [
        ("llama-factory", ONE_SCORED, 0),
        ("llama-factory", SCORED_AFTER_CONTEXT, 1),
        ("llama-factory", (*ONE_SCORED, CONTEXT_BETWEEN), 2),
        ("trl", (*ONE_SCORED, *SCORED_AFTER_CONTEXT), 0),
        ("trl", (*ONE_SCORED, CONTEXT_BETWEEN), 1),
        ("axolotl", (*ONE_SCORED, CONTEXT_BETWEEN), 0),
    ],
)
def test_a_row_whose_context_would_be_trained_on_is_left_out_and_counted(
    tmp_path: Path, trainer: str, talks: tuple[Example, ...], left_out: int
) -> None:
    report = found(tmp_path, trainer, *talks)
    assert counts(report) == ({"replies_not_scored": left_out} if left_out else {})
    assert report.written_rows == len(talks) - left_out


def test_where_the_last_reply_alone_is_scored_no_row_is_left_out_for_its_others(tmp_path: Path) -> None:
    for trainer in ("llama-factory", "trl", "axolotl"):
        report = found(tmp_path / trainer, trainer, *SCORED_AFTER_CONTEXT, CONTEXT_BETWEEN, replies="last")
        assert counts(report) == {}
        assert (report.plan.several_replies, report.plan.context_replies) == (False, True)


def test_llama_factory_cuts_earlier_turns_where_it_masks_them(tmp_path: Path) -> None:
    assert counts(found(tmp_path, "llama-factory", Talk(ONE_SCORED[0], truncated=True))) == {"cut_at_the_beginning": 1}


def test_llama_factorys_own_words_for_tools_are_said(tmp_path: Path) -> None:
    assert counts(found(tmp_path, "llama-factory", *CALLS)) == {"tool_turns_reworded": 1, "tools_reworded": 2}


def test_calls_that_a_template_writes_only_beside_a_null_are_left_out(tmp_path: Path) -> None:
    template = (
        "{% for m in messages %}{% if m['role'] == 'assistant' and m['content'] is none %}"
        "{% for tool in m['tool_calls'] %}{{ tool['function']['name'] + tool['function']['arguments'] + '</s>' }}"
        "{% endfor %}{% else %}{{ m['content'] }}{% endif %}{% endfor %}"
    )
    report = found(tmp_path, "trl", *CALLS, chat_template=template)
    assert counts(report) == {"calls_not_written": 2}


def test_what_the_template_reads_of_turns_besides_a_content_is_seen(tmp_path: Path) -> None:
    inline = example(("user", "Add."), ("assistant", "<think>\nSo.\n</think>\n\n5"))
    for name, talks, has_details in (
        ("text", SINGLE, False),
        ("context", ONE_SCORED, False),
        ("thoughts", THOUGHTS, True),
        ("inline", (inline,), True),
        ("calls", CALLS, True),
    ):
        assert found(tmp_path / name, "axolotl", *talks, chat_template=RICH_TEMPLATE).plan.details == has_details
        assert not found(tmp_path / f"{name}-alpaca", "axolotl", *talks, template="alpaca").plan.details


def test_several_answers_of_tools_in_a_row_are_out_of_order_for_llama_factory(tmp_path: Path) -> None:
    two = Example(
        (
            asking("Both?"),
            calling("{}", "a"),
            answering("1", "a"),
            answering("2", "b"),
            Message("assistant", "1 and 2"),
        ),
        FORECAST,
    )
    assert counts(found(tmp_path, "llama-factory", two))["turns_out_of_order"] == 1


def test_the_shape_that_the_store_tells_is_the_one_of_the_example(tmp_path: Path) -> None:
    rows = (*HARD, *CALLS, *THOUGHTS, *ONE_SCORED, CONTEXT_BETWEEN)
    with talk_store(tmp_path / "workspace", rows) as store:
        told = {shape for shape, *_ in _shapes(store, ALL, "all")}
    assert told == {
        ConversationShape.of(row.example, row.truncated) if isinstance(row, Talk) else ConversationShape.of(row, False)
        for row in rows
    }


@pytest.mark.parametrize("trainer", ["llama-factory", "trl", "axolotl"])
def test_a_template_that_asks_for_the_date_is_said_or_goes_along_with_the_runs_date(
    tmp_path: Path, trainer: str
) -> None:
    plainly = "{{ strftime_now('%Y') }}{% for m in messages %}{{ m.content }}{% endfor %}"
    fields = {"chat_template": plainly, "day": "2026-03-07"}
    for name, template in (("plain", plainly), ("odd", plainly.replace("'%Y'", "form"))):
        report = found(tmp_path / name, trainer, *SINGLE, **fields | {"chat_template": template})
        said = any("2026-03-07" in notice for notice in report.notices)
        assert said == (name == "odd" or trainer == "llama-factory")
        shipped = TRAINERS[trainer].files(report.plan)["chat_template.jinja"]
        assert shipped == (template if name == "odd" else template.replace("strftime_now('%Y')", "'2026'"))


def test_every_reason_reads_as_a_clause() -> None:
    for reason in TRAINER_REASONS.values():
        assert reason.sentence[0].islower()
        assert not reason.sentence.endswith(".")


def test_an_input_is_part_of_its_question() -> None:
    assert ConversationShape(("system", "user", "context", "assistant", "user")).turns == ("user", "assistant")
    assert ConversationShape(("context", "assistant")).turns == ("user", "assistant")


@pytest.mark.parametrize("template", ["alpaca", "plain", "chatml"])
@pytest.mark.parametrize("conversation", [*MIXED_EXAMPLES, LATE_SYSTEM, REPLY_FIRST], ids=range(12))
def test_the_templates_we_ship_write_what_was_scored(template: str, conversation: Example) -> None:
    tokenizer: PreTrainedTokenizerFast = make_tokenizer(adds_bos=False)
    turns = conversation.messages
    if template == "chatml":
        turns = tuple(turn for _, turn in chat_messages(turns))
    messages = [{"role": message.role, "content": message.content} for message in turns]
    for marks_replies in (True, False):
        jinja = jinja_template(template, marks_replies)
        written = tokenizer.apply_chat_template(messages, chat_template=jinja, tokenize=False)
        scored = render(conversation, tokenizer, template).text
        # ChatML has no start of text; what it writes of an input is part of the question before it.
        start = "" if template == "chatml" else tokenizer.bos_token
        assert written == start + scored.removesuffix("\n" if template == "plain" else "")


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
    assert list(TRAINERS) == ["llama-factory", "trl", "axolotl", "plain", "trl-dpo", "llama-factory-dpo"]
    assert all(name == trainer.name and trainer.summary.endswith(".") for name, trainer in TRAINERS.items())
