"""Plans a training job: which rows, which models, and every default resolved. Nothing here imports torch."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..data import settings
from ..data.errors import FoldsUnusable, ModelUnusable, NameTaken, NoUsableRows
from ..data.folds import LARGEST_SHARE, fold_count
from ..data.placement import refuse_spread
from ..data.training_methods import DEFAULT_LORA_RANK, HIGHEST_RATE, LARGEST_SEED, LEARNING_RATES, MOST_EPOCHS
from ..encoding.encoding_spec import CUT
from ..encoding.template_choice import AUTO
from ..jobs.executors import CLUSTER, DEFAULT_EXECUTOR
from ..jobs.job import Job, create_job
from ..models.devices import check_processes, resolve_device
from ..models.folder_check import read_json
from ..models.folds_file import folds_table, read_folds
from ..models.provenance import PROVENANCE, damages
from ..models.quantizing import check_quantization, quantized, storage_notice
from ..models.resolving import resolve_model
from ..models.vocabulary import vocabulary_notice
from ..near_duplicates.jobs import DEFAULT_THRESHOLD
from ..scoring.planning import count_rows, resolve_encoding
from ..selection import kept_rows, saved_selection
from ..store import Store
from ..store.preference_pairs import REJECTED_ROWS
from ..system.paths import is_folder_name, named_path

MOST_MODELS = 64
"""Most models of one reference."""
MOST_PROCESSES = 256
"""Most processes that train one model."""
_FOLDS = "folds"
_MOST_TOKENS, _MOST_STEPS, _HIGHEST_RANK = 10**15, 10_000_000, 65_536


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """A user's request to train a reference; None means the method's default.

    `folds`: 2 or more train a model for each fold and each of `seeds` seeds, on the rows of the other folds.
    `folds_file`: folds to use instead of own ones. `held_out`: share of rows that no model is trained on. `early_stop`:
    stop when the loss on these rises. `selection`: train on its rows only. `max_tokens`: train on as many input tokens
    instead of a number of epochs. `without_prompts`: train on the replies alone, for PVI. `quantization`: quantize the
    base's weights as they are loaded, and train an adapter on them (QLoRA, arXiv 2305.14314). `keep_checkpoints`: keep
    each epoch's adapter and Adam's moments in the reference (`kept_checkpoints`). `processes`: train each model with so
    many, which share each batch.
    """

    dataset: str
    base: str
    name: str
    method: str = "lora"
    epochs: float = 1.0
    learning_rate: float | None = None
    seed: int = 0
    template: str = AUTO
    max_length: int | None = None
    device: str = "auto"
    batch_tokens: int = 4096
    lora_rank: int = DEFAULT_LORA_RANK
    replies: str = "all"
    template_date: str | None = None
    then: tuple[dict[str, Any], ...] = field(default=())
    folds: int = 1
    seeds: int = 1
    held_out: float = 0.0
    folds_file: str | None = None
    early_stop: bool = False
    selection: str | None = None
    max_tokens: int | None = None
    without_prompts: bool = False
    quantization: str | None = None
    keep_checkpoints: bool = False
    processes: int = 1


def create_train_job(store: Store, request: TrainRequest) -> Job:
    """Create the job that trains a reference on a dataset's rows, duplicates included, or on those of a selection.

    Raises `NameTaken` if another reference has that name, `ModelUnusable` for several processes on a Ray cluster.
    """
    if request.processes > 1 and settings.text("executor") == CLUSTER:
        raise ModelUnusable(
            "On a Ray cluster, a model is trained by one process. Leave out --processes, or run it with --executor "
            f"{DEFAULT_EXECUTOR}."
        )
    refuse_spread("Training")
    fields = train_fields(store, request)
    if request.processes > 1:
        check_processes(request.processes, resolve_device(request.device))
    check_new_name(store.workspace, request.name)
    sql, values = training_rows(store, request)
    folds = {} if request.folds_file is None else {_FOLDS: folds_table(read_folds(named_path(request.folds_file)))}
    return create_job(store.workspace, fields, {"examples": store.batches(sql, values)}, folds)


def check_new_name(workspace: Path, name: str) -> Path:
    """The folder of a new reference. Raises `ModelUnusable` for a name that cannot be one, `NameTaken` if it exists."""
    _check_name(name)
    folder = workspace / "models" / name
    if folder.exists():
        raise NameTaken(f"A reference named {name!r} exists already in {folder}. Choose another name.")
    return folder


def training_rows(store: Store, request: TrainRequest) -> tuple[str, list[Any]]:
    """SQL of the rows that a request trains on, in the dataset's order: example_id, conversation, domain. Rejected
    answers of preference pairs are left out: training on an answer raises its likelihood."""
    columns = "example_id::VARCHAR AS example_id, conversation, r.domain"
    dataset_id, not_rejected = store.dataset_id(request.dataset), f"row_number NOT IN ({REJECTED_ROWS})"
    if request.selection is None:
        rows = f"dataset_row r JOIN example USING (example_id) WHERE dataset_id = ? AND {not_rejected}"
        return f"SELECT {columns} FROM {rows} ORDER BY row_number", [dataset_id, dataset_id]
    recipe = saved_selection(store, request.selection)
    run = store.run(recipe.run)
    if run["dataset"] != request.dataset:
        raise NoUsableRows(
            f"The selection {request.selection!r} is of the dataset {run['dataset']!r}, not of {request.dataset!r}. "
            "Name its dataset."
        )
    sql, values = kept_rows(store, recipe)
    rows = f"({sql}) r JOIN example USING (example_id) WHERE {not_rejected}"
    return f"SELECT {columns} FROM {rows} ORDER BY row_number", [*values, dataset_id]


def train_fields(store: Store, request: TrainRequest) -> dict[str, Any]:
    """A training job's request, with every default resolved; `identity` stands for the work and its data."""
    rate = _checked(request)
    count_rows(store, request.dataset)
    base = quantized(resolve_model(request.base, store.workspace), request.quantization)
    if base.adapter:
        raise ModelUnusable(f"{request.base!r} is an adapter. Train the reference from a full model instead.")
    encoding = resolve_encoding(store, base, None, request)[0]
    fields = {
        "kind": "train",
        "name": request.name,
        "dataset": request.dataset,
        "base": base.to_fields(),
        "encoding": (replace(encoding, prompt=CUT) if request.without_prompts else encoding).to_fields(),
        "method": request.method,
        "epochs": request.epochs,
        "learning_rate": rate,
        "seed": request.seed,
        "batch_tokens": request.batch_tokens,
        "lora_rank": request.lora_rank,
        "device": request.device,
        **_added_later(store, request),
    }
    sql, values = training_rows(store, request)
    data = [row[0] for row in store.rows(f"SELECT example_id FROM ({sql})", values)]
    if not data:
        raise NoUsableRows(f"The selection {request.selection!r} keeps no row to train on. Select more.")
    text = json.dumps([fields, data], sort_keys=True)
    identity = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    found = (storage_notice(base), vocabulary_notice("base", base, base), _rejected_notice(store, request))
    notices = [notice for notice in found if notice]
    description = {"description": {"notices": notices}} if notices else {}
    return {**fields, "identity": identity, "then": list(request.then), **description}


