"""Score: choose a base and a reference (or train one), estimate the time, and follow the jobs."""

from typing import Any

import pandas as pd
import streamlit as st

from core.data.errors import UserError
from core.data.settings import integer
from core.encoding.template_choice import AUTO, CHOICES, check_allowed_template
from core.encoding.templates import REPLIES
from core.jobs.job import readable_jobs
from core.models.cross_fitted import is_cross_fitted
from core.models.devices import DEVICES, DTYPES
from core.models.resolving import DEMO_BASE, check_allowed_model, trained_references
from core.scoring.planning import ScoreRequest
from core.workspace.status import dataset_overview, run_overview
from core.workspace.supervisor import begin_scoring, begin_training
from ui.kit.job_view import show_active_jobs, show_finished_jobs, show_last_failure, show_notices
from ui.kit.status_line import show_status_line
from ui.kit.tables import COUNT
from ui.kit.widgets import link_to_page, show_error
from ui.score.estimate_view import begin_estimate, show_estimate
from ui.score.reference_form import OWN_HELP, OWN_LABEL, reference_form
from ui.shell.access import may_run
from ui.shell.session import Session, forget, open_session, remember, remembered

_EXISTING, _TRAIN = "Use an existing model", "Train one here"
_TEMPLATE_HELP = (
    "auto chooses a template; 'Estimate time' shows which one. To use a chat template from a file, type its path."
)


def main(session: Session) -> None:
    """The page."""
    show_status_line(session, "score")
    datasets = dataset_overview(session.store)
    if not datasets:
        st.info("No data yet. Import a dataset first.")
        link_to_page("data", "Import a dataset")
        return
    st.caption(
        "Scoring computes the loss of every response under a base model and under a reference model fine-tuned on this "
        "data. Learnability is the share of the base loss that fine-tuning removed."
    )
    show_last_failure(session)
    show_active_jobs(session)
    if may_run():
        _show_forms(session, [dataset["name"] for dataset in datasets])
    _show_runs(session)
    show_finished_jobs(session)


def _show_forms(session: Session, datasets: list[str]) -> None:
    """The forms for training and scoring."""
    common = _shared_choices(session, datasets)
    references = trained_references(session.workspace)
    how = st.segmented_control(
        "Reference",
        [_EXISTING, _TRAIN],
        default=_EXISTING if references else _TRAIN,
        required=True,
        help="The base model after fine-tuning on this data. The loss that fine-tuning removed from a row is what the "
        "base can learn from it. No reference? Train one here.",
    )
    if how == _TRAIN:
        _train_section(session, common)
    else:
        _score_section(session, common, references)


def _shared_choices(session: Session, names: list[str]) -> dict[str, Any]:
    """The fields that training and scoring share."""
    left, right = st.columns(2)
    dataset = left.selectbox(
        "Dataset", names, _place(names, remembered("dataset")), help="A dataset imported on the Data page."
    )
    known = _known_bases(session)
    base = right.selectbox(
        "Base model",
        known,
        _place(known, remembered("base")),
        accept_new_options=True,
        help="A Hugging Face id (owner/name) or a folder on this server. Type to enter a new one.",
    )
    remember("dataset", dataset)
    remember("base", base)
    with st.expander("Chat template and length"):
        left, right = st.columns(2)
        template = left.selectbox(
            "Template",
            list(CHOICES),
            format_func=lambda name: f"{name}: {CHOICES[name]}" if name in CHOICES else name,
            accept_new_options=True,
            help=_TEMPLATE_HELP,
        )
        replies = left.selectbox(
            "Scored replies",
            list(REPLIES),
            format_func=lambda name: f"{name}: {REPLIES[name]}",
            help="Which assistant replies are scored. Replies marked in the data as not to be trained on are never "
            "scored.",
        )
        max_length = right.number_input(
            "Maximum length (tokens)",
            min_value=2,
            value=integer("max_length"),
            step=256,
            help="Longer rows are truncated to this length and flagged. Limited by the model's context window.",
        )
    return {
        "dataset": dataset,
        "base": (base or "").strip(),
        "template": template or AUTO,
        "replies": replies,
        "max_length": int(max_length),
    }


