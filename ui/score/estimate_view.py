"""The estimate for a scoring request: cached and missing losses, tokens, time, and which tokens are scored."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from core.data.errors import JsonInvalid, NotFound
from core.data.placement import chosen_placement
from core.jobs.job import Job, find_job, start_worker
from core.jobs.job_progress import duration
from core.models.base_check import size_text
from core.scoring.planning import ScorePlan, ScoreRequest, create_estimate_job, plan_scoring
from ui.kit.tables import COUNT
from ui.kit.token_flow import STYLE, TEMPLATE_CAPTION, DrawnToken, token_flow, unscored_style
from ui.kit.widgets import show_error
from ui.plain_text import escaped
from ui.shell.session import Session, remember, remembered


@dataclass(frozen=True, slots=True)
class _Estimate:
    """An estimate, kept between reruns: the request, the placement of its models, what the plan found, and the
    estimate job's id."""

    request: ScoreRequest
    placement: str
    summary: str
    counts: pd.DataFrame
    notices: tuple[str, ...]
    job_id: str | None


def begin_estimate(session: Session, request: ScoreRequest) -> None:
    """Plan the request and start a short estimate job. Raises what `plan_scoring` raises."""
    plan = plan_scoring(session.store, request)
    job_id = None
    if not plan.is_complete:
        job = create_estimate_job(session.store, plan)
        start_worker(job)
        job_id = job.job_id
    remember("estimate", _Estimate(request, chosen_placement(), _summary(plan), _counts(plan), plan.notices, job_id))


def show_estimate(session: Session, request: ScoreRequest) -> None:
    """Show the estimate for this request, or its progress. Nothing if the last estimate was for another request."""
    kept: _Estimate | None = remembered("estimate")
    if kept is None or (kept.request, kept.placement) != (request, chosen_placement()):
        st.caption("Not estimated with these settings yet. The estimate scores a sample and keeps nothing.")
        return
    with st.container(border=True):
        st.text(kept.summary)
        for notice in kept.notices:
            st.warning(escaped(notice))
        st.dataframe(kept.counts, hide_index=True, column_config={"Cached losses": COUNT, "To compute": COUNT})
        if kept.job_id is None:
            st.text("Nothing to compute: all losses are cached.")
            return
        follow_estimate(session, kept.job_id, _show_outcome)


def _summary(plan: ScorePlan) -> str:
    return (
        f"{plan.row_count:,} rows, {plan.unique_examples:,} unique; template {plan.encoding.template}, "
        f"at most {plan.encoding.max_length:,} tokens per row, {plan.dtype} on {plan.device}\n{plan.template_sentence}"
    )


def _counts(plan: ScorePlan) -> pd.DataFrame:
    return pd.DataFrame(
        [(role, plan.models[role].label, plan.cached[role], plan.computed[role]) for role in plan.roles],
        columns=["Role", "Model", "Cached losses", "To compute"],
    )


def follow_estimate(session: Session, job_id: str, show: Callable[[dict[str, Any]], None]) -> None:
    """Show an estimate's progress while its job runs, then what it found by `show`, or why it found nothing."""
    try:
        job = find_job(session.workspace, job_id)
        outcome = job.outcome if _wait_for(job) else None
        if outcome is not None and outcome["state"] != "done":
            st.error(escaped(str(outcome["message"])))
        elif outcome is not None:
            show(outcome)
    except JsonInvalid as error:
        show_error(error)
    except NotFound:
        st.text("This estimate is no longer in the workspace. Run it again.")


def _wait_for(job: Job) -> bool:
    """Show an estimate's progress while it runs; whether it has ended with an outcome."""
    if job.state == "running":

        @st.fragment(run_every=0.5)
        def wait() -> None:
            if job.state != "running":
                st.rerun()
            st.text(job.progress.sentence())

        wait()
        return False
    if job.outcome is None:
        st.text("The estimate stopped before it finished. Run it again.")
    return job.outcome is not None


def gpu_hours(hours: float, device: str) -> str:
    """Hours of a GPU as text."""
    return f"{hours:,.2f}" if device == "cuda" else "none (CPU)"


def _show_outcome(outcome: dict[str, Any]) -> None:
    seconds, memory, tokens, hours = st.columns(4)
    rate, device = outcome["tokens_per_second"], str(outcome.get("device", "cpu"))
    time = duration(outcome["seconds"]) if outcome["seconds"] >= 1 else "under 1 s"
    seconds.metric("Estimated time", time if rate else "not measured")
    needed = outcome.get("memory_bytes")
    memory.metric("GPU memory" if device == "cuda" else "Memory", size_text(needed) if needed else "not measured")
    tokens.metric("Tokens to run", f"{outcome['tokens']:,}")
    hours.metric("GPU-hours", gpu_hours(outcome["seconds"] / 3600, device))
    if rate:
        st.caption(f"Measured on a sample: {rate:,.0f} tokens per second.")
    for share, what in ((outcome["truncated"], "would be truncated"), (outcome["unscorable"], "have nothing to score")):
        if share:
            st.text(f"{share:.1%} of the sampled rows {what}.")
    if outcome["cut_by_template"]:
        st.text(
            f"In {outcome['cut_by_template']:.1%} of the sampled rows, the chat template drops part of the reply "
            f"({outcome['left_out']:.0%} on average)."
        )
    for notice in outcome["notices"]:
        st.text(notice)
    for reason in outcome["reasons"]:
        st.text(f"Reason for nothing to score: {reason}")
    if outcome["shown"]:
        with st.expander("Which tokens are scored"):
            st.caption(f"Highlighted tokens are scored. {TEMPLATE_CAPTION} First rows of the sample:")
            for pieces in outcome["shown"]:
                drawn = [
                    DrawnToken(str(text), "marked" if scored else unscored_style(role)) for text, scored, role in pieces
                ]
                st.html(STYLE + token_flow(drawn))
