"""A second reference for a run: trained with the settings of the first and another seed, then scored with.

If the two rank the rows alike, the scores are of the rows and not of chance in training.
"""

from dataclasses import dataclass
from typing import Any

from ..data.errors import ModelUnusable
from ..jobs.job import Job
from ..models.folder_check import read_json
from ..models.folds_file import FOLDS_FILE
from ..models.provenance import PROVENANCE
from ..models.resolving import resolve_model, trained_references
from ..scoring.planning import count_rows, resolve_encoding
from ..scoring.reference_kind import reference_label
from ..store import Store
from ..training.training_plan import TrainRequest
from .supervisor import begin_training

_SETTINGS = ("method", "epochs", "learning_rate", "batch_tokens", "device")
_LATER_SETTINGS = ("lora_rank", "early_stop", "quantization")
_LONGEST_NAME = 48
"""Of the first reference's name [characters], so that the second's, which ends in its seed, is a name too."""


@dataclass(frozen=True, slots=True)
class SecondReference:
    """The training to start, and `models`: how many models it trains. `encoding` and `base_hash`: what the first
    reference was trained with; `rows`: how many, None if its folds say which."""

    request: TrainRequest
    models: int
    encoding: dict[str, Any]
    base_hash: str
    rows: int | None

    @property
    def name(self) -> str:
        """Of the reference."""
        return self.request.name

    @property
    def run(self) -> str:
        """Of the run that is scored with it."""
        return str(self.request.then[0]["run"])


def second_reference(store: Store, run: str) -> SecondReference:
    """What a second reference of a run is trained with; reads only what training and scoring recorded.

    Raises `ModelUnusable` if the run's reference was not trained in this workspace.
    """
    known = store.run(run)
    name = reference_label(known["description"]) or ""
    if name not in trained_references(store.workspace):
        raise ModelUnusable(
            f"The reference {name or 'of this run'!r} was not trained here, so its settings are not known. Train "
            "another one elsewhere with another seed, and score the dataset with it."
        )
    folder = store.workspace / "models" / name
    provenance = read_json(folder / PROVENANCE)
    try:
        return _planned(known, name, provenance, str(folder / FOLDS_FILE) if (folder / FOLDS_FILE).exists() else None)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelUnusable(f"The reference {name!r} does not record its settings, so no second one can be trained "
                            "with them.") from error  # fmt: skip


def begin_second_reference(store: Store, run: str) -> Job | None:
    """Start or join the training of a run's second reference, and scoring with it once it is trained; None if nothing
    had to be trained.

    Raises `ModelUnusable` if the base, the encoding or the rows are other ones now.
    """
    found = second_reference(store, run)
    _check_same(store, found, store.run(run)["table"])
    return begin_training(store, found.request)


def _planned(known: dict[str, Any], name: str, provenance: dict[str, Any], folds: str | None) -> SecondReference:
    members = (provenance.get("cross_fitted") or {}).get("models", [])
    seeds = sorted({int(one["seed"]) for one in members}) or [int(provenance["seed"])]
    seed, encoding, budget = seeds[-1] + 1, provenance["encoding"], provenance.get("budget")
    shared = {
        "dataset": known["dataset"],
        "base": known["description"]["models"]["base"]["label"],
        "template": encoding["template"],
        "max_length": encoding["max_length"],
        "replies": encoding.get("replies", "all"),
        "template_date": encoding.get("day"),
    }
    second = f"{name[:_LONGEST_NAME]}-seed-{seed}"
    step = {"kind": "score", **shared, "reference": second, "run": f"{known['name']}-seed-{seed}",
            "dtype": known["description"]["dtype"]}  # fmt: skip
    if quantization := known["description"]["models"]["base"].get("quantization"):
        step["quantization"] = quantization
    request = TrainRequest(
        **shared,
        **{key: provenance[key] for key in _SETTINGS},
        **{key: provenance[key] for key in _LATER_SETTINGS if key in provenance},
        name=second,
        seed=seed,
        seeds=len(seeds),
        folds_file=folds,
        max_tokens=budget["tokens"] if budget else None,
        then=(step,),
    )
    rows = None if folds else int(provenance["trained_examples"])
    return SecondReference(request, max(1, len(members)), encoding, str(provenance["base_weights_hash"]), rows)


def _check_same(store: Store, found: SecondReference, table: str) -> None:
    """Raise `ModelUnusable` if training would differ in more than its seed. `table`: the scored table of the run."""
    base = resolve_model(found.request.base, store.workspace)
    changed = None
    if base.weights_hash != found.base_hash:
        changed = f"The base {found.request.base!r} has other weights"
    elif resolve_encoding(store, base, None, found.request)[0].to_fields() != found.encoding:
        changed = "The chat template or the tokenizer is another one"
    elif found.rows is not None and _rows_to_train_on(store, found.request.dataset, table) != found.rows:
        changed = f"The dataset {found.request.dataset!r} has other rows"
    if changed:
        raise ModelUnusable(f"{changed} than when the first reference was trained, so a second one would differ in "
                            "more than its seed. Train two references on the Score page.")  # fmt: skip


def _rows_to_train_on(store: Store, dataset: str, table: str) -> int:
    """Rows of a dataset with scored tokens, as the run's encoding has them, without rejected answers, and those added
    since the run."""
    trained = "token_count > 0 AND side IS DISTINCT FROM 'rejected'"
    encoded, rows = store.rows(f"SELECT count_if({trained}), count(*) FROM {table}")[0]
    return int(encoded) + count_rows(store, dataset)[0] - int(rows)
