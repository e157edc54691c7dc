"""Jobs on the pages: progress, loss curve, log, cancel and resume."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.data.errors import JsonInvalid, NotFound, UserError
from core.jobs.job import Job, all_jobs, find_job
from core.jobs.job_progress import duration
from core.jobs.queue import cancel, is_next, move_up, waiting_jobs
from core.training.recorded_models import CURVE, PASSES, overall_share, recorded_models
from core.workspace.job_kinds import JOB_KINDS
from core.workspace.partial_runs import OpenedRun, open_partial_run, score_rest
from core.workspace.supervisor import abandon, resume
from ui.charts import DOMAINS_DRAWN, domain_colours
from ui.charts.training_chart import passes_figure, training_curve_figure
from ui.kit.widgets import change_or_show_error, link_to_page, show_error
from ui.plain_text import escaped
from ui.shell.access import may_run
from ui.shell.session import Session, forget, remember, remembered

_RECENT = 8
_LOG_LINES = 8  # a longer log scrolls in a box


def active_jobs(session: Session) -> list[Job]:
    """Unfinished jobs: those that run or were interrupted, newest first, then the queue in its order."""
    jobs = [job for job in reversed(all_jobs(session.workspace)) if not job.is_settled and _is_listed(job)]
    waiting = waiting_jobs(jobs)
    return [job for job in jobs if job not in waiting] + waiting


def _settled_jobs(session: Session) -> list[Job]:
    """Settled jobs, newest first."""
    return [job for job in reversed(all_jobs(session.workspace)) if job.is_settled and _was_listed(job)]


def show_active_jobs(session: Session) -> None:
    """Live view of the active jobs; the page reruns when one of them ends or starts."""

    def draw(jobs: list[Job]) -> None:
        for job in jobs:
            show_job(session, job)

    watch_jobs(lambda: active_jobs(session), draw)


def follow_job(session: Session, job: Job) -> None:
    """One job, live; the page reruns when it ends."""

    @st.fragment(run_every=0.5)
    def live() -> None:
        if job.is_settled:
            st.rerun()
        show_job(session, job)

    live()


def begin_job(key: str, begin: Callable[[], Job | None], then: Callable[[Job], None] = lambda _: None) -> None:
    """Begin a job, which this session then remembers under the key, and draw the page anew; `then` is called with the
    job, if there is one. If it cannot begin, the page says why."""
    try:
        job = begin()
    except UserError as error:
        show_error(error)
        return
    if job:
        remember(key, job.job_id)
        then(job)
    st.rerun()


def remembered_job(session: Session, key: str) -> Job | None:
    """The job that this session remembers under the key; None if there is none, or none any more."""
    job_id = remembered(key)
    if job_id is None:
        return None
    try:
        return find_job(session.workspace, job_id)
    except NotFound:
        forget(key)
        return None


def show_failure(session: Session, key: str) -> None:
    """The error of the job whose id this session remembers under the key, if it failed. Shown once."""
    job = remembered_job(session, key)
    if job and job.is_settled:
        forget(key)
        if job.problem:
            st.error(escaped(job.problem))
        elif job.state == "failed":
            st.error(escaped(str((job.outcome or {}).get("message"))))


def watch_jobs(find: Callable[[], list[Job]], draw: Callable[[list[Job]], None], seconds: float = 1.0) -> bool:
    """Draw the jobs that `find` gives, anew every so many seconds; the page reruns when it gives others. Returns
    whether there is any job; `draw` always gets at least one."""
    listed = find()
    if not listed:
        return False
    names, unseen = [job.job_id for job in listed], [listed]

    @st.fragment(run_every=seconds)
    def live() -> None:
        # Looked up again only when the fragment runs by itself, and compared last: a rerun loses the click that is
        # being handled.
        now = unseen.pop() if unseen else find()
        if now:
            draw(now)
        if [job.job_id for job in now] != names:
            st.rerun()

    live()
    return True


def job_line(job: Job, others: int) -> str:
    """An active job in a line whose end may be cut: the time left or what it waits for, how many other jobs there are,
    and what it is."""
    progress, state = job.progress, job.state
    status = state.capitalize() if state in ("interrupted", "waiting") else progress.phase.removesuffix("...")
    if state == "running" and progress.seconds_left is not None:
        status = f"{duration(progress.seconds_left)} left"
    more = f" (and {others:,} more)" if others else ""
    return f"{status}{more}: {_title(job)}"


def show_finished_jobs(session: Session) -> None:
    """The latest finished jobs, each with its outcome and log."""
    finished = _settled_jobs(session)
    if not finished:
        return
    st.subheader("Finished jobs")
    for job in finished[:_RECENT]:
        with st.expander(escaped(f"{_title(job)}: {_ending(job)}")):
            _show_details(session, job)
    if len(finished) > _RECENT:
        st.caption(f"{len(finished) - _RECENT:,} older jobs are in the 'jobs' folder of the workspace.")


def show_last_failure(session: Session) -> None:
    """The error of the newest job, if it or its follow-up step failed, until it is closed."""
    jobs = _settled_jobs(session)
    if not jobs or remembered("closed_failure") == jobs[0].job_id:
        return
    outcome = {} if jobs[0].problem else jobs[0].outcome or {}
    problem = outcome.get("message") if outcome.get("state") == "failed" else outcome.get("follow_up_failed")
    if problem:
        message, close = st.columns([6, 1], vertical_alignment="center")
        message.error(escaped(f"{_title(jobs[0])}: {problem}"))
        if close.button("Close", key="close_failure", width="stretch"):
            remember("closed_failure", jobs[0].job_id)
            st.rerun()


def show_job(session: Session, job: Job) -> None:
    """An active job: its progress, and buttons to cancel, resume or discard it; or why its files cannot be read."""
    try:
        _show_job(session, job)
    except JsonInvalid as error:
        st.warning(escaped(str(error)))


def _show_job(session: Session, job: Job) -> None:
    progress, state, closed = job.progress, job.state, not may_run()
    kind = JOB_KINDS.get(job.kind)
    with st.container(border=True):
        if state == "waiting":
            head, buttons = st.columns([3, 2], vertical_alignment="center")
            _show_waiting(job, head, buttons.container(horizontal=True, horizontal_alignment="right"))
            return
        head, first, second = st.columns([6, 1, 1], vertical_alignment="center")
        head.text(_title(job))
        if state == "interrupted":
            if first.button("Resume", key=f"resume_{job.job_id}", type="primary", width="stretch", disabled=closed):
                change_or_show_error(lambda: resume(job))
            if second.button("Discard", key=f"discard_{job.job_id}", width="stretch", disabled=closed):
                change_or_show_error(lambda: abandon(session.store, job))
            st.text(f"The worker stopped before it finished. {kind.on_resume(job) if kind else ''}")
        elif state == "running" and not job.is_cancelled:
            key = f"cancel_{job.job_id}"
            meaning = kind.if_cancelled if kind else None
            second.button("Cancel", key, meaning, cancel, args=[job], width="stretch", disabled=closed)
        elif state == "running":
            st.text("Stopping after the current batch...")
        show_notices(job.request.get("description", {}))
        st.progress(overall_share(job))
        st.text("\n".join([progress.sentence(), *progress.notes]))
        if job.kind == "score":
            _open_button(session, job, st.columns([1, 3])[0], job.job_id)
        if job.request.get("then"):
            st.caption(f"Then: {escaped(', '.join(_step(step) for step in job.request['then']))}")
        _show_curve(job)
        with st.expander("Log"):
            _show_log(job)


def _show_waiting(job: Job, head: DeltaGenerator, buttons: DeltaGenerator) -> None:
    """A job of the queue: its place, and buttons that move it up or cancel it."""
    closed = not may_run()
    first = closed or is_next(job)
    head.text(f"{_title(job)}\n{job.progress.sentence()}")
    with buttons:
        if st.button("Move up", key=f"up_{job.job_id}", disabled=first):
            change_or_show_error(lambda: move_up(job))
        if st.button("To the front", key=f"front_{job.job_id}", disabled=first):
            change_or_show_error(lambda: move_up(job, to_front=True))
        if st.button("Cancel", key=f"cancel_{job.job_id}", disabled=closed, help="Removes it from the queue."):
            change_or_show_error(lambda: cancel(job))


def show_notices(description: dict[str, Any]) -> None:
    """Warnings about a run's models, from its description."""
    for notice in description.get("notices", ()):
        st.warning(escaped(str(notice)))


