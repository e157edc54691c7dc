"""Score: name a base and a reference (or train one), see what it will cost, and watch the losses being computed."""

from typing import Any

import pandas as pd
import streamlit as st

from core.devices import DEVICES, DTYPES
from core.encoding import TEMPLATES
from core.errors import CurationError
from core.jobs import duration, find_job, start_worker
from core.models import DEMO_BASE, trained_references
from core.scoring import (
    LEARNING_RATES,
    ROLES,
    ScorePlan,
    ScoreRequest,
    TrainRequest,
    create_estimate_job,
    plan_scoring,
)
from core.status import dataset_overview, run_overview
from core.supervision import begin_scoring, begin_training
from ui.job_view import job_outcome, show_active_jobs, show_finished_jobs, show_last_failure
from ui.session import Session, forget, open_session, remember, remembered
from ui.widgets import link_to_page, show_error, token_pieces

_EXISTING, _TRAIN = "An existing model", "Train one here"


def main(session: Session) -> None:
    """The page."""
    st.header("Score")
    datasets = dataset_overview(session.store)
    if not datasets:
        st.info("There is no data yet. Import a dataset first.")
        link_to_page("data", "Import a dataset")
        return
    show_active_jobs(session)
    show_last_failure(session)
    dataset, base, template, max_length = _shared_choices(session, datasets)
    how = st.segmented_control(
        "Reference",
        [_EXISTING, _TRAIN],
        default=_EXISTING,
        help="The reference is the base after fine-tuning on this data. What fine-tuning removed of a row's loss is "
        "what the base can learn from it.",
    )
    common = {"dataset": dataset, "base": base, "template": template, "max_length": max_length}
    if how == _TRAIN:
        _train_section(session, common)
    else:
        _score_section(session, common)
    _show_runs(session)
    show_finished_jobs(session)


def _shared_choices(session: Session, datasets: list[dict[str, Any]]) -> tuple[str, str, str, int]:
    names = [dataset["name"] for dataset in datasets]
    left, right = st.columns(2)
    dataset = left.selectbox("Dataset", names)
    known = list(dict.fromkeys([run["base"] for run in run_overview(session.store) if run["base"]] + [DEMO_BASE]))
    base = right.selectbox(
        "Base model",
        known,
        accept_new_options=True,
        help="A Hugging Face id (owner/name) or a folder on this server. Type to enter another.",
    )
    with st.expander("How text becomes tokens"):
        left, right = st.columns(2)
        template = left.selectbox(
            "Template",
            ["auto", *TEMPLATES],
            format_func=lambda name: (
                f"{name}: {TEMPLATES[name]}" if name in TEMPLATES else "auto: chat if there is one, else alpaca"
            ),
        )
        max_length = right.number_input(
            "Maximum length (tokens)",
            min_value=2,
            value=2048,
            step=256,
            help="The rest of a longer row is cut off and flagged truncated. Never more than the model's window.",
        )
    return str(dataset), str(base), str(template), int(max_length)


# Training


def _train_section(session: Session, common: dict[str, Any]) -> None:
    with st.form("train"):
        first, second, third = st.columns(3)
        name = first.text_input("Name of the reference", f"{common['dataset']}-reference")
        method = second.selectbox(
            "Method", list(LEARNING_RATES), help="lora trains a small adapter; full trains all weights (small models)."
        )
        epochs = third.number_input("Epochs (passes over the data)", min_value=0.1, value=1.0, step=0.5)
        rate = first.text_input(
            "Learning rate", "", placeholder=", ".join(f"{key}: {value:g}" for key, value in LEARNING_RATES.items())
        )
        seed = second.number_input("Seed", min_value=0, value=0, help="Decides first weights and data order.")
        batch_tokens = third.number_input("Tokens of one batch", min_value=64, value=4096, step=512)
        score_after = st.checkbox("Score the dataset with it when it is trained", value=True)
        if not st.form_submit_button("Train the reference", type="primary"):
            return
    then = ({"kind": "score", **common, "reference": name.strip()},) if score_after else ()
    try:
        request = TrainRequest(
            **common,
            name=name.strip(),
            method=str(method),
            epochs=float(epochs),
            learning_rate=_rate(rate),
            seed=int(seed),
            batch_tokens=int(batch_tokens),
            then=then,
        )
        if begin_training(session.store, request):
            st.rerun()
        st.info("This reference was trained just so already; nothing was trained again.")
    except CurationError as error:
        show_error(error)


