"""Whose embeddings a run uses: its base's, those of a sentence model, or vectors that were computed elsewhere."""

import streamlit as st

from core.jobs.job import Job
from core.models.resolving import check_allowed_model
from core.selection import ScoredRun
from core.store.embedding_files import EmbeddingSpec
from core.workspace.mapping import begin_embedding_of_run
from core.workspace.vector_imports import COLUMN, VectorRequest, import_vectors, vectors_sentence
from ui.kit.job_view import begin_job
from ui.kit.joined_file import JoinedFile, empty_joined_file, joined_file_form
from ui.kit.widgets import change_or_show_error
from ui.plain_text import escaped
from ui.shell.access import may_run
from ui.shell.session import Session, remember, remembered
from ui.shell.staged_files import remove_staged

_FORM = "vectors"
_FILE, _SENTENCE = "Vectors of a file", "A sentence model"


def offer_embeddings(session: Session, run: ScoredRun, spec: EmbeddingSpec, job_key: str) -> None:
    """An expander that says which embeddings are used, `spec`, and takes others. A job is remembered under the key."""
    done = f"vectors_of_{run.name}"
    for sentence in remembered(done, []):
        st.success(escaped(sentence))
    with st.expander(f"Embeddings: {escaped(spec.label)}"):
        if spec.is_of_file or spec.is_of_sentence_model:
            st.caption(
                "The run uses vectors of a file." if spec.is_of_file else "The run uses those of a sentence model."
            )
            if st.button("Use those of the base again", key="use_base_embeddings", disabled=not may_run()):
                remember(done, [])
                begin_job(job_key, lambda: begin_embedding_of_run(session.store, run.name))
        if not may_run():
            return
        st.caption(
            "Other vectors can take their place. The map, Like these, semantic duplicates, spread and coverage then "
            "use them."
        )
        source = st.segmented_control(
            "Use", [_FILE, _SENTENCE], key="embeddings_source", default=_FILE, required=True,
            help="Vectors that were computed elsewhere, or those that a sentence-transformers model gives here.",
        )  # fmt: skip
        if source == _FILE:
            _file_form(session, run, done)
        else:
            _model_form(session, run, done, job_key)


def _file_form(session: Session, run: ScoredRun, done: str) -> None:
    form = joined_file_form(
        _FORM,
        "Vectors as Parquet, JSONL or .npy, one per row",
        "A list of numbers for each row, all of one length.",
        ("Column", COLUMN, "The column of the vectors. An .npy file has none."),
    )
    if st.button("Use these vectors", key="use_vectors", type="primary", disabled=not form.is_given):
        change_or_show_error(lambda: _import(session, run, form, done))


def _model_form(session: Session, run: ScoredRun, done: str, job_key: str) -> None:
    name = st.text_input(
        "Sentence model", key="sentence_model", placeholder="owner/name or a folder on this server",
        help="A sentence-transformers or model2vec model. It reads each row's prompt and reply as plain text.",
    ).strip()  # fmt: skip

    def begin() -> Job | None:
        check_allowed_model(name, session.workspace)
        remember(done, [])
        return begin_embedding_of_run(session.store, run.name, name)

    if st.button("Embed the rows", key="use_sentence_model", type="primary", disabled=not name):
        begin_job(job_key, begin)


def _import(session: Session, run: ScoredRun, form: JoinedFile, done: str) -> None:
    path = form.path(session)
    request = VectorRequest(run.name, path, form.columns or COLUMN, form.joined_by, form.key)
    report = import_vectors(session.store, request)
    remove_staged(session.workspace, [path])
    remember(done, [vectors_sentence(report)])
    empty_joined_file(_FORM)
