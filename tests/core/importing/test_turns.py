"""Turns keep what templates write in forms of their own: thoughts, tool calls, who answers which call, and weights."""

import json
from typing import Any

import pytest

from core.data.examples import Message, ToolCall
from core.importing.records import RecordUnusable
from core.importing.tool_calls import read_tools
from core.importing.turns import read_turns

ASK = {"role": "user", "content": "Tide?"}
CALL = ToolCall("tide", '{"port": "Brest"}')


def read(*turns: Any) -> tuple[list[Message], list[str]]:
    notices: list[str] = []
    return read_turns(list(turns), "messages", notices), notices


def said(turn: dict[str, Any]) -> Message:
    (message,), notices = read({"role": "assistant", **turn})
    assert notices == []
    return message


def detail(*turns: Any) -> tuple[str, str]:
    with pytest.raises(RecordUnusable) as caught:
        read(*turns)
    return caught.value.reason, caught.value.detail


@pytest.mark.parametrize(
    "turn",
    [
        {"content": "High.", "reasoning_content": "Full moon."},
        {"content": "High.", "reasoning": "Full moon."},
        {"content": "High.", "thinking": "Full moon."},
        {"content": "High.", "reasoning": "Full moon.", "reasoning_content": "Full moon.", "thinking": None},
        {"content": [{"type": "thinking", "thinking": "Full moon."}, {"type": "text", "text": "High."}]},
        {"content": [{"type": "reasoning", "text": "Full moon."}, {"type": "output_text", "text": "High."}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Full moon."}]}, "High."]},
        {"content": "High.", "reasoning_details": [{"type": "reasoning.text", "text": "Full moon."}]},
        {"role": "model", "parts": [{"text": "Full moon.", "thought": True}, {"text": "High."}]},
    ],
)
def test_a_thought_stands_apart_from_the_reply(turn: dict[str, Any]) -> None:
    assert said(turn) == Message("assistant", "High.", thought="Full moon.")


def test_a_thought_written_in_the_reply_stays_there() -> None:
    assert said({"content": "<think>\nHm.\n</think>\n\nHigh."}) == Message(
        "assistant", "<think>\nHm.\n</think>\n\nHigh."
    )


@pytest.mark.parametrize(
    ("turn", "call"),
    [
        ({"tool_calls": [{"function": {"name": "tide", "arguments": '{"port":"Brest"}'}}]}, CALL),
        ({"tool_calls": [{"type": "function", "function": {"name": "tide", "arguments": {"port": "Brest"}}}]}, CALL),
        ({"tool_calls": [{"name": "tide", "parameters": {"port": "Brest"}}], "content": None}, CALL),
        ({"tool_calls": '[{"name": "tide", "arguments": {"port": "Brest"}}]'}, CALL),
        ({"tool_calls": [{"name": "tide", "arguments": '"{\\"port\\": \\"Brest\\"}"'}]}, CALL),
        ({"function_call": {"name": "tide", "arguments": '{"port": "Brest"}'}}, CALL),
        ({"role": "function_call", "content": '{"name": "tide", "arguments": {"port": "Brest"}}'}, CALL),
        ({"from": "tool_call", "value": '{"name": "tide", "arguments": {"port": "Brest"}}'}, CALL),
        ({"content": [{"type": "tool_call", "value": {"name": "tide", "arguments": {"port": "Brest"}}}]}, CALL),
        ({"content": [{"type": "tool_use", "name": "tide", "input": {"port": "Brest"}}]}, CALL),
        ({"role": "model", "parts": [{"functionCall": {"name": "tide", "args": {"port": "Brest"}}}]}, CALL),
        ({"tool_calls": [{"id": "c1", "function": {"name": "tide", "arguments": ""}}]}, ToolCall("tide", "{}", "c1")),
        ({"tool_calls": [{"name": "tide", "arguments": "port=Brest"}]}, ToolCall("tide", "port=Brest")),
        ({"content": [{"type": "tool_use", "id": "t", "name": "tide", "input": {}}]}, ToolCall("tide", "{}", "t")),
    ],
)
def test_a_tool_call_is_read_in_every_form_that_it_comes_in(turn: dict[str, Any], call: ToolCall) -> None:
    assert said(turn) == Message("assistant", "", tool_calls=(call,))


def test_several_calls_and_words_of_one_turn_are_kept_and_those_of_two_turns_are_two() -> None:
    both = '[{"name": "tide", "arguments": {"port": "Brest"}}, {"name": "tide", "arguments": {"port": "Brest"}}]'
    assert said({"from": "function_call", "value": both}).tool_calls == (CALL, CALL)
    call = '{"name": "tide", "arguments": {"port": "Brest"}}'
    messages, _ = read({"from": "gpt", "value": "Let me see."}, {"from": "function_call", "value": call})
    assert messages == [Message("assistant", "Let me see."), Message("assistant", "", tool_calls=(CALL,))]


@pytest.mark.parametrize("text", ["tide(Brest)", '{"port": "Brest"}', "7", "[]", '{"name": "tide"'])
def test_a_call_turn_whose_text_is_no_call_keeps_its_text(text: str) -> None:
    assert said({"from": "function_call", "value": text}) == Message("assistant", text)


def test_a_call_without_a_name_is_no_call() -> None:
    assert detail({"role": "assistant", "tool_calls": [{"arguments": "{}"}]}) == (
        "missing field",
        "a tool call of tool_calls of turn 1 of messages has no name; found arguments",
    )
    assert detail({"role": "assistant", "tool_calls": "soon"})[0] == "wrong type"


@pytest.mark.parametrize(
    ("turn", "answer"),
    [
        (
            {"role": "tool", "content": "6 m", "name": "tide", "tool_call_id": "c1"},
            Message("tool", "6 m", name="tide", call_id="c1"),
        ),
        ({"role": "function", "content": "6 m", "name": "tide"}, Message("tool", "6 m", name="tide")),
        ({"from": "observation", "value": "6 m"}, Message("tool", "6 m")),
        ({"role": "tool", "content": {"metres": 6}}, Message("tool", '{"metres": 6}')),
        ({"role": "tool", "content": [{"metres": 6}]}, Message("tool", '[{"metres": 6}]')),
        ({"role": "tool", "content": [{"type": "text", "text": "6 m"}]}, Message("tool", "6 m")),
        ({"role": "tool", "content": {"type": "spring"}}, Message("tool", '{"type": "spring"}')),
        (
            {"role": "user", "parts": [{"functionResponse": {"name": "tide", "response": {"metres": 6}}}]},
            Message("tool", '{"metres": 6}', name="tide"),
        ),
        (
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "6 m"}]},
            Message("tool", "6 m", call_id="t1"),
        ),
    ],
)  # fmt: skip
def test_a_tools_answer_keeps_which_call_it_answers(turn: dict[str, Any], answer: Message) -> None:
    assert read(turn) == ([answer], [])