def _show_details(session: Session, job: Job) -> None:
    if job.problem:
        st.warning(escaped(job.problem))
        return
    outcome = job.outcome or {}
    show_notices(job.request.get("description", {}))
    for sentence in (outcome.get("message"), outcome.get("follow_up_failed"), *outcome.get("notices", ())):
        if sentence:
            st.text(sentence)
    if outcome.get("elapsed_seconds"):
        pace = outcome.get("tokens_per_second")
        rate = f", {outcome['tokens']:,} tokens at {pace:,.0f} tokens per second" if pace else ""
        st.text(f"{duration(outcome['elapsed_seconds'])}{rate}")
    if job.kind == "score" and outcome.get("state") in ("cancelled", "failed"):
        left, right, _ = st.columns([1, 1, 2])
        _open_button(session, job, left, f"settled_{job.job_id}")
        if right.button("Score the rest", key=f"rest_{job.job_id}", width="stretch", disabled=not may_run(),
                        help="Computes the losses that are missing, for the same run."):  # fmt: skip
            change_or_show_error(lambda: score_rest(session.store, job))
    _show_curve(job)
    _show_log(job)


def _open_button(session: Session, job: Job, place: DeltaGenerator, key: str) -> None:
    """Opens the run of a scoring job over what is scored so far; `show_opened_run` says so above the page. A job
    that ends while the page is drawn is on it twice, so each has its `key`."""
    meaning = "Saves the run over the rows scored so far. The others are listed as not scored yet."
    if not place.button("Open what is scored", f"open_{key}", meaning, width="stretch", disabled=not may_run()):
        return
    try:
        opened = open_partial_run(session.store, job)
    except UserError as error:
        show_error(error)
        return
    remember("opened_run", opened)
    remember("run", opened.run)
    st.rerun()


