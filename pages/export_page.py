"""Export: writes a saved selection as one file or a trainer's bundle, with a manifest and control sets."""

import json

import streamlit as st

from core.data.errors import UserError
from core.exporting import mixed_sentence, record_schemas
from core.selection import Selection, Summary, saved_selection, saved_selection_names, select_summary
from core.system.paths import file_stem
from ui.export.bundle_form import bundle_form, show_commands
from ui.export.controls_form import controls_form
from ui.export.export_button import export_button, show_controls
from ui.export.file_form import file_form
from ui.export.hub_form import hub_form
from ui.export.wanted_export import WantedExport
from ui.kit.evidence_line import show_evidence_line
from ui.kit.reference_badge import show_reference_badge
from ui.kit.status_line import show_status_line
from ui.kit.widgets import link_to_page, show_error
from ui.plain_text import escaped
from ui.shell.session import Session, open_session, remember, remembered, remembered_for

FORMS = {"file": "One file", "bundle": "A bundle for a trainer"}


def export() -> None:
    """The whole page."""
    session = open_session()
    show_status_line(session, "export")
    names = saved_selection_names(session.store)
    if not names:
        st.info("No saved selection yet. Make a selection and save it under a name.")
        link_to_page("curate", "Make a selection")
        return
    options, preview = st.columns([2, 3], gap="large")
    with options:
        name, selection, summary = chosen_selection(session, names)
    if not summary.kept_rows:
        return
    with options:
        form = chosen_form(session, name, selection, summary)
    stem = file_stem(name, "selection")
    wanted: WantedExport
    if form == "bundle":
        wanted = bundle_form(session, name, selection, summary, stem, options, preview)
    else:
        wanted = file_form(session, name, selection, stem, options, preview)
    with options:
        controls = controls_form()
        written = export_button(session, name, selection, wanted, controls)
        if written and wanted.trainer:
            show_commands(wanted.trainer, name)
    with preview:
        show_reference_badge(session.store, selection.run)
        show_evidence_line(session.workspace, selection)
        hub_form(session, selection, wanted)
    if written and written.controls:
        show_controls(written.controls)


def chosen_selection(session: Session, names: list[str]) -> tuple[str, Selection, Summary]:
    """The saved selection to export, with its size."""
    name = str(
        st.selectbox(
            "Saved selection",
            names,
            key="export_selection",
            persist_state="session",
            help="The rows to export. Selections are saved on the Curate page.",
        )
    )
    selection = saved_selection(session.store, name)
    summary = select_summary(session.store, selection)
    show_selection(selection, summary)
    if not summary.kept_rows:
        st.info("This selection is empty, so there is nothing to export. Increase its amount or relax its filters.")
        link_to_page("curate", "Change the selection")
    return name, selection, summary


def chosen_form(session: Session, name: str, selection: Selection, summary: Summary) -> str:
    """Whether to write one file or a bundle. If the rows have several formats, that is said, and bundles come first."""
    mixed = mixed_sentence(_schemas(session, selection, summary))
    forms = dict(reversed(FORMS.items())) if mixed else FORMS
    if mixed and remembered("mixed_selection") != name:
        remember("mixed_selection", name)
        st.session_state["export_form"] = "bundle"
    st.session_state.setdefault("export_form", "file")
    form = st.segmented_control(
        "Export as",
        list(forms),
        format_func=FORMS.__getitem__,
        key="export_form",
        required=True,
        persist_state="session",
        help="One file: the original records, as imported. A bundle: the records in a trainer's format, with a config "
        "and the command to run.",
    )
    if mixed:
        st.warning(escaped(mixed))
    return str(form)


def _schemas(session: Session, selection: Selection, summary: Summary) -> dict[str, int]:
    """Selected rows by record format, cached until the selection or its size changes, because it reads every row."""
    asked = json.dumps([selection.to_fields(), summary.kept_rows, summary.kept_tokens], sort_keys=True)
    return remembered_for("record_schemas", asked, lambda: record_schemas(session.store, selection))


def show_selection(selection: Selection, summary: Summary) -> None:
    """The size of the selection, and warnings about amounts that could not be met."""
    st.text(
        f"{summary.kept_rows:,} of {summary.rows:,} rows, {summary.kept_tokens:,} of {summary.tokens:,} tokens, "
        f"from run {selection.run}, in their original order."
    )
    for notice in summary.notices:
        st.warning(escaped(notice))


try:
    export()
except UserError as error:
    show_error(error)
