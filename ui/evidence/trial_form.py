"""The form that plans a trial: its arms, budget, runs and training. A probe then shows what it costs."""

from collections.abc import Collection
from typing import Any

import streamlit as st

from core.data.errors import UserError
from core.data.training_methods import HIGHEST_RATE, LEARNING_RATES
from core.evidence import ARMS, BUDGET_KINDS, METRICS
from core.evidence.arm_kinds import DEFAULT_DRAWS
from core.evidence.held_out_rows import held_out_rows
from core.evidence.training_records import trained_models
from core.evidence.trial import DEFAULT_SEEDS
from core.exploring.rank_changes import PAPER_SHARES
from core.models.devices import DEVICES
from core.selection.saved import saved_selections
from core.workspace.trial_planning import DEFAULT_ARMS, TrialRequest
from core.workspace.trial_supervision import request_trial
from ui.kit.widgets import link_to_page, show_error
from ui.shell.entrance import require_login
from ui.shell.session import Session

_LOWEST_RATE = 1e-7
_ARMS = [name for name, arm in ARMS.items() if arm.trained and name != "selection"]
_UNITS = {"input_tokens": "Input tokens", "scored_tokens": "Scored tokens", "passes": "Passes over each arm's rows"}


@st.fragment
def show_trial_form(session: Session, run: str, taken: Collection[str]) -> None:
    """The form; `taken`: names that trials have."""
    require_login()
    saved = saved_selections(session.store)
    names = [str(name) for name in saved.loc[saved["run"] == run, "name"]] if len(saved) else []
    if not names:
        st.info("A trial compares saved selections of this run with random rows. Save one first.")
        link_to_page("curate", "Make a selection")
        return
    st.caption(
        "Each arm is trained from the base with the same budget, and evaluated on rows that no arm is trained on. A "
        "short probe measures the cost first; nothing else starts until you press Start."
    )
    chosen = _arms(names, taken) | _runs() | _held_out(session, run) | _training(session, run)
    if st.button("Measure the cost", key="request_trial", type="primary", disabled=not chosen["selections"]):
        try:
            request_trial(session.store, TrialRequest(run=run, **chosen))
        except UserError as error:
            show_error(error)
        else:
            st.rerun()


def _arms(names: list[str], taken: Collection[str]) -> dict[str, Any]:
    left, right = st.columns(2)
    free = next(name for number in range(1, len(taken) + 2) if (name := f"trial-{number}") not in taken)
    name = left.text_input("Name", free, key="trial_name", help="Up to 60 letters, digits, '-', '_', '.', spaces.")
    selections = right.multiselect(
        "Selections",
        names,
        names[:1],
        key="trial_selections",
        help="Saved selections of this run to compare with random.",
    )
    meanings = "  \n".join(f"{ARMS[kind].label}: {ARMS[kind].help}." for kind in _ARMS)
    arms = left.multiselect(
        "Other arms", _ARMS, list(DEFAULT_ARMS), format_func=lambda kind: ARMS[kind].label, key="trial_arms",
        help=f"What the selections have to beat; at least one must be random.  \n{meanings}",
    )  # fmt: skip
    ratios = right.multiselect(
        "Shares of rows (%)", [f"{100 * share:.3g}" for share in PAPER_SHARES], key="trial_ratios",
        accept_new_options=True, placeholder="Each selection's own amount",
        help="Tries every selection at each of these shares instead of its own amount, which gives a curve. Type to "
        "add others.",
    )  # fmt: skip
    shares = tuple(_share(text) for text in ratios)
    return {"name": name.strip(), "selections": tuple(selections), "arms": tuple(arms), "ratios": shares}