def show_opened_run() -> None:
    """What was opened of a job that has not finished, with a link to it."""
    opened: OpenedRun | None = remembered("opened_run")
    if opened:
        forget("opened_run")  # said once
        st.success(escaped(opened.sentence))
        link_to_page("curate", "Explore this run")


def _show_log(job: Job) -> None:
    text = job.log_text or "The log is empty."
    tall = text.count("\n") > _LOG_LINES
    st.code(text, language=None, wrap_lines=True, height=240 if tall else "content")


def _show_curve(job: Job) -> None:
    """The losses of a training job: of the model in work, or of a finished one that is chosen."""
    models = recorded_models(job)
    if not models:
        return
    model = models[-1]
    if model.models > 1 and job.outcome is None:
        st.text(model.title)
    elif model.models > 1:
        titles = {each.title: each for each in models}
        chosen = st.selectbox(
            "Model", list(titles), key=f"model_{job.job_id}", help="The model whose losses are drawn."
        )
        model = titles[str(chosen)]
    if points := model.lines(CURVE):
        frame = pd.DataFrame(points)
        colours, steps = domain_colours(frame["domain"].tolist()), frame["domain"].value_counts()
        drawn = frame[frame["domain"].isin(steps.index[:DOMAINS_DRAWN])]
        figure = training_curve_figure(drawn, colours)
        st.plotly_chart(figure, key=f"curve_{job.job_id}", config={"displayModeBar": False})
        if len(steps) > DOMAINS_DRAWN:
            st.caption(f"The chart shows {DOMAINS_DRAWN} of {len(steps):,} domains, those in most steps.")
    if passes := model.lines(PASSES):
        st.plotly_chart(
            passes_figure(pd.DataFrame(passes)), key=f"passes_{job.job_id}", config={"displayModeBar": False}
        )


def _title(job: Job) -> str:
    try:
        kind = JOB_KINDS.get(job.kind)
        return kind.title(job.request) if kind else job.job_id
    except (JsonInvalid, KeyError, TypeError):  # a request that another program wrote
        return job.job_id


def _is_listed(job: Job) -> bool:
    """Not a job whose files cannot be read: above the page, a notice says which."""
    if job.problem:
        return False
    kind = JOB_KINDS.get(job.kind)
    return kind is None or kind.listed


@lru_cache(maxsize=10_000)
def _was_listed(job: Job) -> bool:
    """`_is_listed` of a settled job, whose files do not change."""
    return _is_listed(job)


def _step(step: dict[str, Any]) -> str:
    """A follow-up step of a job, as text."""
    return "score the dataset with it" if step["kind"] == "score" else f"save the selection {step['name']}"


def _ending(job: Job) -> str:
    if job.problem:
        return "unreadable"
    state = (job.outcome or {}).get("state", "replaced by a later job")
    return str(state)
