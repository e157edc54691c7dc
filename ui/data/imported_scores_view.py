"""Scores of a dataset that were computed elsewhere: those there are, and the form that imports more."""

from pathlib import Path

import pandas as pd
import streamlit as st

from core.data import settings
from core.data.errors import UserError
from core.importing.row_keys import JOINS, ROW
from core.store import ImportedScore, imported_scores
from core.system.paths import allowed_path
from core.workspace.score_imports import import_scores, remove_score, score_sentence
from ui.kit.tables import COUNT
from ui.kit.widgets import change_or_show_error, show_error
from ui.shell.access import may_run
from ui.shell.session import Session, remember, remembered
from ui.shell.staged_files import remove_staged, staged_upload

_HELP = {
    "row": "Column row_number (from 1); without one, the rows of the file in their order.",
    "example-id": "Column example_id, as the command losses writes it.",
    "text-hash": "Column text_hash: SHA-256 of the prompt, a line feed and the response.",
}


def show_imported_scores(session: Session, dataset: str) -> None:
    """Draw the scores and, for who may run, the form."""
    scores = imported_scores(session.store, dataset)
    for sentence in remembered(_result_key(dataset), []):
        st.text(sentence)
    if scores:
        _show_scores(scores)
    else:
        st.caption(
            "No scores from elsewhere yet. Imported columns (PDS, LESS, a judge) can be ranked, filtered "
            "and exported on Curate like the scores computed here."
        )
    if may_run():
        left, right = st.columns([3, 2], gap="medium")
        with left.container(border=True):
            _import_form(session, dataset)
        if scores:
            with right.container(border=True):
                _remove_form(session, dataset, scores)


def _show_scores(scores: list[ImportedScore]) -> None:
    table = pd.DataFrame(
        [(s.name, s.rows, s.rows_without, s.unmatched, s.file, s.file_column, s.joined_by, s.sha256) for s in scores],
        columns=["Score", "Rows", "Without a value", "Not matched", "File", "Column", "Joined by", "SHA-256"],
    )
    counts = dict.fromkeys(("Rows", "Without a value", "Not matched"), COUNT)
    st.dataframe(table, hide_index=True, column_config=counts)


def _import_form(session: Session, dataset: str) -> None:
    turn = int(remembered("score_import_turn", 0))
    upload = st.file_uploader(
        "Scores as CSV, JSONL or Parquet, one record per row", max_upload_size=settings.integer("max_upload_megabytes"),
        key=f"scores_upload_{turn}", help="Columns of numbers become scores. A value that is not a number is refused.",
    )  # fmt: skip
    text = st.text_input(
        "Or a path on this server", key=f"scores_path_{turn}", help="In the workspace or an allowed folder."
    ).strip()
    first, second, third = st.columns(3)
    joined_by = first.selectbox(
        "Join by", list(JOINS), key="scores_join", help="  \n".join(f"{name}: {_HELP[name]}" for name in JOINS)
    )
    columns = second.text_input(
        "Columns", placeholder="all of numbers", key=f"scores_columns_{turn}", help="Names, separated by commas."
    )
    key = third.text_input(
        "Key column", placeholder=JOINS[joined_by or ROW][0], key=f"scores_key_{turn}", help="The column to join by."
    ).strip()
    replace = st.checkbox(
        "Replace scores of the same name", key="scores_replace",
        help="If off, a score that has this name already is kept, and the file is refused.",
    )  # fmt: skip
    if st.button("Import scores", type="primary", disabled=not (upload or text)):
        try:
            path = staged_upload(session.workspace, upload) if upload else allowed_path(text, session.workspace)
        except UserError as error:
            show_error(error)
            return
        names = [name.strip() for name in columns.split(",") if name.strip()]
        change_or_show_error(lambda: _import(session, dataset, path, joined_by or ROW, names, key or None, replace))


def _import(
    session: Session, dataset: str, path: Path, joined_by: str, columns: list[str], key: str | None, replace: bool
) -> None:
    found = import_scores(session.store, dataset, path, joined_by, columns, key, replace)
    remove_staged(session.workspace, [path])
    remember(_result_key(dataset), [score_sentence(score) for score in found])
    remember("score_import_turn", int(remembered("score_import_turn", 0)) + 1)


def _remove_form(session: Session, dataset: str, scores: list[ImportedScore]) -> None:
    name = st.selectbox(
        "Score", [score.name for score in scores], key=f"scores_remove_{dataset}",
        help="Selections that use it then say that it is missing.",
    )  # fmt: skip
    if st.button("Remove score", disabled=not name):
        change_or_show_error(lambda: remove_score(session.store, dataset, str(name)))


def _result_key(dataset: str) -> str:
    return f"score_import_{dataset}"
