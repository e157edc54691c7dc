"""Scores of a dataset that were computed elsewhere: those there are, and the form that imports more."""

import pandas as pd
import streamlit as st

from core.store import ImportedScore, imported_scores
from core.workspace.score_imports import import_scores, remove_score, score_sentence
from ui.kit.joined_file import JoinedFile, empty_joined_file, joined_file_form
from ui.kit.tables import COUNT
from ui.kit.widgets import change_or_show_error
from ui.shell.access import may_run
from ui.shell.session import Session, remember, remembered
from ui.shell.staged_files import remove_staged


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
    form = joined_file_form(
        "scores",
        "Scores as CSV, JSONL or Parquet, one record per row",
        "Columns of numbers become scores. A value that is not a number is refused.",
        ("Columns", "all of numbers", "Names, separated by commas."),
    )
    replace = st.checkbox(
        "Replace scores of the same name", key="scores_replace",
        help="If off, a score that has this name already is kept, and the file is refused.",
    )  # fmt: skip
    if st.button("Import scores", type="primary", disabled=not form.is_given):
        change_or_show_error(lambda: _import(session, dataset, form, replace))


def _import(session: Session, dataset: str, form: JoinedFile, replace: bool) -> None:
    path = form.path(session)
    columns = [name.strip() for name in form.columns.split(",") if name.strip()]
    found = import_scores(session.store, dataset, path, form.joined_by, columns, form.key, replace)
    remove_staged(session.workspace, [path])
    remember(_result_key(dataset), [score_sentence(score) for score in found])
    empty_joined_file("scores")


def _remove_form(session: Session, dataset: str, scores: list[ImportedScore]) -> None:
    name = st.selectbox(
        "Score", [score.name for score in scores], key=f"scores_remove_{dataset}",
        help="Selections that use it then say that it is missing.",
    )  # fmt: skip
    if st.button("Remove score", disabled=not name):
        change_or_show_error(lambda: remove_score(session.store, dataset, str(name)))


def _result_key(dataset: str) -> str:
    return f"score_import_{dataset}"
