"""Which runs can be compared, and in words what a comparison of two of them compares."""

from dataclasses import dataclass
from typing import Any

from ..data.reader import Reader

_UNKNOWN = "not recorded"


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """What two runs can differ in: both models (label, and a fingerprint of the weights), the encoding of the text and
    the precision. `noise_floor` [nats per token] is how far a loss moves by computing alone; None: never measured."""

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
        """Template and maximum length, as they stand in a sentence."""
        length = "length not recorded" if self.max_length is None else f"at most {self.max_length:,} tokens"
        return f"template {self.template}, {length}"


def compared_run(run: dict[str, Any]) -> ComparedRun:
    """A run as `core.store.Store.run` gives it; what its description lacks is "not recorded"."""
    description = run["description"]
    models, encoding = description.get("models", {}), description.get("encoding", {})
    base, reference = (models.get(role, {}) for role in ("base", "reference"))
    floors = [floor for floor in run["noise_floors"].values() if floor is not None]
    return ComparedRun(
        name=run["name"],
        table=run["table"],
        base=base.get("label", _UNKNOWN),
        reference=reference.get("label", _UNKNOWN),
        weights=(base.get("weights_hash", _UNKNOWN), reference.get("weights_hash", _UNKNOWN)),
        template=encoding.get("template", _UNKNOWN),
        max_length=encoding.get("max_length"),
        tokenizer=encoding.get("tokenizer_fingerprint", _UNKNOWN),
        encoding=description.get("encoding_fingerprint", _UNKNOWN),
        dtype=description.get("dtype", _UNKNOWN),
        noise_floor=max(floors, default=None),
    )


def runs_beside(store: Reader, name: str) -> list[str]:
    """The other runs of a run's dataset, newest first."""
    found = store.rows(
        "SELECT name FROM run WHERE dataset_id = (SELECT dataset_id FROM run WHERE name = ?) AND name <> ? "
        "ORDER BY created_at DESC, run_id DESC",
        [name, name],
    )
    return [str(other) for (other,) in found]


def what_differs(first: ComparedRun, second: ComparedRun) -> str:
    """In a few words, which of base and reference the runs share, by their weights and not by their names."""
    if _UNKNOWN in (*first.weights, *second.weights):
        return "Two runs whose models were not all recorded"
    same_base, same_reference = (one == other for one, other in zip(first.weights, second.weights, strict=True))
    if same_base and same_reference:
        return "The same base and the same reference"
    if same_base:
        return "One base, two references"
    if same_reference:
        return "Two bases, one reference"
    return "Two bases, two references"


def cautions(first: ComparedRun, second: ComparedRun) -> list[str]:
    """What keeps the difference between two runs from being one of their models alone, a sentence each."""
    found = []
    if first.tokenizer != second.tokenizer:
        found.append(
            "The tokenizers differ: a token is not the same piece of text in both runs, so losses per token are of "
            "different units. Compare ranks, and learnability rather than losses."
        )
    if (first.template, first.max_length) != (second.template, second.max_length):
        found.append(
            f"The encodings differ (A: {first.encoding_words}; B: {second.encoding_words}), so the losses are of "
            "different text: part of any difference is not the models'. Score both runs with one template and length."
        )
    elif first.encoding != second.encoding and first.tokenizer == second.tokenizer:
        found.append(
            "The runs were encoded by different versions of the program, so which tokens are scored may differ. "
            "Score the older one again."
        )
    if first.dtype != second.dtype:
        found.append(
            f"The precisions differ (A: {first.dtype}; B: {second.dtype}): rounding alone moves rows of nearly equal "
            "score. Score both runs in one precision."
        )
    return found


def noise_caution(compared: int, within_noise: int) -> str | None:
    """A sentence where more than half of the compared rows do not differ between the runs by more than the noise
    floor; else None."""
    if not compared or within_noise * 2 <= compared:
        return None
    return (
        f"{within_noise:,} of {compared:,} rows have the same losses in both runs, to within the noise of computing "
        "them, so what differs says nothing about these rows. Choose a score of the model that differs, or other runs."
    )
