"""What a scoring request will cost: cached and missing losses, tokens, time, and which tokens are scored."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from core.data.errors import NotFound
from core.jobs.job import Job, find_job, start_worker
from core.jobs.job_progress import duration
from core.scoring.planning import ROLES, ScorePlan, ScoreRequest, create_estimate_job, plan_scoring
from ui.kit.tables import COUNT
from ui.kit.token_flow import STYLE, TEMPLATE_CAPTION, DrawnToken, token_flow, unscored_style
from ui.plain_text import escaped
from ui.shell.session import Session, remember, remembered


@dataclass(frozen=True, slots=True)
class _Estimate:
    """What is kept of a check between reruns: what was asked, what was found, and the job of the probe."""

    request: ScoreRequest
    summary: str
    counts: pd.DataFrame
    notices: tuple[str, ...]
    job_id: str | None


def begin_estimate(session: Session, request: ScoreRequest) -> None:
    """Plan the request and start a short probe of it. Raises what `plan_scoring` does."""
    plan = plan_scoring(session.store, request)
    job_id = None
    if not plan.is_complete:
        job = create_estimate_job(session.store, plan)
        start_worker(job)
        job_id = job.job_id
    remember("estimate", _Estimate(request, _summary(plan), _counts(plan), plan.notices, job_id))


def show_estimate(session: Session, request: ScoreRequest) -> None:
    """What the last check of exactly this request found, or how far it is."""
    kept: _Estimate | None = remembered("estimate")
    if kept is None or kept.request != request:
        return
    with st.container(border=True):
        st.text(kept.summary)
        for notice in kept.notices:
            st.warning(escaped(notice))
        st.dataframe(kept.counts, hide_index=True, column_config={"Cached losses": COUNT, "To compute": COUNT})
        if kept.job_id is None:
            st.text("Nothing to compute: every loss is cached.")
            return
        try:
            _follow(find_job(session.workspace, kept.job_id))
        except NotFound:
            st.text("This check is no longer in the workspace. Check again.")


def _summary(plan: ScorePlan) -> str:
    return (
        f"{plan.row_count:,} rows, {plan.unique_examples:,} different; template {plan.encoding.template}, "
        f"at most {plan.encoding.max_length:,} tokens a row, {plan.dtype} on {plan.device}\n{plan.template_sentence}"
    )


def _counts(plan: ScorePlan) -> pd.DataFrame:
    return pd.DataFrame(
        [(role, plan.models[role].label, plan.cached[role], plan.computed[role]) for role in ROLES],
        columns=["Role", "Model", "Cached losses", "To compute"],
    )


def _follow(job: Job) -> None:
    if job.state == "running":

        @st.fragment(run_every=0.5)
        def wait() -> None:
            if job.state != "running":
                st.rerun()
            st.text(f"Checking: {job.progress.sentence()}")

        wait()
        return
    outcome = job.outcome
    if outcome is None:
        st.text("The check stopped before it finished. Check again.")
    elif outcome["state"] != "done":
        st.error(escaped(str(outcome["message"])))
    else:
        _show_outcome(outcome)


def _show_outcome(outcome: dict[str, Any]) -> None:
    tokens, seconds, pace = st.columns(3)
    rate = outcome["tokens_per_second"]
    tokens.metric("Tokens to run", f"{outcome['tokens']:,}")
    time = duration(outcome["seconds"]) if outcome["seconds"] >= 1 else "under 1 s"
    seconds.metric("Estimated time", time if rate else "not measured")
    pace.metric("Pace", f"{rate:,.0f} tokens/s" if rate else "not measured")
    for share, what in ((outcome["truncated"], "would be cut off"), (outcome["unscorable"], "have nothing to score")):
        if share:
            st.text(f"{share:.1%} of the sampled rows {what}.")
    if outcome["cut_by_template"]:
        st.text(
            f"Of {outcome['cut_by_template']:.1%} of the sampled rows the chat template leaves out part of the reply, "
            f"{outcome['left_out']:.0%} of it on average."
        )
    for notice in outcome["notices"]:
        st.text(notice)
    for reason in outcome["reasons"]:
        st.text(f"Nothing to score because: {reason}")
    if outcome["shown"]:
        with st.expander("What exactly is scored"):
            st.caption(f"Marked tokens are scored. {TEMPLATE_CAPTION} The first rows of the sample:")
            for pieces in outcome["shown"]:
                drawn = [
                    DrawnToken(str(text), "marked" if scored else unscored_style(role)) for text, scored, role in pieces
                ]
                st.html(STYLE + token_flow(drawn))
