"""Says whether an assistant's turn is scored, or only context: by its weight, its train flag or its loss mask."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

from ..data.examples import Message
from .records import RecordUnusable

_FLAGS = ("weight", "train", "training", "trainable", "loss_mask", "loss_weight", "output_with_loss")
_DETAILS = ("train_detail", "training_detail")
_WORDS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}


def is_context(turn: dict[str, Any], place: str, notices: list[str]) -> bool:
    """Whether an assistant's turn is marked as not to be trained on. What is marked in part is scored whole, noticed.

    Raises `RecordUnusable` for a mark that is neither a number nor true or false.
    """
    for name in _FLAGS:
        if turn.get(name) is not None:
            return _is_zero(turn[name], f"{name} of {place}", notices)
    if isinstance(turn.get("loss"), bool):  # a number would be a loss that somebody measured
        return not turn["loss"]
    spans: list[Any] = next((turn[name] for name in _DETAILS if isinstance(turn.get(name), list)), [])
    marks = [span.get("train") for span in spans if isinstance(span, dict)]
    return _is_zero(marks, place, notices) if marks else False


def with_weights(turns: list[Message], weights: Any, notices: list[str]) -> list[Message]:
    """The turns with a record's list of weights on them: one for each turn, or one for each assistant's turn."""
    if not isinstance(weights, list) or not weights:
        return turns
    answers = [i for i, turn in enumerate(turns) if turn.role == "assistant"]
    if len(weights) not in (len(turns), len(answers)):
        notices.append("a list of weights that fits neither its turns nor its answers, not used")
        return turns
    places = answers if len(weights) == len(answers) else range(len(turns))
    weight_of = dict(zip(places, weights, strict=True))
    return [
        as_context(turn) if i in answers and _is_zero(weight_of[i], f"the weight of turn {i + 1}", notices) else turn
        for i, turn in enumerate(turns)
    ]


def as_context(turn: Message) -> Message:
    """An assistant's turn as one that is not scored; any other as it is."""
    return replace(turn, is_context=True) if turn.role == "assistant" else turn


def _is_zero(value: Any, place: str, notices: list[str]) -> bool:
    if isinstance(value, list):
        marks = {_is_zero(item, place, notices) for item in value}
        if len(marks) > 1:
            notices.append("an answer of which a part is not to be trained on, scored whole")
        return marks == {True}
    weight = _number(value, place)
    if weight not in (0.0, 1.0):
        read = "read as 1 (scored)" if weight > 0 else "read as 0 (not scored)"
        notices.append(f"a turn weight {value}, {read}")
    return weight <= 0


def _number(value: Any, place: str) -> float:
    if value is None:
        return 1.0
    if isinstance(value, str):
        word = value.strip().lower()
        with suppress(ValueError):
            return _WORDS[word] if word in _WORDS else float(word)
    elif isinstance(value, bool | int | float):
        return float(value)
    raise RecordUnusable("wrong type", f"{place} is {str(value)[:40]!r}, not a number")