def _rate(text: str) -> float | None:
    try:
        return float(text) if text.strip() else None
    except ValueError:
        raise CurationError(f"The learning rate {text!r} is not a number. Write it like 2e-4.") from None


# Scoring


def _score_section(session: Session, common: dict[str, Any]) -> None:
    left, right = st.columns(2)
    references = trained_references(session.workspace)
    reference = left.selectbox(
        "Reference model",
        references,
        index=0 if references else None,
        accept_new_options=True,
        placeholder="A reference trained here, a folder, an adapter folder or a Hugging Face id",
    )
    run = right.text_input("Name of the run", placeholder=f"{common['dataset']}-{reference or 'reference'}")
    with st.expander("Where to compute"):
        left, right = st.columns(2)
        device = left.selectbox("Device", DEVICES)
        dtype = right.selectbox("Precision", DTYPES, help="auto: bfloat16 on a GPU, float32 on a CPU.")
    if not reference:
        st.text("Choose a reference, or train one here.")
        return
    request = ScoreRequest(
        **common, reference=str(reference), run=run.strip() or None, device=str(device), dtype=str(dtype)
    )
    check, start, _ = st.columns([1, 1, 2])
    try:
        if check.button("Check what it will cost", width="stretch"):
            _begin_estimate(session, request)
        if start.button("Start scoring", type="primary", width="stretch"):
            _, job = begin_scoring(session.store, request)
            forget("estimate")
            if job:
                st.rerun()
            st.success("Every loss was cached already: the run is ready, and no model was run.")
    except CurationError as error:
        show_error(error)
        return
    _show_estimate(session, request)


def _begin_estimate(session: Session, request: ScoreRequest) -> None:
    plan = plan_scoring(session.store, request)
    job_id = None
    if not plan.is_complete:
        job = create_estimate_job(session.store, plan)
        start_worker(job)
        job_id = job.job_id
    remember("estimate", {"request": request, "plan": plan, "job": job_id})


def _show_estimate(session: Session, request: ScoreRequest) -> None:
    kept = remembered("estimate")
    if not kept or kept["request"] != request:
        return
    with st.container(border=True):
        _show_plan(kept["plan"])
        if kept["job"] is None:
            st.text("Nothing to compute: every loss is cached.")
        else:
            _follow_estimate(session, kept["job"])


def _show_plan(plan: ScorePlan) -> None:
    st.text(
        f"{plan.row_count:,} rows, {plan.unique_examples:,} different; template {plan.encoding.template}, "
        f"at most {plan.encoding.max_length:,} tokens, {plan.dtype} on {plan.device}"
    )
    table = pd.DataFrame(
        [(role, plan.models[role].label, plan.cached[role], plan.computed[role]) for role in ROLES],
        columns=["Role", "Model", "Cached losses", "To compute"],
    )
    st.dataframe(table, hide_index=True)


def _follow_estimate(session: Session, job_id: str) -> None:
    if job_outcome(session, job_id) is None:

        @st.fragment(run_every=0.5)
        def wait() -> None:
            if job_outcome(session, job_id) is not None:
                st.rerun()
            st.text(find_job(session.workspace, job_id).progress.sentence())

        wait()
        return
    outcome = job_outcome(session, job_id) or {}
    if outcome["state"] != "done":
        st.error(str(outcome["message"]))
        return
    tokens, seconds, pace = st.columns(3)
    tokens.metric("Tokens to run", f"{outcome['tokens']:,}")
    seconds.metric("Estimated time", duration(float(outcome["seconds"])))
    rate = outcome["tokens_per_second"]
    pace.metric("Pace of the base model", f"{rate:,.0f} tokens/s" if rate else "not measured")
    for share, what in ((outcome["truncated"], "would be cut off"), (outcome["unscorable"], "have nothing to score")):
        if share:
            st.text(f"{share:.1%} of the sampled rows {what}.")
    for reason in outcome["reasons"]:
        st.text(f"    {reason}")
    with st.expander("What exactly is scored"):
        st.caption("Marked tokens are scored; the others are read as context.")
        for pieces in outcome["shown"]:
            token_pieces(pieces)


def _show_runs(session: Session) -> None:
    runs = run_overview(session.store)
    if not runs:
        return
    st.subheader("Runs")
    table = pd.DataFrame(runs).rename(
        columns={
            "name": "Run",
            "dataset": "Dataset",
            "base": "Base",
            "reference": "Reference",
            "rows": "Rows",
            "scored": "Scored",
        }
    )
    st.dataframe(table, hide_index=True)
    link_to_page("explore", "Explore a run")


main(open_session())
