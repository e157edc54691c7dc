"""Finds the runs that can be compared, and describes in sentences how two runs differ."""

from dataclasses import dataclass
from typing import Any

from ..data.reader import Reader
from ..scoring.reference_kind import reference_label

_UNKNOWN = "not recorded"


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """The properties in which two runs can differ: models (label and fingerprint of the weights), encoding and
    precision. `noise_floor` [nats per token]: numerical noise of a loss; None if not measured."""

    name: str
    table: str
    base: str
    reference: str
    weights: tuple[str, str]
    template: str
    max_length: int | None
    tokenizer: str
    encoding: str
    dtype: str
    noise_floor: float | None

    @property
    def encoding_words(self) -> str:
        """Template and maximum length, as part of a sentence."""
        length = "length not recorded" if self.max_length is None else f"at most {self.max_length:,} tokens"
        return f"template {self.template}, {length}"


def compared_run(run: dict[str, Any]) -> ComparedRun:
    """From a run as returned by `core.store.Store.run`; missing parts of its description become "not recorded"."""
    description = run["description"]
    encoding, base = description.get("encoding", {}), description.get("models", {}).get("base", {})
    floors = [floor for floor in run["noise_floors"].values() if floor is not None]
    return ComparedRun(
        name=run["name"],
        table=run["table"],
        base=base.get("label", _UNKNOWN),
        reference=reference_label(description) or _UNKNOWN,
        weights=(base.get("weights_hash", _UNKNOWN), _reference_weights(description)),
        template=encoding.get("template", _UNKNOWN),
        max_length=encoding.get("max_length"),
        tokenizer=encoding.get("tokenizer_fingerprint", _UNKNOWN),
        encoding=description.get("encoding_fingerprint", _UNKNOWN),
        dtype=description.get("dtype", _UNKNOWN),
        noise_floor=max(floors, default=None),
    )


def _reference_weights(description: dict[str, Any]) -> str:
    """What stands for the weights of a reference; of a cross-fitted one, those of all its models."""
    models = description.get("models", {})
    if "cross_fitted" in description:
        names = [one["role"] for one in description["cross_fitted"]["models"]]
        return " ".join(sorted(models[name]["weights_hash"] for name in names))
    return str(models.get("reference", {}).get("weights_hash", _UNKNOWN))


def other_runs(store: Reader, name: str) -> list[str]:
    """The other runs of a run's dataset, newest first."""
    found = store.rows(
        "SELECT name FROM run WHERE dataset_id = (SELECT dataset_id FROM run WHERE name = ?) AND name <> ? "
        "ORDER BY created_at DESC, run_id DESC",
        [name, name],
    )
    return [str(other) for (other,) in found]


def what_differs(first: ComparedRun, second: ComparedRun) -> str:
    """Which of base and reference the runs share, by their weights and not by their names, as a short phrase."""
    if _UNKNOWN in (*first.weights, *second.weights):
        return "Two runs, some of whose models were not recorded"
    same_base, same_reference = (one == other for one, other in zip(first.weights, second.weights, strict=True))
    if same_base and same_reference:
        return "The same base and the same reference"
    if same_base:
        return "One base, two references"
    if same_reference:
        return "Two bases, one reference"
    return "Two bases, two references"


def cautions(first: ComparedRun, second: ComparedRun) -> list[str]:
    """A sentence for each difference between two runs other than their models."""
    found = []
    if first.tokenizer != second.tokenizer:
        found.append(
            "The tokenizers differ, so the runs split text into different tokens and losses per token are not "
            "comparable. Compare ranks or learnability instead of losses."
        )
    if (first.template, first.max_length) != (second.template, second.max_length):
        found.append(
            f"The encodings differ (A: {first.encoding_words}; B: {second.encoding_words}): settings, not models, "
            "cause part of the difference. Score both runs with the same template and length."
        )
    elif first.encoding != second.encoding and first.tokenizer == second.tokenizer:
        found.append(
            "The runs were encoded by different program versions, so different tokens may be scored. Score the older "
            "run again."
        )
    if first.dtype != second.dtype:
        found.append(
            f"The precisions differ (A: {first.dtype}; B: {second.dtype}): rounding alone can reorder rows with nearly "
            "equal scores. Score both runs with the same precision."
        )
    return found


def noise_caution(compared: int, within_noise: int) -> str | None:
    """A sentence if more than half of the compared rows differ by no more than the noise floor; else None."""
    if not compared or within_noise * 2 <= compared:
        return None
    return (
        f"{within_noise:,} of {compared:,} rows have the same losses in both runs within the noise floor, so their "
        "differences mean nothing. Choose a score of the model that differs, or other runs."
    )
