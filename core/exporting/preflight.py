"""Preflight: counts which selected rows a trainer would reject or change, and why, before anything is written."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from ..data import settings
from ..data.filters import Query
from ..data.listing import listed
from ..encoding.encoding_spec import EncodingSpec
from ..encoding.template_choice import chat_template_text, has_one_template
from ..encoding.template_turns import TurnForm
from ..encoding.templates import asks_for_date
from ..selection import Selection, kept_rows
from ..store import Store
from .bundle_plan import TRAINER_REASONS, BundlePlan, ConversationShape, Reason
from .chat_templates import with_fixed_date
from .exporter import rejected_count
from .message_form import message_form, wants_short_ids
from .trainers import TRAINERS, Trainer, trainer_named

FIRST_ROWS = 5
"""Row numbers listed for each reason."""

_TURNS = """CASE WHEN contains(conversation, '",{"')
    THEN array_to_string(list_transform(json_extract(conversation, '$.messages[*]'), lambda turn: concat_ws(
        ':', turn ->> '$[0]', array_to_string(json_keys(turn, '$[2]'), ',')
    )), ' ')
    ELSE array_to_string(json_extract_string(conversation, '$.messages[*][0]'), ' ') END"""
"""Every turn as its role, and after a colon its fields besides content: the same text for rows of the same shape.
Inside a JSON string a quotation mark is escaped, so the searched characters can only be the start of such fields."""
_TOOLS = "json_extract_string(conversation, '$.tools')"


@dataclass(frozen=True, slots=True)
class PreflightFinding:
    """One reason: the number of selected rows it applies to, and the first row numbers."""

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
    """The result for the selected rows. A row is skipped for one reason, the first that applies; a written row may be
    changed for several. `rows` and `tokens` are those of the selection, `written_*` those of the bundle."""

    trainer: str
    plan: BundlePlan
    rows: int
    tokens: int
    written_rows: int
    written_tokens: int
    findings: tuple[PreflightFinding, ...]
    notices: tuple[str, ...]

    @property
    def rows_together(self) -> int:
        """Rows that make one record: 2 for a trainer of preference pairs."""
        return 2 if trainer_named(self.trainer).pair_record else 1

    @property
    def left_out(self) -> tuple[PreflightFinding, ...]:
        """Reasons for skipped rows, with counts."""
        return tuple(finding for finding in self.findings if finding.reason.refuses)

    @property
    def changed(self) -> tuple[PreflightFinding, ...]:
        """Reasons for changes to written rows, with counts."""
        return tuple(finding for finding in self.findings if not finding.reason.refuses)


def preflight(store: Store, selection: Selection, trainer: str) -> Preflight:
    """Check every selected row against a trainer's rules, by its roles, tools and length. Writes nothing.

    Raises `ExportFailed` for an unknown trainer.
    """
    chosen = trainer_named(trainer)
    plan = bundle_plan(store, selection)
    counts: Counter[str] = Counter()
    first: dict[str, list[int]] = {}
    rows = tokens = written_rows = written_tokens = 0
    shapes = (_paired_shapes if chosen.pair_record else _shapes)(store, selection, plan.replies)
    for shape, other, count, token_count, numbers in shapes:
        refusal, changes = judge(chosen, shape, plan)
        if chosen.pair_record and refusal is None:
            refusal = _refused_by_pair(chosen, other, plan)
        rows, tokens = rows + count, tokens + token_count
        if refusal is None:
            written_rows, written_tokens = written_rows + count, written_tokens + token_count
        for reason in changes if refusal is None else (refusal,):
            counts[reason] += count
            first[reason] = sorted([*first.get(reason, ()), *numbers])[:FIRST_ROWS]
    findings = tuple(
        PreflightFinding(reason, counts[name], tuple(first[name]))
        for name, reason in TRAINER_REASONS.items()
        if counts[name]
    )
    notices = [*chosen.notices(plan), *([] if chosen.pair_record else _rejected_notices(store, selection))]
    return Preflight(trainer, plan, rows, tokens, written_rows, written_tokens, findings, tuple(notices))


def _rejected_notices(store: Store, selection: Selection) -> list[str]:
    rows = rejected_count(store, selection)
    if not rows:
        return []
    return [
        f"{rows:,} of the rows are rejected answers of preference pairs, which fine-tuning would teach. Write the "
        f"pairs for DPO instead ({listed(name for name, trainer in TRAINERS.items() if trainer.pair_record)})."
    ]


def judge(trainer: Trainer, shape: ConversationShape, plan: BundlePlan) -> tuple[str | None, tuple[str, ...]]:
    """The reason why a row is skipped (None if it is not), and the reasons why it is changed."""
    found = tuple(trainer.objections(shape, plan))
    return next((name for name in found if TRAINER_REASONS[name].refuses), None), tuple(
        name for name in found if not TRAINER_REASONS[name].refuses
    )


def bundle_plan(store: Store, selection: Selection) -> BundlePlan:
    """The bundle plan from the run's encoding and the selected rows."""
    description = store.run(selection.run)["description"]
    base = (description.get("models") or {}).get("base") or {}
    sql, values = _selected_conversations(store, selection)
    usual = {"template": "chat", "max_length": settings.integer("max_length"), "tokenizer_fingerprint": ""}
    encoding = EncodingSpec(**usual | (description.get("encoding") or {}))
    facts = _template_facts(encoding, base.get("path"))
    several = context = details = tools = False
    columns = f"{_TURNS}, bool_or({_TOOLS} <> ''), bool_or(contains(conversation, '</think>'))"
    for turns, has_tools, has_inline_thought in store.rows(f"SELECT {columns} FROM ({sql}) GROUP BY 1", values):
        shape = _shape(turns, "", False, encoding.replies)
        several, context = several or shape.has_several_replies, context or shape.has_context_replies
        details, tools = details or _has_details(shape, has_inline_thought, facts["form"]), tools or has_tools
    return BundlePlan(
        template=encoding.template,
        max_length=encoding.max_length,
        model=_model_name(base),
        several_replies=several,
        tools=tools,
        adapter=base.get("adapter"),
        context_replies=context,
        details=details,
        replies=encoding.replies,
        **facts,
    )


