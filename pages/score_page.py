"""Score: choose a base and a reference (or train one), estimate the time, and follow the jobs."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from core.data import settings
from core.data.errors import UserError
from core.data.placement import ONE, PLACEMENTS, SPREAD
from core.encoding.template_choice import check_allowed_template
from core.jobs.ray_executor import is_installed
from core.models.cross_fitted import is_cross_fitted
from core.models.devices import DEVICES, DTYPES
from core.models.resolving import check_allowed_model, trained_encoding, trained_references
from core.scoring.embeddings.embedding_jobs import plan_beside_scoring
from core.scoring.planning import ScoreRequest
from core.training.training_plan import TrainRequest
from core.workspace.embedding import begin_dataset_embedding
from core.workspace.status import dataset_overview, run_overview
from core.workspace.supervisor import begin_scoring, begin_training
from ui.kit.job_view import show_active_jobs, show_finished_jobs, show_last_failure, show_notices, show_opened_run
from ui.kit.status_line import show_status_line
from ui.kit.tables import COUNT
from ui.kit.widgets import link_to_page, show_error
from ui.score.base_step import base_step
from ui.score.encoding_form import encoding_form
from ui.score.estimate_view import begin_estimate, show_estimate
from ui.score.pairs_form import offer_pairs
from ui.score.reference_form import CROSS_FITTED, IN_SAMPLE, KINDS, OWN_HELP, OWN_LABEL, reference_form
from ui.score.training_estimate_view import begin_estimate as begin_training_estimate
from ui.score.training_estimate_view import show_estimate as show_training_estimate
from ui.score.without_prompts import offer_without_prompts
from ui.shell.access import may_run
from ui.shell.session import Session, forget, open_session, remember, remembered

EXISTING = "Use an existing model"
_EMBED, _EMBED_LABEL = "score_embed", "Embed the rows too"
_EMBED_HELP = (
    "After the scoring, one more pass of the base over all tokens, without its head, if the rows have no embeddings "
    "yet. Curate's map, Like these, spread and coverage need them."
)
_PLACEMENT = "placement"
_PLACEMENT_NAMES = {ONE: "Whole on one device", SPREAD: "Layers spread over all memory"}
_PLACEMENT_HELP = (
    "For a model larger than one GPU: its decoder layers go to all GPUs, then to main memory, then to disk. Losses are "
    "the same; layers in main memory or on disk make it slower."
)
_REFERENCE_HELP = (
    "The base model after fine-tuning on this data. The loss that fine-tuning removed from a row is what the base can "
    "learn from it."
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
    show_opened_run()
    show_active_jobs(session)
    if may_run():
        _show_steps(session, [dataset["name"] for dataset in datasets])
    _show_runs(session)
    show_finished_jobs(session)


def _show_steps(session: Session, datasets: list[str]) -> None:
    """Base, reference, and what it takes, in this order."""
    with st.container(border=True):
        st.markdown("##### 1. Base")
        common = base_step(session, datasets)
    with st.container(border=True):
        st.markdown("##### 2. Reference")
        references = trained_references(session.workspace)
        how = st.segmented_control(
            "Reference",
            [CROSS_FITTED, EXISTING, IN_SAMPLE],
            default=EXISTING if references else CROSS_FITTED,
            required=True,
            label_visibility="collapsed",
            help=_REFERENCE_HELP,
        )
        st.caption(KINDS.get(how, _REFERENCE_HELP))
        if how == EXISTING:
            score = _existing_reference(session, common, references)
            train = None
        else:
            score, train = None, _new_reference(how, common)
    with st.container(border=True):
        st.markdown("##### 3. Estimate")
        with settings.chosen(_place()):
            if score:
                with settings.chosen({_PLACEMENT: st.session_state.get(_PLACEMENT)}):
                    _score_section(session, score)
            elif train:
                _train_section(session, train)
            else:
                st.text("Choose a reference first.")
    offer_pairs(session, str(common["dataset"]), str(common["base"]))


def _place() -> dict[str, str | None]:
    """Where it is to run, as settings: there is a choice only where Ray is installed."""
    if not is_installed():
        return {}
    names = {"local": "This machine", "ray": "Ray cluster"}
    usual = settings.text("executor")
    chosen = st.segmented_control(
        "Runs on",
        list(names),
        default=usual if usual in names else "local",
        format_func=names.__getitem__,
        required=True,
        key="runs_on",
        help=f"The cluster at LOBASS_RAY_ADDRESS ({settings.text('ray_address')}) divides the work among its nodes.",
    )
    return {"executor": chosen}


def _estimate_or_start(
    labels: tuple[str, str, str],
    check: Callable[[], None],
    estimate: Callable[[], None],
    start: Callable[[], None],
    show: Callable[[], None],
) -> None:
    """The buttons that estimate and start; both `check` first. Above them the estimate, which `show` draws, or why the
    request is refused. `labels`: of the two buttons, and of the wait for the estimate."""
    shown = st.container()
    left, middle, _ = st.columns([1, 1, 2])
    is_estimate = left.button(labels[0], width="stretch")
    is_start = middle.button(labels[1], type="primary", width="stretch")
    with shown:
        try:
            if is_estimate or is_start:
                check()
            if is_estimate:
                with st.spinner(labels[2]):
                    estimate()
            if is_start:
                start()
        except UserError as error:
            show_error(error)
            return
        show()


# Training


def _new_reference(how: str, common: dict[str, Any]) -> TrainRequest | None:
    try:
        return reference_form(how, common)
    except UserError as error:
        show_error(error)
        return None


def _train_section(session: Session, request: TrainRequest) -> None:
    def check() -> None:
        check_allowed_model(request.base, session.workspace)
        check_allowed_template(request.template, session.workspace)

    _estimate_or_start(
        ("Estimate time and memory", "Train reference", "Reading the base model..."),
        check,
        lambda: begin_training_estimate(session, request),
        lambda: _train(session, request),
        lambda: show_training_estimate(session, request),
    )


def _train(session: Session, request: TrainRequest) -> None:
    with st.spinner("Reading the base model..."):
        job = begin_training(session.store, request)
    if job:
        st.rerun()
    st.info("This reference already exists with these settings. Nothing was trained.")


# Scoring


def _existing_reference(session: Session, common: dict[str, Any], references: list[str]) -> ScoreRequest | None:
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
    name = (reference or "").strip()
    encoding, hardware = st.columns(2)
    with encoding:
        fields = encoding_form(name, trained_encoding(name, session.workspace))
    with hardware, st.expander("Device and precision"):
        left, right = st.columns(2)
        device = left.selectbox("Device", DEVICES, help="auto: the GPU if there is one, else the CPU.")
        dtype = right.selectbox("Precision", DTYPES, help="auto: bfloat16 on a GPU, float32 on a CPU.")
        usual = settings.text(_PLACEMENT)
        st.selectbox(
            "Model placement",
            PLACEMENTS,
            PLACEMENTS.index(usual) if usual in PLACEMENTS else 0,
            format_func=_PLACEMENT_NAMES.__getitem__,
            key=_PLACEMENT,
            help=_PLACEMENT_HELP,
        )
    if not name:
        return None
    own = is_cross_fitted(name, session.workspace) and st.checkbox(
        OWN_LABEL, value=True, key="score_own", help=OWN_HELP
    )
    st.checkbox(_EMBED_LABEL, key=_EMBED, help=_EMBED_HELP)
    return ScoreRequest(**common, **fields, reference=name, run=run or None, device=device, dtype=dtype, own=own)


def _score_section(session: Session, request: ScoreRequest) -> None:
    def check() -> None:
        check_allowed_model(request.base, session.workspace)
        check_allowed_model(request.reference, session.workspace, is_base=False)
        check_allowed_template(request.template, session.workspace)

    _estimate_or_start(
        ("Estimate time", "Start scoring", "Reading the models..."),
        check,
        lambda: begin_estimate(session, request),
        lambda: _start(session, request),
        lambda: show_estimate(session, request),
    )


def _start(session: Session, request: ScoreRequest) -> None:
    with st.spinner("Reading the models..."):
        plan, job = begin_scoring(session.store, request)
        if st.session_state.get(_EMBED):  # it waits in the queue until the scoring has ended
            job = begin_dataset_embedding(session.store, plan_beside_scoring(plan)) or job
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
    names = [str(run["name"]) for run in runs]
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
    offer_without_prompts(session, names)


main(open_session())
