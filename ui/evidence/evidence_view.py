"""The evidence about one run: four verdicts side by side, and below them what one of them rests on."""

from collections.abc import Callable, Mapping

import streamlit as st

from core.data.errors import UserError
from core.data.filters import EVERYTHING
from core.evidence.findings import Evidence, evidence_of
from core.evidence.reference_health import health_warnings
from core.exploring.distributions import domain_counts
from ui.charts import DOMAINS_DRAWN, domain_colours
from ui.evidence.length_view import show_length
from ui.evidence.memory_view import show_memory
from ui.evidence.report_button import show_report_button
from ui.evidence.stability_view import show_stability
from ui.evidence.trials_view import show_trials
from ui.evidence.verdict_strip import show_verdicts
from ui.kit.second_reference import show_second_reference
from ui.kit.widgets import open_linked_tab, show_error
from ui.plain_text import escaped
from ui.shell.entrance import require_login
from ui.shell.session import Session

MEMORY, LENGTH, STABILITY, TRIAL = DETAILS = ("Memory", "Length", "Stability", "Trial")
"""One for each verdict."""


def show_evidence(session: Session, run: str) -> None:
    """The whole view."""
    counts = domain_counts(session.store, str(session.store.run(run)["table"]), EVERYTHING)
    every_colour = domain_colours([str(name) for name in counts["domain"]])
    colours = {str(name): every_colour[str(name)] for name in counts.nlargest(DOMAINS_DRAWN, "rows")["domain"]}
    with st.spinner("Comparing the rankings..."):
        found = evidence_of(session.store, run)
    _show_strip(session, found)
    for warning in health_warnings(found.health):
        st.warning(escaped(warning))
    _show_details(session, found, colours)
    with st.container(horizontal=True, vertical_alignment="center"):
        show_report_button(session, run)
        rows = int(counts["all_rows"].sum())
        st.caption(f"Figures are of all {rows:,} rows of this run, unless another number of rows is given.")
    if len(counts) > len(colours):
        st.caption(f"Charts show the {len(colours)} largest of {len(counts):,} domains; tables include all.")


def _show_strip(session: Session, found: Evidence) -> None:
    """The verdicts; below that on stability, while nothing was measured, the button that changes it."""
    places = show_verdicts(found.verdicts)
    if found.stability_unknown:
        with places[DETAILS.index(STABILITY)]:
            show_second_reference(session, found.run, brief=True)


@st.fragment
def _show_details(session: Session, found: Evidence, colours: Mapping[str, str]) -> None:
    """One tab for each verdict, of which only the open one is drawn. A fragment, so that opening another one computes
    no verdict again."""
    require_login()
    shows: dict[str, Callable[[], None]] = {
        MEMORY: lambda: show_memory(found, colours),
        LENGTH: lambda: show_length(found, list(colours)),
        STABILITY: lambda: show_stability(session, found),
        TRIAL: lambda: show_trials(session, found.run),
    }
    open_linked_tab("details", DETAILS)
    tabs = st.tabs(
        DETAILS, key="details", on_change="rerun", bind="query-params", default=TRIAL if found.trials else MEMORY
    )
    for tab, show in zip(tabs, shows.values(), strict=True):
        if tab.open:
            with tab:
                try:
                    show()
                except UserError as error:  # the page does not catch one of a fragment
                    show_error(error)
