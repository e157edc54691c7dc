"""Checks of a trial plan's fields, which may come from JSON and hold anything."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ..data.errors import TrialInvalid
from ..data.json_types import shown

_MOST = 1e15


def check_one_of(what: str, given: Any, known: Mapping[str, Any]) -> None:
    """Raise `TrialInvalid` unless the value is one of the known names."""
    if not isinstance(given, str) or given not in known:
        raise TrialInvalid(f"Unknown {what} {shown(given)}. Must be one of: {', '.join(known)}.")


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def positive(what: str, value: Any, whole: bool = False) -> float:
    """The number above 0, as int if it must be `whole`, else as float. Raises `TrialInvalid`."""
    if not is_number(value) or not 0 < value < _MOST or (whole and value != int(value)):
        kind = "a whole number" if whole else "a number"
        raise TrialInvalid(f"The trial's {what} is {shown(value)}. Give {kind} above 0.")
    return int(value) if whole else float(value)


def check_distinct(what: str, given: Sequence[Any]) -> None:
    """Raise `TrialInvalid` for an empty list, or one with a value twice."""
    if not given or len(set(given)) < len(given):
        raise TrialInvalid(f"The trial's {what} are {shown(list(given))}. Give at least one, and none twice.")


def checked_ratios(given: Sequence[float | None]) -> tuple[float | None, ...]:
    """The ratios of a trial: shares above 0, none twice, or only None. Raises `TrialInvalid`."""
    if tuple(given) == (None,):
        return (None,)
    found = tuple(float(ratio) for ratio in given if ratio is not None and is_number(ratio) and 0 < ratio <= 1)
    if len(found) < len(given):
        raise TrialInvalid(f"The trial's ratios are {shown(list(given))}. Give shares such as 0.06, at most 1.")
    check_distinct("ratios", found)
    return found


def check_date(given: Any) -> None:
    """Raise `TrialInvalid` unless the value is a date in ISO 8601, or empty."""
    try:
        if given != "":
            datetime.fromisoformat(given)
    except (TypeError, ValueError) as error:
        raise TrialInvalid(f"The trial was created at {shown(given)}, which is not a date. Give ISO 8601.") from error


def listed(what: str, given: Any) -> list[Any]:
    """A JSON list. Raises `TrialInvalid` for anything else."""
    if not isinstance(given, list | tuple):
        raise TrialInvalid(f"The trial's {what} are {shown(given)}. Give a list.")
    return list(given)
