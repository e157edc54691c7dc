"""Multiple choice: choices are listed below the question as "A. stone", one per line; the answer is such a line."""

import re
import string
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .blocks import read_text
from .literals import parse_literal
from .records import RecordUnusable, kind_of

_COLUMNS = (
    ("A", "B", "C", "D", "E"),
    ("option_a", "option_b", "option_c", "option_d", "option_e"),
    ("option_A", "option_B", "option_C", "option_D", "option_E"),
    ("option1", "option2", "option3", "option4", "option5"),
    ("choice_a", "choice_b", "choice_c", "choice_d", "choice_e"),
    ("opa", "opb", "opc", "opd", "ope"),
)
"""Columns that hold one choice each."""

_LETTERED = re.compile(r"\(?([A-Za-z0-9])[.):]\s+(?=\S)")


class Choice(NamedTuple):
    """A choice: its letter, its text, and its line."""

    label: str
    text: str
    line: str


def choice_columns(names: Iterable[str]) -> tuple[str, ...]:
    """The columns of a record that hold one choice each, in order; none if there are fewer than two."""
    known = set(names)
    found = (tuple(name for name in columns if name in known) for columns in _COLUMNS)
    return next((columns for columns in found if len(columns) > 1), ())


def read_choices(value: Any, fields: Mapping[str, Any]) -> list[Choice]:
    """The choices of a record, from its choices field or from columns with one choice each; empty if it has none.

    Raises `RecordUnusable` for ambiguous choices.
    """
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        value = parse_literal(value)
    if value in (None, "", [], {}):
        columns = choice_columns(fields)
        texts = {name: read_text(fields[name], name) for name in columns}
        told = {name: text for name, text in texts.items() if text.strip()}
        choices = _lettered(list(told.values()))
        # Columns are numbered from 1: an answer "1" means the first one.
        numbered = zip(choices, told, strict=True) if all(name[-1].isdigit() for name in told) else ()
        return [choice._replace(label=name[-1]) for choice, name in numbered] or choices
    if isinstance(value, dict) and isinstance(value.get("text"), list):
        labels = value.get("label") or list(string.ascii_uppercase[: len(value["text"])])
        return _labelled(labels, value["text"])
    if isinstance(value, dict):
        return _labelled(
            [key for key, text in value.items() if text is not None], [v for v in value.values() if v is not None]
        )
    if isinstance(value, str):
        return _lettered([line.strip() for line in value.splitlines() if line.strip()])
    if isinstance(value, list) and all(isinstance(item, dict) and "text" in item for item in value):
        labels = [item.get("label") or letter for item, letter in zip(value, string.ascii_uppercase, strict=False)]
        return _labelled(labels, [item["text"] for item in value])
    if isinstance(value, list):
        return _lettered([read_text(item, "a choice") for item in value])
    raise RecordUnusable("wrong type", f"choices is {kind_of(value)}, not a list")


def with_choices(question: str, choices: list[Choice]) -> str:
    """The question with its choices below it, unless it contains them already."""
    if all(choice.text in question for choice in choices):
        return question
    return "\n".join([question, *(choice.line for choice in choices)])


def chosen_line(answer: Any, choices: list[Choice]) -> Any:
    """The choice that an answer names by index (from 0), letter or text; a free-text answer is returned unchanged.

    Raises `RecordUnusable` for an index or letter out of range.
    """
    if isinstance(answer, list) and answer:
        lines = [chosen_line(item, choices) for item in answer]
        return "\n".join(line if isinstance(line, str) else read_text(line, "answer") for line in lines)
    if isinstance(answer, bool) or not isinstance(answer, str | int):
        return answer
    text = str(answer).strip()
    labels = [choice.label.lower() for choice in choices]
    by_text = [choice.line for choice in choices if text in (choice.text.strip(), choice.line)]
    letter = text.strip("().: ").lower()
    if by_text and isinstance(answer, str):
        return by_text[0]
    if letter in labels:
        return choices[labels.index(letter)].line
    written = [choice.line[:1].lower() for choice in choices]
    if letter in written:
        return choices[written.index(letter)].line
    if text.isdigit() and int(text) < len(choices):
        return choices[int(text)].line
    if by_text:
        return by_text[0]
    lettered = _LETTERED.match(text)
    if lettered and lettered[1].lower() in labels:
        return choices[labels.index(lettered[1].lower())].line
    if not text or (len(letter) > 1 and not letter.isdigit()):
        return answer
    raise RecordUnusable("wrong type", f"answer {answer} is not one of the {len(choices)} choices")


def _lettered(texts: list[str]) -> list[Choice]:
    """Choices with letters: those their texts begin with, else A, B and so on."""
    written = [_LETTERED.match(text) for text in texts]
    labels = [match[1] for match in written if match]
    if len(set(labels)) == len(texts):
        return [
            Choice(match[1], text[match.end() :], text) for match, text in zip(written, texts, strict=True) if match
        ]
    return _labelled(string.ascii_uppercase[: len(texts)], texts)


def _labelled(labels: Iterable[Any], texts: list[Any]) -> list[Choice]:
    names = [str(label) for label in labels]
    if len(names) != len(texts) or len(set(names)) < len(names):
        raise RecordUnusable("wrong type", f"{len(texts)} choices with {len(set(names))} letters")
    told = [read_text(text, "a choice") for text in texts]
    return [Choice(label, text, f"{label}. {text}") for label, text in zip(names, told, strict=True)]
