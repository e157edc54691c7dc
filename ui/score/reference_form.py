"""The training form: which kind of reference to train, what it costs, and its settings."""

import re
from dataclasses import dataclass
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.data.errors import UserError
from core.data.folds import LARGEST_SHARE
from core.data.training_methods import LARGEST_SEED, LEARNING_RATES, MOST_EPOCHS
from core.training.training_plan import MOST_MODELS, MOST_PROCESSES, TrainRequest
from ui.score.encoding_form import encoding_form

CROSS_FITTED, IN_SAMPLE = "Cross-fitted (recommended)", "Trained on all rows"
KINDS = {
    CROSS_FITTED: "Each row is judged by models that were not trained on it or on its near-duplicates. With 2 folds: "
    "two models on half of the rows each, as much training as one model.",
    IN_SAMPLE: "As in the paper: one model, trained on the rows that it then judges. Part of a row's learnability is "
    "memory of it.",
}
OWN_LABEL = "Also score by the models that saw the row"
OWN_HELP = (
    "Own losses: each row is also scored by the models that were trained on it. The scores own learnability and memory "
    "gap then show how much of a gain is memory. Costs one more pass over the rows for 2 folds and 1 seed."
)


@dataclass(frozen=True, slots=True)
class ReferenceKindChoice:
    """The kind of reference to train: one model, or one for each of `folds` and `seeds`; `held_out`: share of rows that
    no model is trained on."""

    folds: int = 1
    seeds: int = 1
    held_out: float = 0.0

    @property
    def is_cross_fitted(self) -> bool:
        """Whether there are several models, so that each row is judged by those that never saw it."""
        return self.folds > 1


def reference_form(kind: str, common: dict[str, Any]) -> TrainRequest:
    """Draw the form for a kind of reference (`KINDS`); returns the request as it stands. `common`: dataset and base.

    Raises a `UserError` for a field that cannot be read.
    """
    name, method, epochs, *places = st.columns([2, 1, 1, 1, 1, 1] if kind == CROSS_FITTED else [2, 1, 1, 1])
    fields = _training_fields(common["dataset"], name, method, epochs)
    choice = _choice(kind, *places)
    st.caption(cost_sentence(choice))
    encoding, training = st.columns(2)
    with encoding:
        common = common | encoding_form("", {})
    with training, st.expander("Learning rate, batch size, seed, early stopping and processes"):
        fields |= _further_training_fields(choice)
    left, right = st.columns(2)
    score_after = left.checkbox(
        "Score the dataset after training", value=True, help="Scoring starts automatically when training is done."
    )
    own = choice.is_cross_fitted and right.checkbox(OWN_LABEL, value=True, key="train_own", help=OWN_HELP)
    step = {"kind": "score", **common, "reference": fields["name"], **({"own": True} if own else {})}
    rate = _rate(fields.pop("learning_rate"))
    return TrainRequest(
        **common,
        **fields,
        learning_rate=rate,
        folds=choice.folds,
        seeds=choice.seeds,
        held_out=choice.held_out,
        then=(step,) if score_after else (),
    )


def cost_sentence(choice: ReferenceKindChoice) -> str:
    """What training a reference and scoring with it costs, next to a pass over the rows."""
    if not choice.is_cross_fitted:
        trained = f"{1 - choice.held_out:.0%} of the rows" if choice.held_out else "all rows"
        return f"Training: one model on {trained}. Scoring: one pass of it over all rows."
    folds, seeds = choice.folds, choice.seeds
    share = (1 - 1 / folds) * (1 - choice.held_out)
    work = (folds - 1) * seeds
    again = "as much as one model on all of them" if work == 1 else f"as much as {work} models on all of them"
    passes = "as many tokens as one pass" if seeds == 1 else f"as many tokens as {seeds} passes"
    own = "one more pass" if work == 1 else f"{work} more passes"
    return (
        f"Training: {folds * seeds} models on about {share:.0%} of the rows each, together about {again}. "
        f"Scoring: each model over the rows that it did not see, about {passes}. Own losses: about {own}."
    )