def _runs() -> dict[str, Any]:
    first, second, third = st.columns(3)
    fourth, fifth, sixth = st.columns(3)
    seeds = first.number_input(
        "Training seeds", 1, 20, len(DEFAULT_SEEDS), key="trial_seeds",
        help="Models of each arm, or of each draw of a random arm. A verdict needs at least 3.",
    )  # fmt: skip
    draws = second.number_input(
        "Random draws", 1, 20, DEFAULT_DRAWS, key="trial_draws",
        help="How often the rows of each random arm are drawn. A verdict needs at least 3.",
    )  # fmt: skip
    epochs = fourth.number_input(
        "Passes", 0.1, 100.0, 1.0, 0.5, key="trial_epochs",
        help="The budget of each model: as many tokens as this number of passes over the first selection has.",
    )  # fmt: skip
    unit = fifth.selectbox(
        "Equal in", list(BUDGET_KINDS), format_func=_UNITS.__getitem__, key="trial_unit",
        help="  \n".join(f"{_UNITS[kind]}: {meaning}." for kind, meaning in BUDGET_KINDS.items()),
    )  # fmt: skip
    budget = sixth.number_input(
        "Budget (tokens)", 1, None, None, key="trial_budget", placeholder="From passes", disabled=unit == "passes",
        help="Tokens that each model is trained on, instead of passes over the first selection.",
    )  # fmt: skip
    metric = third.selectbox(
        "Metric", list(METRICS), format_func=lambda kind: METRICS[kind].label, key="trial_planned_metric",
        help="What the verdict rests on, fixed before the trial; the others are shown too.",
    )  # fmt: skip
    fixed = None if budget is None or unit == "passes" else float(budget)
    return {"seeds": int(seeds), "draws": int(draws), "epochs": float(epochs), "budget_kind": unit, "budget": fixed,
            "metric": metric}  # fmt: skip


def _held_out(session: Session, run: str) -> dict[str, Any]:
    try:
        rows = len(held_out_rows(session.store, session.store.run(run), None))
    except UserError:
        share = st.slider(
            "Held-out rows", 1, 50, 10, format="%d %%", key="trial_held_out", width=320,
            help="Share of the rows that no arm is trained on. The reference of this run held out none, so it was "
            "trained on them: its scores know them, and only the arms do not.",
        )  # fmt: skip
        return {"held_out": share / 100}
    st.caption(f"Evaluated on the {rows:,} rows that the reference held out, with their near-duplicates.")
    return {"held_out": None}


def _training(session: Session, run: str) -> dict[str, Any]:
    """Settings of all runs; by default those of the run's reference, as far as they are recorded."""
    models = trained_models(session.store.run(run))
    known = models[0].provenance() if models else {}
    methods = list(LEARNING_RATES)
    with st.expander("Training", key="trial_training"):
        first, second, third, fourth = st.columns(4)
        method = first.selectbox(
            "Method", methods, methods.index(known["method"]) if known.get("method") in methods else 0,
            key="trial_method", help="As the reference was trained, if that is recorded.",
        )  # fmt: skip
        as_known = known.get("learning_rate") if known.get("method") == method else None
        if not isinstance(as_known, float) or not _LOWEST_RATE <= as_known <= HIGHEST_RATE:
            as_known = LEARNING_RATES[str(method)]  # the form takes no other
        tokens = known.get("batch_tokens")
        tokens = tokens if type(tokens) is int and tokens > 0 else 4096
        rate = second.number_input(
            "Learning rate", _LOWEST_RATE, HIGHEST_RATE, as_known, format="%.1e",
            key=f"trial_rate_{method}", help="Peak learning rate of every model.",
        )  # fmt: skip
        batch = third.number_input(
            "Batch size (tokens)", 1, None, tokens, key="trial_batch",
            help="Input tokens of one step.",
        )  # fmt: skip
        device = fourth.selectbox("Device", list(DEVICES), key="trial_device", help="Where the models are trained.")
        keep = st.checkbox("Keep the models", key="trial_keep", help="Else only their losses are kept.")
    return {"method": method, "learning_rate": float(rate), "batch_tokens": int(batch), "device": device,
            "keep_models": keep}  # fmt: skip


def _share(text: str) -> float:
    """A share from per cent; what is no number is refused when the trial is planned."""
    try:
        return round(float(text.strip().rstrip("%").replace(",", ".")) / 100, 6)
    except ValueError:
        return 0.0
