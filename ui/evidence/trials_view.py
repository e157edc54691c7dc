"""Does it beat random? The run's trials: their verdicts, progress and results, and a form that plans one."""

import streamlit as st

from core.data.errors import UserError
from core.evidence import cells
from core.evidence.selection_evidence import trials_of_run
from core.evidence.trial_folder import Trial
from core.evidence.trial_state import read_request, requested_trials
from core.workspace.trial_planning import TrialRequest
from ui.evidence.trial_form import show_trial_form
from ui.evidence.trial_progress import show_planning, show_progress
from ui.evidence.trial_results_view import show_results
from ui.kit.widgets import show_error
from ui.plain_text import escaped
from ui.shell.access import may_run
from ui.shell.session import Session


def show_trials(session: Session, run: str) -> None:
    """What the verdict rests on."""
    trials = trials_of_run(session.workspace, run)
    requests = _requests(session, run)
    for name in requests:
        show_planning(session, name)
    if trials:
        trial = _chosen(trials)
        show_progress(session, trial)
        if len(trial.missing()) < _planned(trial):
            try:
                show_results(trial)
            except UserError as error:
                show_error(error)
        _show_frame(trial)
    if may_run():
        with st.expander("Plan a trial", expanded=not trials and not requests, key="plan_trial"):
            show_trial_form(session, run, {*requests, *(trial.name for trial in trials)})


def _requests(session: Session, run: str) -> list[str]:
    """Names of the run's trials that are not planned yet."""
    found = []
    for name in requested_trials(session.workspace):
        try:
            request = TrialRequest.from_fields(read_request(session.workspace, name))
        except UserError:
            found.append(name)  # shown, so that it can be discarded
        else:
            if request.run == run:
                found.append(name)
    return found


def _chosen(trials: list[Trial]) -> Trial:
    """The trial to show, the newest first; each has its state in the list, if there are several."""
    if len(trials) == 1:
        return trials[0]
    names = {trial.name: trial for trial in trials}
    if st.session_state.get("trial") not in names:
        st.session_state["trial"] = trials[0].name
    chosen = st.selectbox(
        "Trial", list(names), key="trial", format_func=lambda name: f"{name}: {_state(names[name])}", width=520,
        help="A trial trains models on a selection and on control rows with the same budget, and compares their losses "
        "on held-out rows.",
    )  # fmt: skip
    return names[str(chosen)]


def _state(trial: Trial) -> str:
    planned = _planned(trial)
    done = planned - len(trial.missing())
    if done < planned:
        return f"{done:,} of {planned:,} models" if done else "planned"
    try:
        arms = trial.results().arms
    except UserError:
        return "results cannot be read"
    verdicts = [arm.verdict for arm in arms if arm.kind == "selection"]
    return verdicts[0] or "complete, no verdict" if len(verdicts) == 1 else f"complete, {len(verdicts):,} verdicts"


def _show_frame(trial: Trial) -> None:
    """What was fixed before the first model."""
    plan = trial.plan
    budget = f"{plan.budget.value:,.10g} {plan.budget.kind.replace('_', ' ')}"
    ratios = ", ".join(f"{100 * ratio:g} %" for ratio in plan.ratios if ratio is not None)
    st.caption(
        escaped(
            f"Trial {trial.name}, fixed {plan.created_at[:16].replace('T', ' ')} UTC: "
            f"{', '.join(arm.name for arm in plan.arms)}"
            f"{f' at {ratios}' if ratios else ''}; {budget} a model; {len(trial.held_out):,} held-out rows; "
            f"{plan.training.method}, learning rate {plan.training.learning_rate:g}; fingerprint "
            f"{plan.fingerprint[:8]}."
        )
    )


def _planned(trial: Trial) -> int:
    return len(list(cells(trial.plan)))