def trained_already(store: Store, request: TrainRequest) -> bool:
    """Whether the reference with that name was trained with exactly this request and data. Raises `ModelUnusable` if it
    was, and its files are damaged."""
    folder = store.workspace / "models" / request.name
    provenance = read_json(folder / PROVENANCE)
    if not provenance or provenance.get("identity") != train_fields(store, request)["identity"]:
        return False
    for sentence in damages(folder, provenance):
        raise ModelUnusable(
            f"The reference {request.name!r} is damaged. {sentence} Train it again under another name, or remove its "
            "folder first."
        )
    return True


def check_numbers(fields: Mapping[str, Any]) -> None:
    """Raise `ModelUnusable` if a training job's request has a number that nothing can mean."""
    budget = fields.get("budget") or {}
    seeds = [fields.get("seed"), *(one["seed"] for one in fields.get("members", ()))]
    for what, given, least, most in (
        *(("seed", seed, 0, LARGEST_SEED) for seed in seeds),
        ("batch size", fields.get("batch_tokens"), 1, _MOST_TOKENS),
        ("LoRA rank", fields.get("lora_rank", DEFAULT_LORA_RANK), 1, _HIGHEST_RANK),
        ("number of processes", fields.get("processes", 1), 1, MOST_PROCESSES),
        *((what, budget.get(key), 1, most)
          for what, key, most in (("budget", "tokens", _MOST_TOKENS), ("number of steps", "steps", _MOST_STEPS))
          if budget),
    ):  # fmt: skip
        if type(given) is not int or not least <= given <= most:
            raise ModelUnusable(f"The {what} {given!r} is invalid. Give a whole number from {least} to {most:,}.")
    for what, number, highest in (
        ("number of epochs", fields.get("epochs"), float(MOST_EPOCHS)),
        ("learning rate", fields.get("learning_rate"), HIGHEST_RATE),
    ):
        if type(number) not in (int, float) or not 0 < float(number or 0) <= highest:
            raise ModelUnusable(f"The {what} {number!r} is invalid. Give a number above 0, at most {highest:,g}.")


def budget_of(unit: str, tokens: int, input_tokens: float, batch_tokens: int) -> dict[str, Any]:
    """A training budget as JSON fields: `tokens` of a unit ("input" or "scored"), which are about `input_tokens`, in
    steps of about `batch_tokens`."""
    return {"unit": unit, "tokens": tokens, "steps": max(1, round(input_tokens / batch_tokens))}


