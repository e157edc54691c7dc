"""Preference pairs from demonstrations: the dataset's replies, and the base's own responses to the same prompts."""

import streamlit as st

from core.data.errors import UserError
from core.data.training_methods import LARGEST_SEED
from core.models.resolving import check_allowed_model
from core.scoring.generation.response_jobs import GenerateRequest, GenerationPlan, Sampling
from core.workspace.generating import begin_pairs, plan_pairs
from ui.kit.job_view import show_failure
from ui.kit.widgets import show_error
from ui.plain_text import escaped
from ui.shell.session import Session, remember

_JOB = "pairs_job"
_MADE = "The dataset of that name has these pairs already. Nothing was generated."


def offer_pairs(session: Session, dataset: str, base: str) -> None:
    """The form, for a dataset and a base that were chosen. The job is among the page's jobs."""
    show_failure(session, _JOB)
    with st.expander("Preference pairs of the dataset's replies and the base's own responses"):
        st.caption(
            "The base chosen above answers each prompt of the dataset once. A new dataset holds the pairs: the "
            "dataset's reply is the chosen answer, the base's response the rejected one. Score that dataset for its "
            "margins, or export it for DPO."
        )
        left, middle, right = st.columns(3)
        name = left.text_input(
            "Name of the new dataset", key="pairs_name", help="It is listed on Data when it is made."
        )
        rows = middle.number_input(
            "Rows", 1, value=None, key="pairs_rows", placeholder="All",
            help="Answer only so many rows, a random sample that the seed fixes.",
        )  # fmt: skip
        most = right.number_input(
            "Longest response (tokens)", 1, value=256, key="pairs_tokens", help="Longer responses are cut and counted."
        )
        temperature = left.number_input(
            "Temperature",
            0.0,
            value=1.0,
            step=0.1,
            key="pairs_temperature",
            help="0 takes the likeliest token each time.",
        )
        top_p = middle.number_input(
            "Top-p",
            0.01,
            1.0,
            1.0,
            0.05,
            key="pairs_top_p",
            help="Draw from the likeliest tokens with this probability.",
        )
        seed = right.number_input(
            "Seed", 0, LARGEST_SEED, 0, key="pairs_seed", help="The same seed gives the same responses."
        )
        sampling = Sampling(int(most), float(temperature), float(top_p), int(seed))
        request = GenerateRequest(dataset, base, name, None if rows is None else int(rows), sampling)
        shows, starts = st.columns([1, 3])
        is_asked = shows.button("Show the cost", key="pairs_cost", width="stretch")
        is_started = starts.button("Generate pairs", key="pairs_begin")
        if is_asked or is_started:
            try:
                plan = _plan(session, request)
                job = begin_pairs(session.store, plan) if is_started else None
            except UserError as error:
                show_error(error)
                return
            if job:
                remember(_JOB, job.job_id)
                st.rerun()
            st.info(escaped(_MADE if is_started else f"{plan.template_sentence} {plan.cost_sentence()}"))


def _plan(session: Session, request: GenerateRequest) -> GenerationPlan:
    check_allowed_model(request.base, session.workspace)
    with st.spinner("Reading the base model..."):
        return plan_pairs(session.store, request)
