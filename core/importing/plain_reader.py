"""Fast path for most records (plain texts or plain turns), with the same result as the strict path.

orjson needs a third of the strict parser's time, and differs only in what it rejects and in numbers beyond 64 bits. So
a record that it rejects, that has such a number as its domain, or that has other than plain fields goes to the strict
parser and the format's own function, which also report what is wrong with it.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from ..data import settings
from .choices import choice_columns
from .fields import SourceFormat
from .formats import MEDIA_FIELDS, NULL_WORDS, is_verdict
from .roles import CALL_ROLES, ROLE_OF
from .source_options import DomainRule, SourceOptions

_EXACT_BELOW = 1e18
# orjson keeps integers exact up to 2**63, so a smaller float was written as a float.
_PLANS_KEPT = 1_000
_ROLES = {"system": "system", "instruction": "user", "question": "user", "prompt": "user", "input": "context",
          "context": "context", "output": "assistant", "answer": "assistant", "completion": "assistant"}  # fmt: skip
"""The speaker of each text field of a format; all other fields must be empty."""
_TURNS = ("messages", "conversations")
_PLAIN_ROLE_OF = {name: role for name, role in ROLE_OF.items() if name not in CALL_ROLES}
_LONGEST_NULL_WORD = max(map(len, NULL_WORDS))

Turns = list[tuple[str, str]]


class PlainConversation(NamedTuple):
    """A record's domain, its conversation as canonical JSON in UTF-8, and its prompt and response for display."""

    domain: str
    conversation: bytes
    prompt: str
    response: str


@dataclass(frozen=True, slots=True)
class _Plan:
    """How to read records with the same fields: texts by speaker, turns, fields that must be empty, and labels that
    must not mark answers as unwanted."""

    texts: tuple[tuple[str, str], ...]
    turns: str
    empty: tuple[str, ...]
    labels: tuple[str, ...]


class PlainReader:
    """Reads the plain records of one file. `rule` gives their domain (see `DomainRule`)."""

    def __init__(self, source_format: SourceFormat | None, options: SourceOptions, rule: DomainRule) -> None:
        self._format = source_format
        self._rule = rule
        self._domain = None if rule.field else rule.domain_of({})
        self._levels = settings.integer("max_json_depth")
        self._plans: dict[tuple[str, ...], _Plan | None] = {}
        self._usable = source_format is not None and not options.columns

    def read(self, original: bytes) -> PlainConversation | None:
        """The conversation in a record's bytes, or None if the strict path must decide."""
        if not self._usable or not self._is_shallow(original):
            return None
        try:
            fields = orjson.loads(original)
        except orjson.JSONDecodeError:
            return None
        if type(fields) is not dict:
            return None
        names = tuple(fields)
        try:
            plan = self._plans[names]
        except KeyError:
            plan = self._new_plan(names)
        if plan is None:
            return None
        for name in plan.empty:
            if fields[name] not in (None, "", []):
                return None
        for name in plan.labels:
            if is_verdict(fields[name]):
                return None
        if self._rule.field and not _is_exact(fields.get(self._rule.field)):
            return None
        turns = _spoken(plan, fields)
        if not turns:
            return None
        domain = self._rule.domain_of(fields) if self._domain is None else self._domain
        return _conversation(domain, turns)

    def _is_shallow(self, original: bytes) -> bool:
        """Whether there are too few brackets to be too deep. All are counted: of a repeated key only the last
        survives."""
        if original.find(b"[") < 0 and original.find(b"{", 1) < 0:  # faster than counting them
            return self._levels > 0
        return original.count(b"[") + original.count(b"{") <= self._levels

    def _new_plan(self, names: tuple[str, ...]) -> _Plan | None:
        if len(self._plans) >= _PLANS_KEPT:
            self._plans.clear()
        plan = self._plans[names] = _plan(self._format, names) if self._format else None
        return plan


def _plan(source_format: SourceFormat, names: tuple[str, ...]) -> _Plan | None:
    """Where a format's fields are in records with these names; None if such records are never plain."""
    known = dict.fromkeys(names)
    if {"chosen", "rejected"} <= known.keys() or not source_format.has_fields(known):
        return None
    if source_format.join or choice_columns(names):
        return None
    if any(sum(name in known for name in item.all_names) > 1 for item in source_format.fields):
        return None  # which name is used depends on the values
    found = {item.name: item.found_in(known) for item in source_format.fields}
    spoken = {name: found[name] for name in ("system", *found) if found.get(name)}
    texts = tuple((_ROLES[name], column) for name, column in spoken.items() if name in _ROLES)
    # The context follows the question, whatever the order of the format's fields.
    order = ("system", "user", "context", "assistant")
    turns = next((column for name, column in spoken.items() if name in _TURNS), "")
    others = {name: column for name, column in spoken.items() if name not in _ROLES and name not in _TURNS}
    labels = (others.pop("label"),) if "label" in others else ()
    empty = (*others.values(), *(name for name in MEDIA_FIELDS if name in known))
    return _Plan(tuple(sorted(texts, key=lambda text: order.index(text[0]))), turns, empty, labels)


def _spoken(plan: _Plan, fields: dict[str, Any]) -> Turns | None:
    """Roles and texts, as the format's own function gives them; None if the record is not plain."""
    texts: Turns = []
    for role, name in plan.texts:
        text = fields[name]
        if text is None:
            text = ""
        if type(text) is not str:
            return None
        if text:
            if len(text) <= _LONGEST_NULL_WORD and text.strip().lower() in NULL_WORDS:
                return None
            texts.append((role, text))
        elif role in ("user", "assistant"):
            return None
    return _with_turns(texts, fields[plan.turns]) if plan.turns else texts


def _with_turns(system: Turns, listed: Any) -> Turns | None:
    """Turns of role and text, after the record's system prompt unless they begin with a system prompt already."""
    if type(listed) is not list:
        return None
    turns: Turns = []
    for turn in listed:
        if type(turn) is not dict or len(turn) != 2:
            return None
        speaker, text = "role", turn.get("content")
        if text is None:
            speaker, text = "from", turn.get("value")
        role = _PLAIN_ROLE_OF.get(str(turn.get(speaker)))
        if type(text) is not str or role is None or text in ("nan", "NaN"):
            return None
        turns.append((role, text))
    if system and turns and turns[0][0] != "system":
        turns = system + turns
    return [turn for turn in turns if turn[1] or turn[0] not in ("system", "context")]


def _conversation(domain: str, turns: Turns) -> PlainConversation | None:
    """None without an answer or a question: the format's own function reports that."""
    last = len(turns) - 1
    while last >= 0 and turns[last][0] != "assistant":
        last -= 1
    if last < 0:
        return None
    response = turns[last][1]
    if not response or response.isspace():
        return None
    for role, text in turns:
        if role != "assistant" and text and not text.isspace():
            break
    else:
        return None
    prompt = turns[0][1] if last == 1 else "\n\n".join([text for _, text in turns[:last]])
    return PlainConversation(domain, orjson.dumps({"messages": turns, "tools": ""}), prompt, response)


def _is_exact(value: Any) -> bool:
    """Whether a value that orjson parsed is what the strict parser gives."""
    if value is None or isinstance(value, str | int):
        return True
    if isinstance(value, float):
        return -_EXACT_BELOW < value < _EXACT_BELOW
    items = value.values() if isinstance(value, dict) else value
    return all(type(item) is str or _is_exact(item) for item in items)
