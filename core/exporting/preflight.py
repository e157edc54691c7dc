"""Preflight: which of the kept rows a trainer would refuse or change, and why, counted before anything is written."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import settings
from core.exporting.bundle_plan import REASONS, BundlePlan, Reason, Shape
from core.exporting.trainers import Trainer, trainer_named
from core.filters import Query
from core.selection import Selection, kept_rows
from core.store import Store

FIRST_ROWS = 5
"""How many rows are named for each reason."""

_ROLES = "array_to_string(json_extract_string(conversation, '$.messages[*][0]'), ' ')"
_TOOLS = "json_extract_string(conversation, '$.tools')"


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason: how many of the kept rows it applies to, and the numbers of the first of them."""

    reason: Reason
    rows: int
    first_rows: tuple[int, ...]

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields, for a manifest."""
        return {
            "reason": self.reason.name,
            "because": self.reason.sentence,
            "rows": self.rows,
            "first_rows": list(self.first_rows),
        }


@dataclass(frozen=True, slots=True)
class Preflight:
    """What becomes of the kept rows. A row is left out for one reason, the first that applies; of the rows that are
    written, one may be changed for several. `rows` and `tokens` are all that are kept, `written_*` what the bundle
    holds of them."""

    trainer: str
    plan: BundlePlan
    rows: int
    tokens: int
    written_rows: int
    written_tokens: int
    findings: tuple[Finding, ...]
    notices: tuple[str, ...]

    @property
    def left_out(self) -> tuple[Finding, ...]:
        """Reasons for which rows are left out, with their counts."""
        return tuple(finding for finding in self.findings if finding.reason.refuses)

    @property
    def changed(self) -> tuple[Finding, ...]:
        """Reasons for which written rows are trained on otherwise than they stand, with their counts."""
        return tuple(finding for finding in self.findings if not finding.reason.refuses)


def preflight(store: Store, selection: Selection, trainer: str) -> Preflight:
    """Check every kept row against a trainer's rules, by its roles, its tools and its length; nothing is written.

    Raises `ExportFailed` for a trainer that is not in the table.
    """
    chosen = trainer_named(trainer)
    plan = bundle_plan(store, selection)
    counts: Counter[str] = Counter()
    first: dict[str, list[int]] = {}
    rows = tokens = written_rows = written_tokens = 0
    for shape, count, token_count, numbers in _shapes(store, selection):
        refusal, changes = judge(chosen, shape, plan)
        rows, tokens = rows + count, tokens + token_count
        if refusal is None:
            written_rows, written_tokens = written_rows + count, written_tokens + token_count
        for reason in changes if refusal is None else (refusal,):
            counts[reason] += count
            first[reason] = sorted([*first.get(reason, ()), *numbers])[:FIRST_ROWS]
    findings = tuple(
        Finding(reason, counts[name], tuple(first[name])) for name, reason in REASONS.items() if counts[name]
    )
    return Preflight(
        trainer, plan, rows, tokens, written_rows, written_tokens, findings, tuple(chosen.notices(plan))
    )  # fmt: skip


def judge(trainer: Trainer, shape: Shape, plan: BundlePlan) -> tuple[str | None, tuple[str, ...]]:
    """Why a row is refused (None if it is not), and in which ways it is changed."""
    found = tuple(trainer.objections(shape, plan))
    return next((name for name in found if REASONS[name].refuses), None), tuple(
        name for name in found if not REASONS[name].refuses
    )


def bundle_plan(store: Store, selection: Selection) -> BundlePlan:
    """How the run read its rows, and what is among those that are kept."""
    description = store.run(selection.run)["description"]
    encoding = description.get("encoding") or {}
    base = (description.get("models") or {}).get("base") or {}
    sql, values = _kept_conversations(store, selection)
    several, tools = store.rows(
        f"""
        SELECT coalesce(bool_or(length(regexp_extract_all({_ROLES}, 'assistant')) > 1), false),
            coalesce(bool_or({_TOOLS} <> ''), false)
        FROM ({sql})
        """,
        values,
    )[0]
    return BundlePlan(
        template=encoding.get("template", "chat"),
        max_length=encoding.get("max_length", settings.integer("max_length")),
        model=_model_name(base),
        several_replies=several,
        tools=tools,
        adapter=base.get("adapter"),
    )


def _model_name(base: dict[str, Any]) -> str:
    """The Hub's id where the base came from there, which means the same on every machine, else its folder."""
    label, path = str(base.get("label", "")), str(base.get("path", ""))
    from_hub = f"models--{label.replace('/', '--')}" in Path(path).parts
    return label if from_hub or not path else path


def _kept_conversations(store: Store, selection: Selection) -> Query:
    sql, values = kept_rows(store, selection)
    table = store.run(selection.run)["table"]
    return (
        f"""
        SELECT row_number, conversation, s.truncated, s.token_count
        FROM ({sql}) k JOIN {table} s USING (row_number) JOIN example e ON e.example_id = k.example_id
        """,
        values,
    )


def _shapes(store: Store, selection: Selection) -> Iterator[tuple[Shape, int, int, list[int]]]:
    """Every shape among the kept rows: with how many rows and scored tokens, and its first row numbers."""
    sql, values = _kept_conversations(store, selection)
    batches = store.batches(
        f"""
        SELECT {_ROLES} AS roles, {_TOOLS} AS tools, truncated, count(*) AS rows,
            sum(token_count)::BIGINT AS tokens, min(row_number, {FIRST_ROWS}) AS first_rows
        FROM ({sql}) GROUP BY ALL ORDER BY min(row_number)
        """,
        values,
    )
    for batch in batches:
        for row in batch.to_pylist():
            shape = Shape(tuple(row["roles"].split()), row["tools"], row["truncated"])
            yield shape, row["rows"], row["tokens"], row["first_rows"]
