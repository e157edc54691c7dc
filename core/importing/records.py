"""What every reader of a data file yields: a record with its original text, or the reason it was left out."""

from dataclasses import dataclass
from typing import Any

from ..data.examples import Rejected

REASONS = {
    "bad JSON": "The record is not valid JSON.",
    "bad CSV": "The record's quotes are not CSV, so its fields cannot be told apart.",
    "wrong number of fields": "The CSV record has more or fewer fields than the header.",
    "not UTF-8": "The record holds bytes that are not UTF-8 text.",
    "lone surrogate": "The record holds half of a Unicode pair (such as \\ud83d alone), which no text file can carry.",
    "NaN or infinity": "The record holds a number that JSON does not have.",
    "line too long": "The record is larger than the setting max_line_bytes.",
    "nested too deep": "The record is nested deeper than the setting max_json_depth.",
    "not an object": "The record is a list, a number or a text, not an object with named fields.",
    "missing field": "The record lacks a field that its format needs.",
    "wrong type": "A field of the record is of another type than its format has there.",
    "preference pair": "The record has a chosen and a rejected answer: it is for preference training (DPO), "
    "not for supervised fine-tuning.",
    "unknown role": "A turn is by somebody who is neither system, user, assistant nor tool.",
    "not text": "A turn holds an image, a sound or a file, which a language model's loss does not cover.",
    "unwanted answer": "The record's label says that its answer is not wanted (KTO): fine-tuning would teach it.",
    "unknown markup": "The text is in no chat markup that is known, so its turns cannot be told apart.",
    "no assistant turn": "The conversation has no answer that could be scored.",
    "no scored turn": "Every answer is marked as not to be trained on (weight 0, train false), so none is scored.",
    "empty prompt": "There is no question: everything but the answer is empty.",
    "empty response": "The answer is empty.",
}
"""Every reason for which a record is left out, in words for the person whose data it is."""

_DETAIL_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One record of a file: its line or record number from 1, its original bytes, and its fields."""

    line: int
    original: bytes
    fields: dict[str, Any]


class RecordUnusable(Exception):
    """One record cannot be used; its reader turns this into a `Rejected` and goes on with the next.

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
    """What a value is, in words for a sentence: "a list", "text"."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return "text"
    return "true or false" if isinstance(value, bool) else "null" if value is None else "a number"
