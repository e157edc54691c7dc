"""Which kind of reference a run has: what is known of the rows that it was trained on, in one sentence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..data.reader import Reader

CROSS_FITTED, IN_SAMPLE, OUT_OF_SAMPLE, UNKNOWN = "cross_fitted", "in_sample", "out_of_sample", "unknown"

SHIPPED = "shipped"
"""Marks the description of a run whose losses came with the program, without the models of its reference."""


@dataclass(frozen=True, slots=True)
class ReferenceKind:
    """`kind`: one of the above. `sentence`: for people. `meaning`: what it means for the scores.

    `trained_rows` of the run's `rows` were seen by a reference that judges them; None if that is not known.
    """

    kind: str
    sentence: str
    meaning: str
    trained_rows: int | None
    rows: int

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields."""
        return {
            "kind": self.kind,
            "sentence": self.sentence,
            "trained_rows": self.trained_rows,
            "rows": self.rows,
        }


def reference_kind(store: Reader, run: Mapping[str, Any]) -> ReferenceKind:
    """The kind of a run's reference, from its description and its rows flagged `trained_on`.

    `run` is as `Store.run` returns it. The one query reads one column, and the store caches its result.
    """
    seen, rows = store.rows(f"SELECT count_if(trained_on), count(*) FROM {run['table']}")[0]
    if cross := run["description"].get("cross_fitted"):
        sentence = f"Cross-fitted: {_count(cross['folds'], 'fold')} x {_count(len(cross['seeds']), 'seed')}"
        return ReferenceKind(
            CROSS_FITTED,
            sentence,
            "Each row is judged only by models that were not trained on it or on a near-duplicate of it, so its "
            "learnability holds no memory of the row.",
            0,
            rows,
        )
    if seen:
        return ReferenceKind(
            IN_SAMPLE,
            f"In-sample: the reference was trained on {_share(seen, rows)} of these rows",
            f"The reference was trained on {seen:,} of these {rows:,} rows, so part of their learnability may be "
            "memory. A cross-fitted reference judges each row by models that never saw it.",
            seen,
            rows,
        )
    if _is_recorded(store, run["run_id"]):
        return ReferenceKind(
            OUT_OF_SAMPLE,
            "Out of sample: the reference was trained on none of these rows",
            "The reference was trained on other rows, so the learnability holds no memory of these.",
            0,
            rows,
        )
    return ReferenceKind(
        UNKNOWN,
        "Reference trained elsewhere: not known what it saw",
        "The reference's training data is not known. It may include these rows, and then part of their learnability "
        "is memory.",
        None,
        rows,
    )


def reference_label(description: Mapping[str, Any]) -> str | None:
    """The name of a run's reference from its description; None if it does not say."""
    cross, models = description.get("cross_fitted"), description.get("models", {})
    label = cross["name"] if cross else models.get("reference", {}).get("label")
    return None if label is None else str(label)


def _is_recorded(store: Reader, run_id: int) -> bool:
    """Whether the store knows what the run's reference was trained on."""
    found = store.rows(
        """
        SELECT count(*) FROM trained_example WHERE model_fingerprint IN (
            SELECT model_fingerprint FROM loss_set JOIN run_loss USING (loss_set_id)
            WHERE run_id = ? AND role = 'reference'
        )
        """,
        [run_id],
    )
    return bool(found[0][0])


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _share(part: int, whole: int) -> str:
    """A share in whole percent that never rounds to none or all."""
    if part == whole:
        return "all"
    percent = 100 * part / whole
    if percent < 1:
        return "under 1%"
    return "over 99%" if percent > 99 else f"{percent:.0f}%"
