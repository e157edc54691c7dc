"""Evidence: is a run's score memory, length or noise, and does selecting by it beat random rows?"""

import streamlit as st

from core.data.errors import UserError
from core.data.filters import EVERYTHING
from core.evidence.findings import evidence_of
from core.exploring.distributions import domain_counts
from ui.charts import DOMAINS_DRAWN, domain_colours
from ui.evidence.length_view import show_length
from ui.evidence.memory_view import show_memory
from ui.evidence.report_button import show_report_button
from ui.evidence.stability_view import show_stability
from ui.evidence.trials_view import show_trials
from ui.kit.status_line import show_run_line
from ui.kit.widgets import show_error
from ui.shell.session import open_session


def evidence() -> None:
    """The whole page."""
    session = open_session()
    run = show_run_line(session, "evidence")
    if run is None:
        return
    st.caption("How far to trust this run's learnability before selecting by it. All figures are of all of its rows.")
    counts = domain_counts(session.store, str(session.store.run(run)["table"]), EVERYTHING)
    every_colour = domain_colours([str(name) for name in counts["domain"]])
    colours = {str(name): every_colour[str(name)] for name in counts.nlargest(DOMAINS_DRAWN, "rows")["domain"]}
    with st.spinner("Comparing the rankings..."):
        found = evidence_of(session.store, run)
    show_report_button(session, run)
    memory, length, stability, trial = found.verdicts
    show_memory(found, memory, colours)
    show_length(found.length, length, list(colours))
    show_stability(found, stability)
    show_trials(session, run, trial)
    if len(counts) > len(colours):
        st.caption(f"Charts show the {len(colours)} largest of {len(counts):,} domains; tables include all.")


try:
    evidence()
except UserError as error:
    show_error(error)
