"""Preference pairs: two conversations that differ in their last reply, from the fields of one record or of two."""

import json
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any

from ..data.errors import SourceUnreadable
from ..data.examples import Message, Rejected
from .blocks import read_text
from .conversations import as_list, history, is_turns, with_system
from .fields import Fields, Records, RecordValues
from .markup import read_markup
from .records import RecordUnusable, SourceRecord
from .table_json import as_json
from .turn_weights import as_context
from .turns import read_turns

Sides = tuple[list[Message], list[Message]]
"""The chosen and the rejected conversation."""

SIDES = ("chosen", "rejected")
_MOST_BYTES = 2 * 2**30
_VERDICTS = {"true": True, "1": True, "false": False, "0": False}


def is_preference_pair(fields: Fields) -> bool:
    """Whether a record is for preference training: a chosen and a rejected answer."""
    return fields.get("chosen") is not None and fields.get("rejected") is not None


def preference_sides(record: RecordValues) -> Sides:
    """The conversations of a record with the fields chosen and rejected.

    The prompt is a field of its own, or the common beginning of the two sides: of their turns, or of two texts, which
    are then split where TRL's `extract_prompt` splits them. Replies in the prompt are context. Raises `RecordUnusable`.
    """
    for name in SIDES:
        if record[name] in (None, "", [], {}) or str(record[name]).isspace():
            raise RecordUnusable("empty side", f"{name} is empty")
    if record["chosen"] == record["rejected"]:
        raise RecordUnusable("equal sides")
    prompt = _prompt(record)
    chosen, rejected = (_conversation(record, name, prompt) for name in SIDES)
    if chosen is None or rejected is None:
        record.notices.append("a prompt that is the common beginning of its two texts")
        chosen, rejected = _split_texts(
            read_text(record["chosen"], "chosen"), read_text(record["rejected"], "rejected")
        )
    shared = next((i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), None)
    shared = min(len(chosen), len(rejected)) if shared is None else shared
    asked = [as_context(turn) for turn in with_system(record, chosen[:shared])]
    answers = chosen[shared:], rejected[shared:]
    _check_answers(*answers)
    return [*asked, *answers[0]], [*asked, *answers[1]]


def chosen_side(record: RecordValues) -> list[Message]:
    """The chosen conversation of a record."""
    return preference_sides(record)[0]


def join_labelled(records: Records) -> Records:
    """Records of a prompt, a completion and a label (KTO) joined to pairs by equal prompt, each with one desirable and
    one undesirable answer in the order of the file.

    A pair has the fields of its desirable record, and `chosen` and `rejected`. A record without a partner is rejected.
    Raises `SourceUnreadable` if there are more records than fit in memory.
    """
    waiting: dict[str, tuple[deque[SourceRecord], deque[SourceRecord]]] = defaultdict(lambda: (deque(), deque()))
    size = 0
    for record in records:
        if isinstance(record, Rejected):
            yield record
            continue
        size += len(record.original)
        if size > _MOST_BYTES:
            raise SourceUnreadable(
                f"The records take more than {_MOST_BYTES:,} bytes. Split the file, keeping each prompt in one part."
            )
        try:
            is_desirable = _verdict(record.fields)
        except RecordUnusable as unusable:
            yield unusable.at(record.line)
            continue
        prompt = json.dumps([record.fields.get(name) for name in ("prompt", "system", "tools")], sort_keys=True)
        desirable, undesirable = waiting[prompt]
        (desirable if is_desirable else undesirable).append(record)
        if desirable and undesirable:
            yield _joined(desirable.popleft(), undesirable.popleft())
    yield from _without_partner(waiting.values())


def _without_partner(waiting: Any) -> Iterator[Rejected]:
    for desirable, undesirable in waiting:
        for record in (*desirable, *undesirable):
            kind = "desirable" if desirable else "undesirable"
            yield RecordUnusable("no partner", f"only {kind} answers to its prompt are left").at(record.line)


def _joined(desirable: SourceRecord, undesirable: SourceRecord) -> SourceRecord | Rejected:
    fields = {
        **desirable.fields,
        "chosen": desirable.fields["completion"],
        "rejected": undesirable.fields["completion"],
    }
    try:
        return SourceRecord(desirable.line, as_json(fields), fields)
    except RecordUnusable as unusable:
        return unusable.at(desirable.line)


def _verdict(fields: Fields) -> bool:
    """Whether a record's answer is desirable. Raises `RecordUnusable` for a record that is not labelled."""
    for name in ("prompt", "completion", "label"):
        if fields.get(name) is None:
            raise RecordUnusable("missing field", f"no {name}; found {', '.join(fields) or 'none'}")
    verdict = _VERDICTS.get(str(fields["label"]).strip().lower())
    if verdict is None:
        raise RecordUnusable("wrong type", f"label is {str(fields['label'])[:40]!r}, not true or false")
    return verdict


def _prompt(record: RecordValues) -> list[Message]:
    """The turns of a record's own prompt; none if it has none."""
    if record["conversations"]:
        return read_turns(record["conversations"], "conversations", record.notices)
    prompt = record["prompt"]
    if is_turns(prompt):
        return read_turns(as_list(prompt), "prompt", record.notices)
    text, context = read_text(prompt, "prompt"), read_text(record["input"], "input")
    # A transcript that ends where the answer begins, as in HH; markup elsewhere in a prompt is its own text.
    transcript = read_markup(f"{text}x") if text.rstrip().endswith("\nAssistant:") else None
    if transcript:
        return transcript[:-1]
    asked = [Message("user", text), Message("context", context)] if text else [Message("user", context)]
    return [turn for turn in [*history(record["history"]), *asked] if turn.content]


def _conversation(record: RecordValues, name: str, prompt: list[Message]) -> list[Message] | None:
    """One side with its prompt; None for a text without prompt and markup."""
    value = record[name]
    if not is_turns(value):
        text = read_text(value, name)
        return [*prompt, Message("assistant", text)] if prompt else read_markup(text)
    turns = read_turns(as_list(value), name, record.notices)
    if not turns or turns[0].role == "assistant" or not prompt:
        return [*prompt, *turns]
    if prompt[-1] not in turns:
        raise RecordUnusable("unequal prompts", f"{name} begins with another turn than the prompt")
    return turns


def _check_answers(chosen: list[Message], rejected: list[Message]) -> None:
    if any(turn.role not in ("assistant", "tool") for turn in (*chosen, *rejected)):
        raise RecordUnusable("unequal prompts", "the two sides differ before the last reply")
    for name, turns in zip(SIDES, (chosen, rejected), strict=True):
        if not any(turn.text.strip() for turn in turns):
            raise RecordUnusable("empty side" if chosen or rejected else "equal sides", f"{name} has no reply")


def _split_texts(chosen: str, rejected: str) -> Sides:
    """Two texts split behind their common beginning, and before a space there, as TRL's `extract_prompt` does."""
    shortest = min(len(chosen), len(rejected))
    end = next((i for i in range(shortest) if chosen[i] != rejected[i]), shortest)
    end -= end > 0 and chosen[end - 1] == " "
    for name, text in zip(SIDES, (chosen, rejected), strict=True):
        if not text[end:].strip():
            raise RecordUnusable("empty side", f"{name} has nothing but the beginning of the other")
    asked = Message("user", chosen[:end])
    return [asked, Message("assistant", chosen[end:])], [asked, Message("assistant", rejected[end:])]
