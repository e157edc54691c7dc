"""Scores that need responses without their prompts: IFD and PVI-like, each one more pass, computed by jobs."""

import streamlit as st

from core.data.errors import UserError
from core.data.scores import score_named
from core.workspace.promptless import begin_without_prompts
from ui.kit.job_view import remembered_job, show_failure
from ui.kit.widgets import show_error
from ui.plain_text import escaped
from ui.shell.access import may_run
from ui.shell.session import Session, forget, remember, remembered

_ASKED, _JOB, _DONE = "without_prompts_asked", "without_prompts_job", "without_prompts_done"
_BASE, _REFERENCE = "Base: IFD", "Reference: PVI-like"
_SCORES = {False: "ifd", True: "pvi_like"}


def offer_without_prompts(session: Session, runs: list[str]) -> None:
    """The form, and what became of it. A cross-fitted reference has a job for each of its models: as one ends, the next
    begins while the page is open, and otherwise when the button is pressed again."""
    asked, job = remembered(_ASKED), remembered_job(session, _JOB)
    show_failure(session, _JOB)
    if asked and (job is None or job.is_settled):
        forget(_ASKED)
        if job and (job.outcome or {}).get("state") == "done":
            _begin(session, *asked)
    if done := remembered(_DONE):
        forget(_DONE)
        run, reference = done
        label = score_named(_SCORES[reference]).label
        st.success(escaped(f"The run {run} has {label}. Choose it as the score on Curate."))
    with st.expander("Scores without prompts: IFD, PVI-like"):
        st.caption(
            "Scores a run's responses again without their prompts, in one more pass of the base or of the reference. "
            "IFD says how much the prompt helps the base, PVI-like how many bits it gives the reference."
        )
        run = st.selectbox("Run", runs, key="without_prompts_run", help="Whose responses are scored.")
        part = st.segmented_control(
            "Model", [_BASE, _REFERENCE], key="without_prompts_part", default=_BASE, required=True,
            help="The model that scores, and the score that its pass gives.",
        )  # fmt: skip
        if st.button("Compute", key="without_prompts_begin", disabled=not may_run()):
            _begin(session, run, part == _REFERENCE)


def _begin(session: Session, run: str, reference: bool) -> None:
    """Start the next job, or say that the run has the score."""
    forget(_JOB)
    try:
        with st.spinner("Reading the models..."):
            job = begin_without_prompts(session.store, run, reference)
    except UserError as error:
        show_error(error)
        return
    if job:
        remember(_ASKED, (run, reference))
        remember(_JOB, job.job_id)
    else:
        remember(_DONE, (run, reference))
    st.rerun()
