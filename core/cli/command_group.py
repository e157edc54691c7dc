"""The group of all commands: what every command has in common before it begins, its terminal and its arguments."""

import io
import os
import sys
from typing import Any

from typer.core import TyperGroup

from ..data.errors import PathRefused
from ..data.unicode_text import is_unicode
from .terminal import report_user_errors


class CommandGroup(TyperGroup):
    """Commands whose terminal takes every text and whose arguments are text."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """As `TyperGroup.main`, with streams that can be written to."""
        prepare_streams()
        return super().main(*arguments, **options)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As `TyperGroup.parse_args`; an argument that is not text ends every command here, before it begins."""
        with report_user_errors():
            for argument in args:
                if not is_unicode(argument):
                    raise PathRefused(_not_text(argument))
        return super().parse_args(ctx, args)


def prepare_streams() -> None:
    """Give a closed stdin, stdout or stderr a place where nothing arrives, so that no file that is opened later takes
    its number; characters that the terminal's encoding lacks are written as escapes."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115
        elif name != "stdin" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _not_text(argument: str) -> str:
    encoding = sys.getfilesystemencoding()
    advice = (
        "Rename the file or folder, or choose another name."
        if encoding.lower() in ("utf-8", "utf8")
        else f"The terminal's encoding is {encoding}: set LC_ALL=C.UTF-8, then try again."
    )
    return f"The argument {argument[:80]!r} has bytes that are not valid {encoding}. {advice}"
