"""Every format's shapes become the same conversations, and what cannot be scored says why."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import core.importing
from core.data.examples import MESSAGE_ROLES, Example
from core.importing.formats import FIELD_NAMES, FORMATS, format_named, read_example
from core.importing.records import REASONS, RecordUnusable
from core.importing.roles import ROLE_NAMES

CALL = {"name": "weather", "arguments": {"city": "Ulm"}}
CALL_TEXT = '{"name": "weather", "arguments": {"city": "Ulm"}}'


def read(name: str, fields: dict[str, Any]) -> Example:
    return read_example(format_named(name), fields)


def turns(name: str, fields: dict[str, Any]) -> list[tuple[str, str]]:
    """Who says what, with thoughts and calls in the text."""
    return [(message.role, message.text) for message in read(name, fields).messages]


def reason(name: str, fields: dict[str, Any]) -> str:
    with pytest.raises(RecordUnusable) as caught:
        read(name, fields)
    return caught.value.reason


def test_alpaca_gives_its_input_a_role_of_its_own() -> None:
    assert turns("alpaca", {"instruction": "Add", "input": "1, 2", "output": " 3\n"}) == [
        ("user", "Add"),
        ("context", "1, 2"),
        ("assistant", " 3\n"),
    ]
    assert turns("alpaca", {"instruction": "Hi", "input": "", "output": "Ho"}) == [("user", "Hi"), ("assistant", "Ho")]
    assert turns("alpaca", {"instruction": "", "input": "Hi", "output": "Ho"}) == [("user", "Hi"), ("assistant", "Ho")]


def test_alpaca_puts_system_and_history_before_the_question() -> None:
    fields = {"instruction": "c", "output": "d", "system": "s", "history": [["a", "b"]]}
    expected = [("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    assert turns("alpaca", fields) == expected
    assert turns("alpaca", {**fields, "history": '[["a", "b"]]'}) == expected
    assert reason("alpaca", {**fields, "history": ["a", "b"]}) == "wrong type"


def test_sharegpt_names_become_our_roles() -> None:
    conversation = [
        {"from": "human", "value": "Weather?"},
        {"from": "function_call", "value": CALL_TEXT},
        {"from": "observation", "value": "rain"},
        {"from": "gpt", "value": "Rain."},
    ]
    fields = {"conversations": conversation, "system": "Be brief.", "tools": "[{}]"}
    assert turns("sharegpt", fields) == [
        ("system", "Be brief."),
        ("user", "Weather?"),
        ("assistant", CALL_TEXT),
        ("tool", "rain"),
        ("assistant", "Rain."),
    ]
    assert read("sharegpt", fields).tools == "[{}]"
    own = [{"from": "system", "value": "Mine."}, *conversation]
    assert turns("sharegpt", {**fields, "conversations": own})[:2] == [("system", "Mine."), ("user", "Weather?")]


def test_the_same_conversation_is_one_example_in_every_format() -> None:
    records = {
        "alpaca": {"instruction": "Hi", "input": "", "output": "Ho"},
        "sharegpt": {
            "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}],
            "tools": "[]",
        },
        "messages": {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]},
        "prompt-completion": {"prompt": "Hi", "completion": "Ho"},
        "question-answer": {"question": "Hi", "answer": "Ho"},
        "text": {"text": "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHo<|im_end|>\n"},
        "tree": {
            "message_tree_id": "1",
            "prompt": {"role": "prompter", "text": "Hi", "replies": [{"role": "assistant", "text": "Ho"}]},
        },
    }
    records["tree-messages"] = {"message_id": "1", "parent_id": None, "role": "", "text": "", **records["tree"]}
    records["preference"] = {"prompt": "Hi", "chosen": "Ho", "rejected": "Hu"}
    records["kto"] = {**records["prompt-completion"], "label": True, **records["preference"]}
    assert set(records) == {source_format.name for source_format in FORMATS}
    assert len({read(name, fields).example_id for name, fields in records.items()}) == 1


def test_messages_may_be_parts_thoughts_and_tool_calls() -> None:
    wrapped = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Ulm"}'}}
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "value": "brief."}]},
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [wrapped, wrapped]},
        {"role": "tool", "content": {"sky": "grey"}},
        {"role": "assistant", "content": [{"type": "reasoning", "value": "Hm."}, {"type": "tool_call", "value": CALL}]},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [wrapped]},
        {"role": "assistant", "content": "Rain.", "reasoning_content": "Grey."},
    ]
    assert turns("messages", {"messages": messages}) == [
        ("system", "Be brief."),
        ("user", "Weather?"),
        ("assistant", f"{CALL_TEXT}\n{CALL_TEXT}"),
        ("tool", '{"sky": "grey"}'),
        ("assistant", f"<think>\nHm.\n</think>\n\n{CALL_TEXT}"),
        ("assistant", f"Let me see.\n{CALL_TEXT}"),
        ("assistant", "<think>\nGrey.\n</think>\n\nRain."),
    ]


def test_tools_are_kept_as_json_text() -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    assert read("messages", {"messages": messages, "tools": [{"name": "ä"}]}).tools == '[{"name": "ä"}]'
    assert read("messages", {"messages": messages, "tools": []}).tools == ""
    assert reason("messages", {"messages": messages, "tools": 3}) == "wrong type"


def test_prompt_and_completion_may_be_lists_of_messages() -> None:
    fields = {
        "prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}],
        "completion": [{"role": "assistant", "content": "b"}],
    }
    assert turns("prompt-completion", fields) == [("system", "s"), ("user", "a"), ("assistant", "b")]
    assert turns("prompt-completion", {"prompt": "a", "response": "b"}) == [("user", "a"), ("assistant", "b")]


def test_replies_of_a_prompt_are_context() -> None:
    prompt = [USER, {"role": "assistant", "content": "Ho"}, USER]
    for completion in ("Hum", [{"role": "assistant", "content": "Hum"}], {"role": "assistant", "content": "Hum"}):
        messages = read("prompt-completion", {"prompt": prompt, "completion": completion}).messages
        assert [(m.content, m.is_scored) for m in messages] == [
            ("Hi", False),
            ("Ho", False),
            ("Hi", False),
            ("Hum", True),
        ]


def test_a_list_of_weights_beside_the_turns_says_which_are_scored() -> None:
    turn = {"role": "assistant", "content": "Ho"}
    for weights in ([0, 1], [1, 0, 1, 1], ["0", "1"]):
        fields = {"messages": [USER, turn, USER, turn], "loss_mask": weights}
        assert [m.is_scored for m in read("messages", fields).messages] == [False, False, False, True]
    notices: list[str] = []
    assert read_example(format_named("messages"), {"messages": [USER, turn], "weights": [0] * 3}, False, notices)
    assert notices == ["a list of weights that matches neither the turns nor the answers, ignored"]


def test_what_is_read_is_the_last_scored_reply() -> None:
    later = {"role": "assistant", "content": "Hum", "weight": 0}
    example = read("messages", {"messages": [USER, {"role": "assistant", "content": "Ho"}, USER, later]})
    assert (example.prompt, example.response, len(example.turns)) == ("Hi", "Ho", 2)


def test_numbers_are_read_as_their_digits() -> None:
    assert turns("question-answer", {"question": "6 x 7?", "answer": 42})[-1] == ("assistant", "42")


def test_a_conversation_in_json_text_is_read_and_its_half_characters_refused() -> None:
    conversation = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]
    assert len(turns("sharegpt", {"conversations": json.dumps(conversation)})) == 2
    assert reason("sharegpt", {"conversations": '[{"from": "gpt", "value": "\\ud83d"}]'}) == "lone surrogate"
    assert reason("sharegpt", {"conversations": "[" * 5000}) == "nested too deep"
    assert reason("sharegpt", {"conversations": "hello"}) == "wrong type"


USER = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        ("alpaca", {"instruction": "a"}, "missing field"),
        ("alpaca", {"instruction": "a", "output": ""}, "empty response"),
        ("alpaca", {"instruction": "a", "output": None}, "empty response"),
        ("alpaca", {"instruction": "a", "output": " \n"}, "empty response"),
        ("alpaca", {"instruction": "", "input": None, "output": "b"}, "empty prompt"),
        ("alpaca", {"instruction": ["a"], "output": "b"}, "wrong type"),
        ("question-answer", {"question": "a", "answer": {"score": 1}}, "wrong type"),
        ("question-answer", {"question": "a", "answer": {"text": []}}, "empty response"),
        ("question-answer", {"question": "a", "answer": True}, "wrong type"),
        ("alpaca", {"instruction": "a", "output": "b", "chosen": "b", "rejected": "c"}, "preference pair"),
        ("sharegpt", {"conversations": [{"from": "human", "value": "a"}]}, "no assistant turn"),
        ("sharegpt", {"conversations": []}, "no assistant turn"),
        ("sharegpt", {"conversations": {"from": "human"}}, "wrong type"),
        ("sharegpt", {"conversations": ["a"]}, "wrong type"),
        ("sharegpt", {"conversations": [{"value": "a"}]}, "missing field"),
        ("messages", {"messages": [{"role": "narrator", "content": "a"}]}, "unknown role"),
        ("messages", {"messages": [USER, {"role": "assistant", "content": ""}]}, "empty response"),
        ("messages", {"messages": [{"role": "assistant", "content": "a"}]}, "empty prompt"),
        ("messages", {"messages": [USER, {"role": "assistant", "content": "a", "weight": 0}]}, "no scored turn"),
        ("messages", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "not text"),
        ("messages", {"messages": [{"role": "user", "content": [1]}]}, "wrong type"),
    ],
)
def test_a_record_that_cannot_be_scored_says_why(name: str, fields: dict[str, Any], expected: str) -> None:
    assert reason(name, fields) == expected


def test_every_reason_that_the_code_gives_is_explained_in_the_table() -> None:
    folder = Path(core.importing.__file__).parent
    given = {
        found
        for path in folder.glob("*.py")
        for found in re.findall(r'RecordUnusable\(\s*"([^"]+)"', path.read_text(encoding="utf-8"))
    }
    assert given == set(REASONS)


def test_the_tables_agree_with_the_roles_and_fields_there_are() -> None:
    assert set(ROLE_NAMES) | {"context"} == set(MESSAGE_ROLES)
    assert {"instruction", "response", "conversations", "messages", "completion", "answer"} <= FIELD_NAMES
