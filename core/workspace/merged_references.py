"""A reference that is merged from several references of one base."""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data.errors import ModelUnusable
from ..data.listing import listed
from ..models.folder_check import INDEX, read_json
from ..models.provenance import FILES, PROVENANCE, WEIGHTS, listed_files, provenance_bytes
from ..models.resolving import (
    lasting_name,
    resolve_model,
    tokenizer_files,
    trained_encoding,
    trained_examples,
    weights_digest,
)
from ..scoring.planning import compare_models
from ..store import Store
from ..system.atomic_files import published_folder
from ..system.workspace_files import make_private_folder
from ..training.training_plan import check_new_name

METHODS = ("mean", "draw")


def merge_references(
    store: Store,
    name: str,
    references: Sequence[str],
    base: str,
    weights: Sequence[float] = (),
    method: str = "mean",
    seed: int = 0,
) -> dict[str, Any]:
    """Merge references of one base into a new one, which scores like any other.

    weights: one for each reference, in proportion [above 0]; empty for equal ones. method: "mean" of the weights, or
    "draw", which takes each single weight from one reference, drawn by the seed; for full models alone.
    The rows that any of them was trained on count as trained on. Fields: name, path, method, references (name, share),
    notices (sentences on what may not fit). Raises `NameTaken`, or `ModelUnusable` if they cannot be merged.
    """
    if method not in METHODS:
        raise ModelUnusable(f"There is no method {method[:40]!r} of merging. Use {' or '.join(METHODS)}.")
    folder = check_new_name(store.workspace, name)
    shares = _shares(references, weights)
    base_spec = resolve_model(base, store.workspace)
    specs = [resolve_model(reference, store.workspace, base_spec) for reference in references]
    notices = list(dict.fromkeys(notice for spec in specs for notice in compare_models(base_spec, spec)))
    forms = [read_json(Path(spec.adapter or spec.path, PROVENANCE)).get("quantization") for spec in specs]
    if len(set(forms)) > 1:
        kinds = listed(sorted({form or "whole" for form in forms}))
        notices.append(f"The references were trained on weights of their base in different forms: {kinds}.")
    if len({spec.adapter is None for spec in specs}) > 1:
        raise ModelUnusable(
            "Adapters and full models cannot be merged with each other. Merge the adapters into the base first."
        )
    is_adapter = specs[0].adapter is not None
    if is_adapter and method == "draw":
        raise ModelUnusable(
            "An adapter's change of the base is a product, so no single weight of it can be drawn. Use the mean, or "
            "train with --method full."
        )
    # Imports torch, which only this needs.
    from ..models.merging import mean_adapter, merged_weights

    make_private_folder(folder.parent)
    with published_folder(folder) as unfinished:
        if is_adapter:
            mean_adapter(specs, shares, unfinished)
        else:
            source = Path(specs[0].path)
            names = ("config.json", "generation_config.json", INDEX)
            for path in (*(source / each for each in names), *tokenizer_files(source)):
                if path.exists():
                    (unfinished / path.relative_to(source)).parent.mkdir(exist_ok=True)
                    shutil.copyfile(path, unfinished / path.relative_to(source))
            merged_weights(specs, shares, seed if method == "draw" else None, unfinished)
        merged = [
            {"name": lasting_name(reference, store.workspace), "share": share, "weights_hash": spec.weights_hash}
            for reference, share, spec in zip(references, shares, specs, strict=True)
        ]
        encodings = [trained_encoding(reference, store.workspace) for reference in references]
        provenance = {
            "name": name,
            "base": base_spec.label,
            "base_weights_hash": base_spec.weights_hash,
            **({"quantization": forms[0]} if forms[0] and len(set(forms)) == 1 else {}),
            **({"encoding": encodings[0]} if encodings[0] and encodings.count(encodings[0]) == len(encodings) else {}),
            "merged": {"method": method, "references": merged} | ({"seed": seed} if method == "draw" else {}),
            "data_order": list(dict.fromkeys(row for spec in specs for row in trained_examples(spec))),
            WEIGHTS: weights_digest(unfinished),
            FILES: listed_files(unfinished),
        }
        (unfinished / PROVENANCE).write_bytes(provenance_bytes(provenance))
    parts = [{"name": reference, "share": share} for reference, share in zip(references, shares, strict=True)]
    return {"name": name, "path": str(folder), "method": method, "references": parts, "notices": notices}


def _shares(references: Sequence[str], weights: Sequence[float]) -> list[float]:
    if len(references) < 2:
        raise ModelUnusable("Name at least two references to merge.")
    if weights and len(weights) != len(references):
        raise ModelUnusable(f"{len(weights)} weights were given for {len(references)} references. Give one for each.")
    given = [float(weight) for weight in weights] or [1.0] * len(references)
    if not all(math.isfinite(weight) and weight > 0 for weight in given):
        raise ModelUnusable("A weight must be a number above 0. Leave the reference out instead of giving it none.")
    return [weight / math.fsum(given) for weight in given]