def _has_details(shape: ConversationShape, has_inline_thought: bool, form: TurnForm) -> bool:
    """Whether the template reads more of a turn than role and content."""
    found = {name for names in shape.fields for name in names}
    if form.thought_keys and (has_inline_thought or "thought" in found):
        return True
    return form.arguments != "content" and bool(found & {"tool_calls", "name", "call_id"})


def _template_facts(encoding: EncodingSpec, base: str | None) -> dict[str, Any]:
    """The plan's fields about the chat template. `base`: the base's folder."""
    if encoding.template != "chat":
        return {"form": TurnForm()}
    own, in_base = encoding.chat_template, chat_template_text(Path(base)) if base else None
    source = own or in_base or ""
    facts = {"form": message_form(source), "short_ids": wants_short_ids(source), "own_template": own}
    if encoding.day and asks_for_date(source):
        facts["day"] = encoding.day
        if own or (base and has_one_template(Path(base))):
            facts["dated_template"] = with_fixed_date(source, date.fromisoformat(encoding.day))
    return facts


def _model_name(base: dict[str, Any]) -> str:
    """The Hub id if the base came from there, which is valid on every machine, else its folder."""
    label, path = str(base.get("label", "")), str(base.get("path", ""))
    from_hub = f"models--{label.replace('/', '--')}" in Path(path).parts
    return label if from_hub or not path else path


def _selected_conversations(store: Store, selection: Selection) -> Query:
    sql, values = kept_rows(store, selection)
    table = store.run(selection.run)["table"]
    return (
        f"""
        SELECT row_number, conversation, s.truncated, s.token_count, s.pair
        FROM ({sql}) k JOIN {table} s USING (row_number) JOIN example e ON e.example_id = k.example_id
        """,
        values,
    )


def _refused_by_pair(trainer: Trainer, other: ConversationShape | None, plan: BundlePlan) -> str | None:
    """The reason to skip a row for the other row of its pair."""
    if other is None:
        return "without_its_pair"
    return "other_side_refused" if judge(trainer, other, plan)[0] else None


_ShapeCount = tuple[ConversationShape, ConversationShape | None, int, int, list[int]]
"""A shape, that of the pair's other row (if asked for and selected), their rows, scored tokens, first row numbers."""


def _paired_shapes(store: Store, selection: Selection, replies: str) -> Iterator[_ShapeCount]:
    """Every shape among the selected rows together with that of the other row of its preference pair."""
    sql, values = _selected_conversations(store, selection)
    batches = store.batches(
        f"""
        WITH shaped AS MATERIALIZED (
            SELECT row_number, pair, token_count, {_TURNS} AS turns, {_TOOLS} AS tools, truncated FROM ({sql})
        )
        SELECT own.turns, own.tools, own.truncated, other.turns AS other_turns, other.truncated AS other_truncated,
            count(*) AS rows, sum(own.token_count)::BIGINT AS tokens, min(own.row_number, {FIRST_ROWS}) AS first_rows
        FROM shaped own LEFT JOIN shaped other ON other.pair = own.pair AND other.row_number <> own.row_number
        GROUP BY ALL ORDER BY min(own.row_number)
        """,
        values,
    )
    for batch in batches:
        for row in batch.to_pylist():
            shape, other = _shape(row["turns"], row["tools"], row["truncated"], replies), None
            if row["other_turns"] is not None:
                other = _shape(row["other_turns"], row["tools"], row["other_truncated"], replies)
            yield shape, other, row["rows"], row["tokens"], row["first_rows"]


def _shapes(store: Store, selection: Selection, replies: str) -> Iterator[_ShapeCount]:
    """Every shape among the selected rows."""
    sql, values = _selected_conversations(store, selection)
    batches = store.batches(
        f"""
        SELECT {_TURNS} AS turns, {_TOOLS} AS tools, truncated, count(*) AS rows,
            sum(token_count)::BIGINT AS tokens, min(row_number, {FIRST_ROWS}) AS first_rows
        FROM ({sql}) GROUP BY ALL ORDER BY min(row_number)
        """,
        values,
    )
    for batch in batches:
        for row in batch.to_pylist():
            shape = _shape(row["turns"], row["tools"], row["truncated"], replies)
            yield shape, None, row["rows"], row["tokens"], row["first_rows"]


def _shape(turns: str, tools: str, truncated: bool, replies: str) -> ConversationShape:
    """The shape of a row from the text that the query made of its turns."""
    roles, fields = zip(
        *((role, tuple(filter(None, names.split(",")))) for role, _, names in _parts(turns)), strict=True
    )
    shape = ConversationShape(roles, tools, truncated, fields if any(fields) else ())
    return shape.with_last_reply_alone() if replies == "last" else shape


def _parts(turns: str) -> Iterator[tuple[str, str, str]]:
    return (turn.partition(":") for turn in turns.split())