def test_what_the_user_adds_to_a_tools_answer_is_a_turn_of_its_own() -> None:
    turn = {
        "role": "user",
        "content": [{"type": "tool_result", "content": "6 m"}, {"type": "text", "text": "And now?"}],
    }
    assert read(turn)[0] == [Message("tool", "6 m"), Message("user", "And now?")]


@pytest.mark.parametrize(
    ("mark", "is_context"),
    [
        ({"weight": 0}, True), ({"weight": 1}, False), ({"weight": None}, False), ({"weight": "0"}, True),
        ({"train": False}, True), ({"train": True}, False), ({"train": "false"}, True), ({"training": False}, True),
        ({"loss_mask": 0}, True), ({"loss_mask": 1}, False), ({"loss": False}, True), ({"loss": 0.0}, False),
        ({"train_detail": [{"begin_offset": 0, "end_offset": 3, "train": False}]}, True),
        ({"train_detail": [{"begin_offset": 0, "end_offset": 3, "train": True}]}, False),
    ],
)  # fmt: skip
def test_a_turn_that_is_not_trained_on_is_context(mark: dict[str, Any], is_context: bool) -> None:
    assert said({"content": "High.", **mark}) == Message("assistant", "High.", is_context=is_context)
    assert read({**ASK, **mark})[0] == [Message("user", "Tide?")]


@pytest.mark.parametrize(
    ("mark", "is_context", "notice"),
    [
        ({"weight": 0.5}, False, "a turn weight 0.5, read as 1 (scored)"),
        ({"weight": -1}, True, "a turn weight -1, read as 0 (not scored)"),
        ({"loss_mask": [0, 1]}, False, "an answer that is partly excluded from training, scored whole"),
    ],
)
def test_a_weight_that_cannot_be_kept_is_noticed(mark: dict[str, Any], is_context: bool, notice: str) -> None:
    (message,), notices = read({"role": "assistant", "content": "High.", **mark})
    assert (message.is_context, notices) == (is_context, [notice])
    assert detail({"role": "assistant", "content": "a", "weight": "heavy"}) == (
        "wrong type",
        "weight of turn 1 of messages is 'heavy', not a number",
    )


@pytest.mark.parametrize("key", ["text", "message", "utterance", "body"])
def test_a_turns_text_is_read_under_other_names_too(key: str) -> None:
    assert read({"role": "user", key: "Tide?"}, {"from": "gpt", "value": None, key: "High."})[0] == [
        Message("user", "Tide?"),
        Message("assistant", "High."),
    ]


@pytest.mark.parametrize(
    ("turn", "found"),
    [
        ({"role": "user", "phrase": "Tide?"}, "role, phrase"),
        ({"role": "user", "content": None, "phrase": "Tide?"}, "role, content, phrase"),
        ({"role": "user", "text": "Tide?", "message": "Wind?"}, "role, text, message"),
        ({"role": "assistant"}, "role"),
    ],
)
def test_text_under_a_name_nobody_knows_is_never_an_empty_turn(turn: dict[str, Any], found: str) -> None:
    assert detail(turn) == ("missing field", f"turn 1 of messages has no content; found {found}")


def test_a_part_without_text_is_refused() -> None:
    turn = {"role": "user", "content": [{"type": "text", "words": "Tide?"}]}
    assert detail(turn) == ("missing field", "a part of turn 1 of messages has no text; found type, words")


def test_an_empty_turn_that_says_so_is_empty() -> None:
    assert read({"role": "user", "content": "", "name": "Ann"})[0] == [Message("user", "")]
    assert said({"content": None}) == Message("assistant", "")


def test_tools_in_the_form_of_anthropic_or_gemini_are_described_as_openai_does() -> None:
    function = {"name": "tide", "description": "Height.", "parameters": {"type": "object"}}
    described = json.dumps([{"type": "function", "function": function}])
    anthropic = {"name": "tide", "description": "Height.", "input_schema": {"type": "object"}}
    assert read_tools([anthropic]) == described
    assert read_tools([{"functionDeclarations": [function]}]) == described
    assert read_tools([{"type": "function", "function": function}]) == described
