"""The form that pushes the export to a dataset on the Hugging Face Hub."""

import streamlit as st

from core.evidence.export_sentences import export_sentences
from core.exporting import HubTarget, PushReport, check_target, push_export, push_objection
from core.exporting.hub_push import hub_endpoint
from core.selection import Selection
from ui.export.wanted_export import WantedExport
from ui.plain_text import escaped
from ui.shell.access import may_run
from ui.shell.session import Session, remember, remembered

_PLACES = {"private": "Private", "public": "Public"}


def hub_form(session: Session, selection: Selection, wanted: WantedExport) -> None:
    """Draw the form and the report of the last push. The export is written anew, then pushed without its controls."""
    with st.expander("Push to the Hugging Face Hub", key="hub_form"):
        objection = push_objection()
        closed = objection is not None or not may_run() or not wanted.writable
        target = _target(closed)
        if objection:
            st.info(objection)
        pressed = st.button("Push", key="push_export", disabled=closed)
        if pressed:
            remember("pushed_export", _push(session, selection, wanted, target))
        pushed: PushReport | None = remembered("pushed_export")
        if pushed and pushed.repo_id == target.repo_id:
            st.success(f"{len(pushed.files):,} files ({pushed.byte_count:,} bytes and the card) pushed in one commit.")
            st.code(pushed.url, language=None, wrap_lines=True)
            for notice in pushed.notices:
                st.warning(escaped(notice))


def _target(closed: bool) -> HubTarget:
    st.session_state.setdefault("hub_place", "private")
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    repo_id = left.text_input(
        "Dataset",
        key="hub_dataset",
        placeholder="owner/name",
        disabled=closed,
        persist_state="session",
        help=f"A dataset on {escaped(hub_endpoint())}. It is created if it does not exist. An existing card keeps its "
        "fields and text; recipe, counts, evidence and licence are added between two marks. The manifest is pushed, "
        "with names of models and files and notes of hand picks.",
    )
    place = right.segmented_control(
        "Visibility",
        list(_PLACES),
        format_func=_PLACES.__getitem__,
        key="hub_place",
        required=True,
        disabled=closed,
        persist_state="session",
        help="Private: nothing is pushed to a dataset that is public.",
    )
    first, second, third = st.columns([2, 2, 2], vertical_alignment="bottom")
    licence = first.text_input(
        "Licence", key="hub_licence", placeholder="apache-2.0", disabled=closed, persist_state="session",
        help="As the Hub writes it. Empty: the card names the sources only.",
    )  # fmt: skip
    revision = second.text_input(
        "Branch", key="hub_revision", placeholder="main", disabled=closed, persist_state="session",
        help="Created if it does not exist.",
    )  # fmt: skip
    pull_request = third.checkbox(
        "Pull request", key="hub_pull_request", disabled=closed, persist_state="session",
        help="Opens a pull request to the main branch.",
    )  # fmt: skip
    return HubTarget(
        str(repo_id).strip(), place == "public", str(revision).strip(), bool(pull_request), str(licence).strip()
    )


def _push(session: Session, selection: Selection, wanted: WantedExport, target: HubTarget) -> PushReport:
    check_target(target)
    with st.status("Writing the export", expanded=False) as status:
        written = wanted.write()
        evidence = export_sentences(session.store, session.workspace, selection)
        pushed = push_export(written, target, evidence, lambda step: status.update(label=escaped(step)))
        status.update(label="Pushed", state="complete")
    return pushed
