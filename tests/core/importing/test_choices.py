"""The choices of a question stand below it, and the answer is one of them, however a record writes it."""

from typing import Any

import pytest

from core.importing.formats import format_named, read_example
from core.importing.records import RecordUnusable

LISTED = "Which sinks?\nA. cork\nB. lead\nC. foam"


def read(**fields: Any) -> tuple[str, str]:
    example = read_example(format_named("question-answer"), {"question": "Which sinks?", **fields})
    return example.prompt, example.response


@pytest.mark.parametrize(
    "fields",
    [
        {"choices": ["cork", "lead", "foam"], "answer": 1},
        {"choices": ["cork", "lead", "foam"], "answer": "1"},
        {"choices": ["cork", "lead", "foam"], "answer": "B"},
        {"choices": ["cork", "lead", "foam"], "answer": "(b)"},
        {"choices": ["cork", "lead", "foam"], "answer": "lead"},
        {"choices": ["cork", "lead", "foam"], "answer": "B. lead"},
        {"choices": "['cork', 'lead', 'foam']", "answer": "lead"},
        {"choices": "cork\nlead\nfoam", "answer": "B"},
        {"options": {"A": "cork", "B": "lead", "C": "foam"}, "answer": "B"},
        {"choices": {"text": ["cork", "lead", "foam"], "label": ["A", "B", "C"]}, "answerKey": "B"},
        {"choices": [{"label": c, "text": t} for c, t in (("A", "cork"), ("B", "lead"), ("C", "foam"))], "answer": "B"},
        {"A": "cork", "B": "lead", "C": "foam", "D": "", "answer": "B"},
        {"opa": "cork", "opb": "lead", "opc": "foam", "cop": 1},
        {"option1": "cork", "option2": "lead", "option3": "foam", "answer": "lead"},
        {"option1": "cork", "option2": "lead", "option3": "foam", "answer": "2"},
        {"option1": "cork", "option2": "lead", "option3": "foam", "answer": 2},
        {"option1": "cork", "option2": "lead", "option3": "foam", "answer": "B"},
    ],
)
def test_every_form_of_choices_reads_alike(fields: dict[str, Any]) -> None:
    assert read(**fields) == (LISTED, "B. lead")


def test_letters_that_the_choices_bring_are_kept() -> None:
    assert read(choices=["(A) cork", "(B) lead"], answer="B") == ("Which sinks?\n(A) cork\n(B) lead", "(B) lead")
    assert read(choices={"text": ["cork", "lead"], "label": ["1", "2"]}, answer="2") == (
        "Which sinks?\n1. cork\n2. lead",
        "2. lead",
    )


def test_a_question_that_tells_its_choices_is_not_told_twice() -> None:
    assert read(question="Cork or lead? cork, lead", choices=["cork", "lead"], answer=1) == (
        "Cork or lead? cork, lead",
        "B. lead",
    )


def test_an_answer_in_words_stays_and_several_answers_are_lines() -> None:
    assert read(choices=["cork", "lead"], answer="Lead, for its weight.")[1] == "Lead, for its weight."
    assert read(choices=["cork", "lead", "iron"], answer=["B", "C"])[1] == "B. lead\nC. iron"


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"choices": ["cork", "lead"], "answer": 2}, "answer 2 is not one of the 2 choices"),
        ({"choices": ["cork", "lead"], "answer": "E"}, "answer E is not one of the 2 choices"),
        ({"choices": 3, "answer": "A"}, "choices is a number, not a list"),
        ({"choices": {"text": ["a", "b"], "label": ["A"]}, "answer": "A"}, "2 choices with 1 letters"),
    ],
)
def test_choices_that_do_not_fit_the_answer_reject_the_row(fields: dict[str, Any], detail: str) -> None:
    with pytest.raises(RecordUnusable) as caught:
        read(**fields)
    assert (caught.value.reason, caught.value.detail) == ("wrong type", detail)