def reference_name(dataset: str) -> str:
    """A default name from the dataset's name, with the characters a folder may have."""
    return re.sub(r"[^\w.-]+", "-", dataset)[:45].strip("-.") + "-reference"


def _choice(kind: str, *places: DeltaGenerator) -> ReferenceKindChoice:
    """The controls that decide the cost: folds and seeds if cross-fitted, and the held-out share."""
    share = places[-1].number_input(
        "Held-out share (%)", 0, round(100 * LARGEST_SHARE), 10 if kind == CROSS_FITTED else 0, 5,
        key=f"held_out_{kind}",
        help="Share of the rows that no model is trained on. Their loss is recorded after each pass over the data.",
    )  # fmt: skip
    if kind != CROSS_FITTED:
        return ReferenceKindChoice(held_out=share / 100)
    folds = places[0].number_input(
        "Folds", 2, MOST_MODELS, 2, key="folds",
        help="One model per fold, trained on the other folds' rows. More folds: more rows per model, more training.",
    )  # fmt: skip
    seeds = places[1].number_input(
        "Seeds",
        1,
        MOST_MODELS // 2,
        1,
        key="seeds",
        help="Models per fold that differ in their seed. With 2 or more, every score has a spread over the seeds. Each "
        "further seed costs the same training and reference scoring once more.",
    )
    return ReferenceKindChoice(int(folds), int(seeds), share / 100)


def _training_fields(
    dataset: str, name: DeltaGenerator, method: DeltaGenerator, epochs: DeltaGenerator
) -> dict[str, Any]:
    """Name, method and epochs, in these places."""
    called = name.text_input("Reference name", reference_name(dataset), help="Choose the trained model by this name.")
    trained = method.selectbox(
        "Method", list(LEARNING_RATES), help="lora: train a small adapter. full: train all weights (small models)."
    )
    passes = epochs.number_input(
        "Epochs", 0.1, float(MOST_EPOCHS), 1.0, 0.5,
        help="Passes over the data. More epochs fit the data better but also memorise single rows.",
    )  # fmt: skip
    return {"name": called.strip(), "method": trained, "epochs": float(passes)}


def _further_training_fields(choice: ReferenceKindChoice) -> dict[str, Any]:
    """The settings that are rarely changed; `learning_rate` as text."""
    left, right = st.columns(2)
    rate = left.text_input(
        "Learning rate", "", placeholder=", ".join(f"{key}: {value:g}" for key, value in LEARNING_RATES.items()),
        help="If empty: the default of the method.",
    )  # fmt: skip
    batch_tokens = right.number_input(
        "Batch size (tokens)", min_value=64, value=4096, step=512,
        help="Tokens per optimisation step. Smaller batches need less memory.",
    )  # fmt: skip
    seed = left.number_input(
        "Seed",
        min_value=0,
        max_value=LARGEST_SEED,
        value=0,
        help="Sets the folds, the initial weights and the data order.",
    )
    early_stop = right.checkbox(
        "Stop early", disabled=not choice.held_out,
        help="Stops when the loss on the held-out rows rises and keeps the best pass. Needs a held-out share.",
    )  # fmt: skip
    processes = right.number_input(
        "Processes", 1, MOST_PROCESSES, 1, key="train_processes",
        help="Processes that train each model together, at most one per GPU: each step's batch is shared among them.",
    )  # fmt: skip
    return {
        "learning_rate": rate,
        "seed": int(seed),
        "batch_tokens": int(batch_tokens),
        "early_stop": bool(early_stop and choice.held_out),
        "processes": int(processes),
    }


def _rate(text: str) -> float | None:
    try:
        return float(text) if text.strip() else None
    except ValueError:
        raise UserError(f"The learning rate {text!r} is not a number. Write it like 2e-4.") from None
