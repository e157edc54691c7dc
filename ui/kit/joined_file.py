"""A file whose rows are joined with a dataset's: an upload or a path on the server, and how its rows are found."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from core.data import settings
from core.importing.row_keys import JOINS, ROW
from core.system.paths import allowed_path
from ui.shell.session import Session, remember, remembered
from ui.shell.staged_files import staged_upload

_HELP = {
    "row": "Column row_number (from 1); without one, the rows of the file in their order.",
    "example-id": "Column example_id, as the command losses writes it.",
    "text-hash": "Column text_hash: SHA-256 of the prompt, a line feed and the response.",
}


@dataclass(frozen=True, slots=True)
class JoinedFile:
    """What the form was given. `columns`: the text of its second field; `key`: the column to join by, None for the
    usual one."""

    upload: Any
    text: str
    joined_by: str
    columns: str
    key: str | None

    @property
    def is_given(self) -> bool:
        """Whether there is a file."""
        return bool(self.upload or self.text)

    def path(self, session: Session) -> Path:
        """Where the file is; an upload is staged first. Raises `PathRefused` or `NotFound`."""
        if self.upload:
            return staged_upload(session.workspace, self.upload)
        return allowed_path(self.text, session.workspace)


def joined_file_form(name: str, label: str, help: str, columns: tuple[str, str, str]) -> JoinedFile:
    """Draw the controls. `name` begins their keys; `columns`: label, placeholder and help of the field that names
    columns."""
    turn = _turn(name)
    upload = st.file_uploader(
        label, max_upload_size=settings.integer("max_upload_megabytes"), key=f"{name}_upload_{turn}", help=help
    )
    text = st.text_input(
        "Or a path on this server", key=f"{name}_path_{turn}", help="In the workspace or an allowed folder."
    ).strip()
    first, second, third = st.columns(3)
    joined_by = first.selectbox(
        "Join by", list(JOINS), key=f"{name}_join", help="  \n".join(f"{by}: {_HELP[by]}" for by in JOINS)
    )
    of_columns, placeholder, meaning = columns
    named = second.text_input(of_columns, placeholder=placeholder, key=f"{name}_columns_{turn}", help=meaning).strip()
    key = third.text_input(
        "Key column", placeholder=JOINS[joined_by or ROW][0], key=f"{name}_key_{turn}", help="The column to join by."
    ).strip()
    return JoinedFile(upload, text, joined_by or ROW, named, key or None)


def empty_joined_file(name: str) -> None:
    """Empty the form: from the next run on, its controls have other keys."""
    remember(f"{name}_turn", _turn(name) + 1)


def _turn(name: str) -> int:
    return int(remembered(f"{name}_turn", 0))
