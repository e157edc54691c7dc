"""Decides whether an assistant turn is scored or only context, from its weight, train flag or loss mask."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

from ..data.examples import Message
from .records import RecordUnusable

_FLAGS = ("weight", "train", "training", "trainable", "loss_mask", "loss_weight", "output_with_loss")
_DETAILS = ("train_detail", "training_detail")
_WORDS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}


def is_context(turn: dict[str, Any], place: str, notices: list[str]) -> bool:
    """Whether an assistant turn is marked as not trained on. A partly marked turn is scored whole, with a notice.

    Raises `RecordUnusable` for a mark that is not a number, true or false.
    """
    for name in _FLAGS:
        if turn.get(name) is not None:
            return _is_zero(turn[name], f"{name} of {place}", notices)
    if isinstance(turn.get("loss"), bool):  # a number would be a measured loss
        return not turn["loss"]
    spans: list[Any] = next((turn[name] for name in _DETAILS if isinstance(turn.get(name), list)), [])
    marks = [span.get("train") for span in spans if isinstance(span, dict)]
    return _is_zero(marks, place, notices) if marks else False


def with_weights(turns: list[Message], weights: Any, notices: list[str]) -> list[Message]:
    """The turns with a record's weights applied: one weight per turn, or one per assistant turn."""
    if not isinstance(weights, list) or not weights:
        return turns
    answers = [i for i, turn in enumerate(turns) if turn.role == "assistant"]
    if len(weights) not in (len(turns), len(answers)):
        notices.append("a list of weights that matches neither the turns nor the answers, ignored")
        return turns
    places = answers if len(weights) == len(answers) else range(len(turns))
    weight_of = dict(zip(places, weights, strict=True))
    return [
        as_context(turn) if i in answers and _is_zero(weight_of[i], f"the weight of turn {i + 1}", notices) else turn
        for i, turn in enumerate(turns)
    ]


def as_context(turn: Message) -> Message:
    """An assistant turn marked as not scored; any other turn unchanged."""
    return replace(turn, is_context=True) if turn.role == "assistant" else turn


def _is_zero(value: Any, place: str, notices: list[str]) -> bool:
    if isinstance(value, list):
        marks = {_is_zero(item, place, notices) for item in value}
        if len(marks) > 1:
            notices.append("an answer that is partly excluded from training, scored whole")
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
