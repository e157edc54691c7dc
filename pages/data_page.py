"""Data: the datasets with their rows, and the import of files."""

from typing import Any

import streamlit as st

from core.workspace.status import dataset_overview
from ui.data.dataset_changes import show_dataset_actions, show_removed, show_undo
from ui.data.dataset_list import show_dataset_list
from ui.data.dataset_rows_view import show_dataset_rows
from ui.data.dataset_view import show_dataset_line, show_domains, show_files
from ui.data.demo_view import offer_demo, show_demo_result
from ui.data.import_form import show_import_form
from ui.data.import_report import show_last_import
from ui.data.imported_scores_view import show_imported_scores
from ui.kit.job_view import show_active_jobs, show_last_failure
from ui.kit.status_line import show_status_line
from ui.shell.access import may_run
from ui.shell.session import Session, open_session, remember, remembered


def main(session: Session) -> None:
    """The page."""
    show_status_line(session, "data")
    datasets = dataset_overview(session.store)
    show_last_failure(session)
    show_active_jobs(session)
    if may_run():
        show_undo(session)
    if datasets:
        _show_datasets(session, datasets)
    elif may_run():
        offer_demo(session)
        st.subheader("Import files")
        show_import_form(session, datasets)
        show_removed(session)
    else:
        st.info("No data yet. A user with the role 'run' has to import some.")


def _show_datasets(session: Session, datasets: list[dict[str, Any]]) -> None:
    names = [str(dataset["name"]) for dataset in datasets]
    left, right = st.columns([1, 4], gap="medium")
    with left:
        chosen = show_dataset_list(session.store, datasets)
        if may_run():
            _import_button()
            show_demo_result(session, names)
            show_removed(session)
    with right:
        show_last_import(session, {dataset["name"]: dataset["rows"] for dataset in datasets})
        if may_run() and remembered("importing", False):
            show_import_form(session, datasets)
        else:
            _show_chosen(session, chosen, [name for name in names if name != chosen["name"]])


def _import_button() -> None:
    is_open = remembered("importing", False)
    label = "Back to the rows" if is_open else "Import files"
    if st.button(label, key="toggle_import", type="secondary" if is_open else "primary", width="stretch"):
        remember("importing", not is_open)
        st.rerun()


def _show_chosen(session: Session, dataset: dict[str, Any], others: list[str]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        show_dataset_line(dataset)
        if may_run():
            show_dataset_actions(session, dataset, others)
    rows, files, domains, scores = st.tabs(["Rows", "Files and skipped records", "Domains", "Imported scores"])
    with rows:
        show_dataset_rows(session.store, dataset)
    with files:
        show_files(session, dataset["name"])
    with domains:
        show_domains(session, dataset)
    with scores:
        show_imported_scores(session, str(dataset["name"]))


main(open_session())
