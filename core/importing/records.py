"""What every reader of a data file yields: a record with its original text, or the reason it was skipped."""

from dataclasses import dataclass
from typing import Any

from ..data.examples import Rejected

REASONS = {
    "bad JSON": "The record is not valid JSON.",
    "bad CSV": "The record's quoting is not valid CSV, so its fields cannot be separated.",
    "wrong number of fields": "The CSV record has more or fewer fields than the header.",
    "not UTF-8": "The record has bytes that are not UTF-8 text.",
    "lone surrogate": "The record has half of a surrogate pair (such as \\ud83d alone): invalid Unicode.",
    "NaN or infinity": "The record has a number that JSON does not allow.",
    "line too long": "The record is larger than the setting max_line_bytes.",
    "nested too deep": "The record is nested deeper than the setting max_json_depth.",
    "too many parts": "The record has more than a million objects, lists and values, too many to hold in memory.",
    "not an object": "The record is a list, a number or text, not an object with named fields.",
    "missing field": "The record lacks a field that its format needs.",
    "wrong type": "A field of the record has the wrong type for its format.",
    "preference pair": "The record has a chosen and a rejected answer: it is for preference training (DPO), "
    "not for supervised fine-tuning.",
    "empty side": "The chosen or the rejected answer of the preference pair is empty.",
    "equal sides": "The chosen and the rejected answer of the preference pair are the same.",
    "unequal prompts": "The chosen and the rejected answer of the preference pair do not answer the same prompt.",
    "no partner": "No answer with the other label to the same prompt is left to make a preference pair (KTO).",
    "unknown role": "A turn has a role other than system, user, assistant or tool.",
    "not text": "A turn has an image, audio or a file, which cannot be scored as text.",
    "unwanted answer": "The record's label marks its answer as undesirable (KTO): fine-tuning would teach it.",
    "unknown markup": "The text has no known chat markup, so it cannot be split into turns.",
    "no assistant turn": "The conversation has no answer that could be scored.",
    "no scored turn": "Every answer is marked as not to be trained on (weight 0, train false), so none is scored.",
    "empty prompt": "The prompt is empty.",
    "empty response": "The answer is empty.",
}
"""Every reason for skipping a record, explained for the user."""

_DETAIL_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One record of a file: its line or record number from 1, its original bytes, and its fields."""

    line: int
    original: bytes
    fields: dict[str, Any]


class RecordUnusable(Exception):
    """One record cannot be used; its reader turns this into a `Rejected` and continues with the next.

    `reason` is one of `REASONS`; `detail` is what was found, of any length and with any characters.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def at(self, line: int) -> Rejected:
        """The rejection of the record at a line or record number."""
        return Rejected(line, self.reason, plain_text(self.detail))


def plain_text(text: str, characters: int = _DETAIL_CHARACTERS) -> str:
    """One short line of `text` that is safe to show: no control, bidirectional or unpaired characters."""
    line = " ".join(text[: characters * 4].split())
    printable = "".join(character if character.isprintable() else "\ufffd" for character in line)
    return printable if len(printable) <= characters else printable[: characters - 3] + "..."


def kind_of(value: Any) -> str:
    """A value's type, worded for a sentence: "a list", "text"."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return "text"
    return "true or false" if isinstance(value, bool) else "null" if value is None else "a number"