def _place(options: list[str], wanted: str | None) -> int:
    return options.index(wanted) if wanted in options else 0


def _known_bases(session: Session) -> list[str]:
    """Suggested base models: the last one chosen, those of jobs and runs (newest first), and the demo's."""
    requests = [job.request for job in reversed(readable_jobs(session.workspace))]
    of_jobs = [request["base"]["label"] for request in requests if "base" in request]
    of_runs = [run["base"] for run in run_overview(session.store)]
    return list(dict.fromkeys(base for base in [remembered("base"), *of_jobs, *of_runs, DEMO_BASE] if base))


# Training


def _train_section(session: Session, common: dict[str, Any]) -> None:
    try:
        request = reference_form(common)
        if request is None:
            return
        check_allowed_model(request.base, session.workspace)
        check_allowed_template(request.template, session.workspace)
        with st.spinner("Reading the base model..."):
            job = begin_training(session.store, request)
    except UserError as error:
        show_error(error)
        return
    if job:
        st.rerun()
    st.info("This reference already exists with these settings. Nothing was trained.")


# Scoring


def _score_section(session: Session, common: dict[str, Any], references: list[str]) -> None:
    left, right = st.columns(2)
    known = list(dict.fromkeys(name for name in [remembered("reference"), *references] if name))
    reference = left.selectbox(
        "Reference model",
        known,
        index=0 if known else None,
        accept_new_options=True,
        placeholder="A reference trained here, a model or adapter folder, or a Hugging Face id",
        help="Choose one trained here, or type a folder or a Hugging Face id.",
    )
    remember("reference", reference)
    run = right.text_input(
        "Run name", placeholder="If empty: dataset and reference",
        help="The scores are listed under this name on the other pages.",
    ).strip()  # fmt: skip
    with st.expander("Device and precision"):
        left, right = st.columns(2)
        device = left.selectbox("Device", DEVICES, help="auto: the GPU if there is one, else the CPU.")
        dtype = right.selectbox("Precision", DTYPES, help="auto: bfloat16 on a GPU, float32 on a CPU.")
    if not reference:
        st.text("Choose a reference, or train one here.")
        return
    reference = reference.strip()
    own = is_cross_fitted(reference, session.workspace) and st.checkbox(
        OWN_LABEL, value=True, key="score_own", help=OWN_HELP
    )
    request = ScoreRequest(**common, reference=reference, run=run or None, device=device, dtype=dtype, own=own)
    check, start, _ = st.columns([1, 1, 2])
    is_check = check.button("Estimate time", width="stretch")
    is_start = start.button("Start scoring", type="primary", width="stretch")
    try:
        if is_check or is_start:
            check_allowed_model(request.base, session.workspace)
            check_allowed_model(request.reference, session.workspace, is_base=False)
            check_allowed_template(request.template, session.workspace)
        if is_check:
            with st.spinner("Reading the models..."):
                begin_estimate(session, request)
        if is_start:
            _start(session, request)
    except UserError as error:
        show_error(error)
        return
    show_estimate(session, request)


def _start(session: Session, request: ScoreRequest) -> None:
    with st.spinner("Reading the models..."):
        plan, job = begin_scoring(session.store, request)
    forget("estimate")
    if job:
        st.rerun()
    show_notices(plan.description)
    st.success("All losses were cached. The run is ready; no model had to run.")


def _show_runs(session: Session) -> None:
    runs = run_overview(session.store)
    if not runs:
        return
    st.subheader("Runs")
    kinds = [run.pop("reference_kind")["sentence"] for run in runs]
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
    table["Kind of reference"] = kinds
    st.dataframe(table, hide_index=True, column_config={"Rows": COUNT, "Scored": COUNT})
    link_to_page("curate", "Explore a run")


main(open_session())
