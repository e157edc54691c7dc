"""Like these: scores all rows by how like the hand picks are, or the rows of a table, and offers to rank by it."""

from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from core.data.errors import ModelUnusable, UserError
from core.data.scores import score_named
from core.importing import DataFile
from core.importing.reading import plain_stem
from core.jobs.job import Job
from core.scoring.embeddings.embedding_jobs import check_can_embed, lacks_embeddings
from core.selection import ScoredRun
from core.store.embedding_files import embeddings_of_run
from core.workspace.like_file_jobs import begin_like_file
from core.workspace.like_jobs import KIND, KIND_OF_FILES, MOST_TARGETS, begin_like, open_like_job
from core.workspace.mapping import begin_embedding_of_run, lacking_sentence, open_embedding_job
from ui.kit.chosen_files import chosen_files
from ui.kit.hand_picks import picks_of
from ui.kit.job_view import begin_job, follow_job, remembered_job, show_failure
from ui.kit.widgets import show_error
from ui.plain_text import escaped
from ui.shell.access import may_run
from ui.shell.session import Session, forget, remember, remembered, rerun_page
from ui.shell.staged_files import remove_staged

_JOB, _DONE, _TURN = "like_job", "like_done", "like_turn"
_PICKS, _TABLE, _FILE = "Rows picked by hand", "Rows of this table", "Rows of a file"


def offer_like_these(session: Session, run: ScoredRun, of_table: Callable[[], Sequence[str]] | None = None) -> None:
    """A popover that starts the job. `of_table`: gives the examples of the table that is shown, if one is."""
    popover = st.popover(
        "Like these", key=f"like_{remembered(_TURN, 0)}", on_change="rerun",
        help="Scores all rows by how like some rows they are, by their embeddings.",
    )  # fmt: skip
    if not popover.open:  # a closed one runs no query
        return
    with popover:
        try:
            spec = embeddings_of_run(session.store.run(run.name))
            if not lacks_embeddings(session.store, run.dataset, spec):
                _form(session, run, of_table)
            elif open_embedding_job(session.store, run.name):
                st.caption("The embeddings are being computed.")
            else:
                st.caption(escaped(lacking_sentence("This", spec)))
                if st.button("Compute embeddings", key="like_embed", type="primary", disabled=not may_run()):
                    begin_job(_JOB, lambda: begin_embedding_of_run(session.store, run.name), _follow)
        except ModelUnusable as error:
            st.caption(escaped(str(error)))


def _form(session: Session, run: ScoredRun, of_table: Callable[[], Sequence[str]] | None) -> None:
    kept = [pick.example_id for pick in picks_of(run.dataset) if pick.keep]
    chosen = st.segmented_control(
        "Which rows", [_PICKS, *([_TABLE] if of_table else []), *([_FILE] if may_run() else [])], key="like_which",
        default=_PICKS if kept or not of_table else _TABLE, required=True, help="What the others are compared with.",
    )  # fmt: skip
    if chosen == _FILE:
        _file_form(session, run)
        return
    targets = of_table() if of_table and chosen == _TABLE else kept
    if not targets:
        st.caption("No rows yet. Open a row and press P to keep it, or filter the table.")
    elif len(targets) > MOST_TARGETS:
        st.caption(f"These are more than {MOST_TARGETS:,} rows. Pick fewer, or filter the table further.")
    elif len(targets) == 1:
        st.caption("1 row: all others are ranked by how like it they are.")
    else:
        st.caption(f"{len(targets):,} rows. In turn, each takes the row that is most like it (RDS+).")
    name = st.text_input("Name", "picks", key="like_name", max_chars=40, help="The score is named like_NAME.").strip()
    if st.button(
        "Score rows", key="like_begin", type="primary",
        disabled=not (targets and name and may_run()) or len(targets) > MOST_TARGETS,
    ):  # fmt: skip
        begin_job(_JOB, lambda: begin_like(session.store, run.name, targets, name), _follow)


def _file_form(session: Session, run: ScoredRun) -> None:
    """A target set that is no part of the dataset, such as a benchmark's examples: it is embedded first."""
    try:
        check_can_embed(session.store, run.name, "a file")
        files, refused = chosen_files(session, "one target set")
    except UserError as error:
        show_error(error)
        return
    for problem in refused:
        show_error(problem)
    given = plain_stem(files[0].name) if files else ""
    name = st.text_input(
        "Name", placeholder=given, key="like_file_name", max_chars=40, help="The score is named like_NAME."
    ).strip() or given  # fmt: skip
    st.caption(f"Up to {MOST_TARGETS:,} rows in any format that Data imports; they are embedded first.")
    if st.button("Score rows", key="like_file_begin", type="primary", disabled=not name):
        begin_job(_JOB, lambda: _begin_with(session, run, files, name), _follow)


def _begin_with(session: Session, run: ScoredRun, files: Sequence[DataFile], name: str) -> Job:
    job = begin_like_file(session.store, run.name, files, name)
    remove_staged(session.workspace, [file.path for file in files])
    return job


def _follow(job: Job) -> None:
    remember(_TURN, remembered(_TURN, 0) + 1)  # another popover, which is closed
    if job.kind in (KIND, KIND_OF_FILES):
        remember(_DONE, job.job_id)


def show_like_job(session: Session, run: ScoredRun) -> None:
    """The job that compares the rows, live, and once it is done, its score with a button to rank by it."""
    show_failure(session, _JOB)
    job = open_like_job(session.store, run.dataset)
    if job:
        follow_job(session, job)
        return
    if remembered(_JOB) is not None:
        embedding = open_embedding_job(session.store, run.name)
        if embedding:
            follow_job(session, embedding)
    _show_done(session, run)


def _show_done(session: Session, run: ScoredRun) -> None:
    job = remembered_job(session, _DONE)
    outcome = (job.outcome if job else None) or {}
    if job is None or not job.is_settled or job.request["dataset"] != run.dataset or outcome.get("state") != "done":
        return
    name = next(iter(job.request["columns"]))
    alike = "other rows" if job.kind == KIND else "rows of the dataset"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.success(
            escaped(
                f"New score {score_named(name).label}: how like the chosen rows ({outcome['targets']:,}) each row is. "
                f"{outcome['copies']:,} {alike} nearly repeat one of them. {' '.join(outcome['notices'])}"
            )
        )
        st.button("Rank by it", key="like_rank", on_click=partial(_rank_by, name), help="Sets the ranking at the left.")
        st.button("Close", key="like_close", on_click=partial(forget, _DONE))


def _rank_by(name: str) -> None:
    st.session_state["recipe_score"] = name
    forget(_DONE)
    rerun_page()
