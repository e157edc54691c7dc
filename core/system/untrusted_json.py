"""Reads JSON that another program, another machine or a person wrote: a job's files, requests, manifests, links.

Such a text may be empty, cut off, nested too deep or made to fill the memory. Whatever is wrong with it becomes one
`JsonInvalid` with a sentence that names it, so that no caller needs a list of exceptions. Numbers are finite, texts
are valid Unicode, and integers beyond 64 bits become floats.
"""

from pathlib import Path
from typing import Any

import orjson

from ..data.errors import JsonInvalid, PathRefused
from .paths import open_file

LARGEST = 64 * 2**20
"""The largest text that is parsed [bytes]."""
MOST_PARTS = 500_000
"""The most objects, lists and commas in a text: each may take 64 bytes and more in Python, whatever it takes in the
text."""


def read_json(path: Path, most_parts: int = MOST_PARTS) -> Any:
    """The value in a JSON file. Raises `FileNotFoundError` if there is none, and `JsonInvalid` for all else."""
    return parse_json(read_bounded(path, most_parts), str(path), most_parts)


def read_bounded(path: Path, most_parts: int = MOST_PARTS, largest: int = LARGEST) -> bytes:
    """The text of a JSON file that is small enough to be parsed, for those whose reader must be another program's.

    Raises as `read_json` does.
    """
    try:
        with open_file(path) as file:
            content = file.read(largest + 1)
    except FileNotFoundError:
        raise
    except PathRefused as error:
        raise JsonInvalid(f"{path} is not a regular file, so it cannot be read.") from error
    except OSError as error:
        raise JsonInvalid(f"{path} cannot be read ({error.strerror}). Check its permissions.") from error
    check_parts(content, str(path), most_parts, largest)
    return content


def check_parts(content: bytes, what: str, most_parts: int = MOST_PARTS, largest: int = LARGEST) -> None:
    """Raise `JsonInvalid` for a text that would take too much memory once it is parsed."""
    if len(content) > largest:
        raise JsonInvalid(f"{what} is larger than {largest // 2**20} MB, too large for what it should be.")
    parts = content.count(b"{") + content.count(b"[") + content.count(b",")
    if parts > most_parts:
        raise JsonInvalid(f"{what} has {parts:,} parts; at most {most_parts:,} are read.")


def read_json_object(path: Path, most_parts: int = MOST_PARTS) -> dict[str, Any]:
    """The fields of a file that holds a JSON object. Raises as `read_json` does."""
    return _as_object(read_json(path, most_parts), str(path))


def parse_json(text: bytes | str, what: str, most_parts: int = MOST_PARTS) -> Any:
    """The value of a JSON text; `what` names it in the sentence of the `JsonInvalid` that is raised."""
    try:
        content = text.encode() if isinstance(text, str) else text
    except UnicodeEncodeError as error:
        raise JsonInvalid(f"{what} is not valid JSON (it has characters that are not valid Unicode).") from error
    check_parts(content, what, most_parts)
    try:
        return orjson.loads(content)
    except ValueError as error:
        reason = "it is empty" if not content.strip() else str(error)
        raise JsonInvalid(f"{what} is not valid JSON ({reason}).") from error


def parse_json_object(text: bytes | str, what: str, most_parts: int = MOST_PARTS) -> dict[str, Any]:
    """The fields of a JSON object in a text. Raises `JsonInvalid`."""
    return _as_object(parse_json(text, what, most_parts), what)


def _as_object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise JsonInvalid(f"{what} is not a JSON object but {_KINDS.get(type(value), 'another value')}.")
    return value


_KINDS = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "a boolean", type(None): "null"}