def _added_later(store: Store, request: TrainRequest) -> dict[str, Any]:
    """Fields that are left out at their defaults, so that references of earlier versions are still recognised."""
    found: dict[str, Any] = {}
    if request.folds_file is not None:
        found["folds_file"] = hashlib.blake2b(
            read_folds(named_path(request.folds_file)).to_csv(index=False).encode(), digest_size=16
        ).hexdigest()
    elif request.folds > 1 or request.held_out:
        found["folding"] = {
            "folds": request.folds,
            "held_out": request.held_out,
            "seed": request.seed,
            "threshold": DEFAULT_THRESHOLD,
        }
    if models := _members(request):
        found["members"] = models
    if request.early_stop:
        found["early_stop"] = True
    if request.selection is not None:
        found["selection"] = request.selection
    if request.keep_checkpoints:
        found["keep_checkpoints"] = True
    if request.processes > 1:
        found["processes"] = request.processes
    if request.max_tokens is not None:
        found["budget"] = budget_of("input", request.max_tokens, request.max_tokens, request.batch_tokens)
    return found


def _members(request: TrainRequest) -> list[dict[str, Any]]:
    """The models of a reference with folds: model (its name below the reference), fold and seed."""
    folds = range(request.folds)
    if request.folds_file is not None:
        folds = range(fold_count(read_folds(named_path(request.folds_file)), request.folds_file))
    if len(folds) < 2:
        return []
    return [
        {"model": f"fold-{fold}-seed-{seed}", "fold": fold, "seed": seed}
        for seed in range(request.seed, request.seed + request.seeds)
        for fold in folds
    ]


def _check_name(name: str) -> None:
    if not is_folder_name(name):
        raise ModelUnusable(
            f"{name!r} is not a valid reference name. Use up to 60 letters, digits, '-', '_', '.', spaces."
        )


def _rejected_notice(store: Store, request: TrainRequest) -> str | None:
    count = store.rows(f"SELECT count(*) FROM ({REJECTED_ROWS})", [store.dataset_id(request.dataset)])[0][0]
    return f"The dataset's {count:,} rejected answers of preference pairs are not trained on." if count else None


def _checked(request: TrainRequest) -> float:
    """The learning rate. Raises a `UserError` for fields that cannot be."""
    _check_name(request.name)
    if not 1 <= request.folds <= MOST_MODELS or not 1 <= request.seeds <= MOST_MODELS // max(2, request.folds):
        raise FoldsUnusable(
            f"{request.folds} folds times {request.seeds} seeds are not possible. Give at most {MOST_MODELS} models."
        )
    if request.seeds > 1 and request.folds < 2 and request.folds_file is None:
        raise FoldsUnusable("Several seeds need folds, so that their models judge unseen rows. Add --folds 2.")
    if not 0 <= request.held_out <= LARGEST_SHARE:
        raise FoldsUnusable(f"A held-out share of {request.held_out:g} is not possible. Give 0 to {LARGEST_SHARE:g}.")
    if request.folds_file is not None and (request.folds > 1 or request.held_out):
        raise FoldsUnusable("The file of folds says the folds and the held-out rows. Leave out --folds and --held-out.")
    if request.early_stop and not request.held_out and request.folds_file is None:
        raise FoldsUnusable("Early stopping needs held-out rows. Add --held-out 0.1.")
    if request.keep_checkpoints and (request.folds > 1 or request.folds_file is not None):
        raise FoldsUnusable(
            "Checkpoints are kept of one model that is trained on all rows. Leave out the folds, or --keep-checkpoints."
        )
    if request.max_tokens is not None and request.max_tokens < 1:
        raise FoldsUnusable(f"A budget of {request.max_tokens} tokens is too small. Give at least 1.")
    if request.method not in LEARNING_RATES:
        raise ModelUnusable(f"Unknown method {request.method!r}. Must be one of: {', '.join(LEARNING_RATES)}.")
    check_quantization(request.quantization)
    if request.quantization is not None and request.method != "lora":
        raise ModelUnusable(
            "Quantized weights cannot be trained themselves. Choose the method lora, or do not quantize."
        )
    if request.keep_checkpoints and request.method != "lora":
        raise ModelUnusable(
            "Full fine-tuning keeps no checkpoints: they would be three times the model an epoch. Use --method lora."
        )
    rate = LEARNING_RATES[request.method] if request.learning_rate is None else request.learning_rate
    numbers = {
        **{name: getattr(request, name) for name in ("epochs", "seed", "batch_tokens", "lora_rank", "processes")},
        "learning_rate": rate,
        "members": [{"seed": request.seed + request.seeds - 1}],
    }
    check_numbers(numbers)
    if request.max_tokens is not None:
        check_numbers(
            {**numbers, "budget": budget_of("input", request.max_tokens, request.max_tokens, request.batch_tokens)}
        )
    return rate
