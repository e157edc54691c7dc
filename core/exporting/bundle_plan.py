"""The plan that a bundle's records share, the shape of a row that trainer rules check, and the table of reasons."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from ..data.errors import TemplateFailed
from ..data.examples import Example
from ..encoding.template_turns import TurnForm, tool_descriptions
from .message_form import USUAL_FORM


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a row is skipped for a trainer (`refuses`) or changed in training. The sentence follows "because"."""

    name: str
    refuses: bool
    sentence: str


TRAINER_REASONS = {
    reason.name: reason
    for reason in (
        Reason("begins_with_a_reply", True, "it starts with a reply, so there is no prompt"),
        Reason(
            "turns_out_of_order",
            True,
            "its turns do not alternate between user (or tool) and assistant, so the loader drops it",
        ),
        Reason(
            "replies_not_scored",
            True,
            "it has a reply that is not scored, and this trainer cannot exclude that reply from training",
        ),
        Reason(
            "tools_unreadable",
            True,
            "its tool descriptions are not a JSON list that this trainer can read, so the loader would stop",
        ),
        Reason(
            "calls_not_written",
            True,
            "it calls a tool, and the chat template writes tool calls only if the content is null, which never "
            "happens in training with transformers",
        ),
        Reason(
            "answer_of_several_turns",
            True,
            "its answer has several turns, and this trainer compares single replies",
        ),
        Reason(
            "without_its_pair",
            True,
            "it is in no preference pair, or the other row of its pair is not selected",
        ),
        Reason("other_side_refused", True, "this trainer cannot use the other row of its preference pair"),
        Reason(
            "cut_at_max_length",
            False,
            "it is longer than the run's maximum length, so the end of its replies is truncated, as in scoring",
        ),
        Reason(
            "cut_at_the_beginning",
            False,
            "it is longer than the run's maximum length; this trainer truncates earlier turns, scoring truncated the "
            "end",
        ),
        Reason(
            "ends_without_a_reply",
            False,
            "the turns after its last scored reply are removed, because nothing in them is trained on",
        ),
        Reason(
            "tool_turns_reworded",
            False,
            "its tool turns are written as user turns, unless you set one of this trainer's own templates",
        ),
        Reason(
            "tools_reworded",
            False,
            "its tools and tool calls are written in LLaMA-Factory's format instead of the model's, unless you set a "
            "matching LLaMA-Factory template",
        ),
    )
}
"""All reasons, those that skip a row first. A row is skipped for the first that applies."""


@dataclass(frozen=True, slots=True)
class ConversationShape:
    """The properties of a row that trainer rules check: its roles in order, its tools (JSON text or empty), whether
    scoring truncated its replies, and for each turn the names of further `Message` fields (empty if no turn has
    any)."""

    roles: tuple[str, ...]
    tools: str = ""
    truncated: bool = False
    fields: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def of(cls, example: Example, truncated: bool) -> "ConversationShape":
        """The shape of a conversation."""
        items = [message.to_fields() for message in example.messages]
        fields = tuple(tuple(item[2]) if len(item) > 2 else () for item in items)
        return cls(tuple(item[0] for item in items), example.tools, truncated, fields if any(fields) else ())

    @property
    def ends_without_a_reply(self) -> bool:
        """Whether there are turns after the last scored reply."""
        return self._scored[-1] != len(self.roles) - 1

    @property
    def turns(self) -> tuple[str, ...]:
        """Roles up to the last scored reply, without a leading system turn; an Alpaca input counts as part of the user
        turn before it."""
        roles = self.roles[: self._scored[-1] + 1]
        roles = roles[1:] if roles[0] == "system" else roles
        joined = (role for i, role in enumerate(roles) if not (role == "context" and i and roles[i - 1] == "user"))
        return tuple("user" if role == "context" else role for role in joined)

    @property
    def begins_with_a_scored_reply(self) -> bool:
        """Whether the first turn is a scored reply."""
        return self._scored[0] == 0

    @property
    def has_several_replies(self) -> bool:
        """Whether more than one reply is scored."""
        return len(self._scored) > 1

    @property
    def has_context_replies(self) -> bool:
        """Whether a reply before the last scored one is not scored."""
        return self.roles[: self._scored[-1]].count("assistant") > len(self._scored) - 1

    @property
    def has_context_after_scored(self) -> bool:
        """Whether a reply between two scored replies is not scored."""
        return self.roles[self._scored[0] : self._scored[-1] + 1].count("assistant") > len(self._scored)

    @property
    def has_calls(self) -> bool:
        """Whether a turn calls a tool."""
        return any("tool_calls" in fields for fields in self.fields)

    def with_last_reply_alone(self) -> "ConversationShape":
        """The shape if only the last reply is scored."""
        fields = list(self.fields or ((),) * len(self.roles))
        for turn in self._scored[:-1]:
            fields[turn] = (*fields[turn], "is_context")
        return replace(self, fields=tuple(fields) if any(fields) else ())

    @property
    def _scored(self) -> list[int]:
        """Indexes of the scored replies; every conversation has at least one."""
        fields = self.fields or ((),) * len(self.roles)
        return [i for i, role in enumerate(self.roles) if role == "assistant" and "is_context" not in fields[i]]


def with_last_reply_alone(example: Example) -> Example:
    """The conversation with every reply but the last scored one as context."""
    *before, last = example.turns
    messages = (replace(turn, is_context=True) if turn.role == "assistant" else turn for turn in before)
    return Example((*messages, last), example.tools)


@dataclass(frozen=True, slots=True)
class BundlePlan:
    """What all records of a bundle share: how the run encoded text, and which features its rows have.

    `several_replies`: some row has more than one scored reply. `context_replies`: some row has a reply that is not
    scored before its last scored one. `details`: the template reads more of a turn than role and content. `form`: the
    message form that the chat template reads. `short_ids`: the template needs tool call ids of nine characters.
    `own_template`: text of a chat template that is not the base's. `day` (ISO 8601): the date given to a template that
    asks for one. `dated_template`: its text with that date inserted, None if this cannot be done safely.
    """

    template: str
    max_length: int
    model: str
    several_replies: bool = False
    tools: bool = False
    adapter: str | None = None
    context_replies: bool = False
    details: bool = False
    replies: str = "all"
    form: TurnForm = USUAL_FORM
    short_ids: bool = False
    own_template: str | None = None
    dated_template: str | None = None
    day: str | None = None

    @property
    def is_chat(self) -> bool:
        """Whether a chat template renders the text: the model's, one from a file, or ChatML."""
        return self.template in ("chat", "chatml")

    @property
    def shipped_template(self) -> str | None:
        """The text of the chat template to include in the bundle, None if the base's own is used."""
        return self.dated_template or self.own_template


@lru_cache(maxsize=256)
def tool_list(tools: str) -> tuple[dict[str, Any], ...] | None:
    """Tool descriptions as given to the chat template in scoring; None if they cannot be read."""
    try:
        return tool_descriptions(tools) or ()
    except TemplateFailed:
        return None


def has_parameters(tools: Sequence[dict[str, Any]]) -> bool:
    """Whether every tool has a name and described parameters, which LLaMA-Factory needs."""
    functions = [tool.get("function") if tool.get("type") == "function" else tool for tool in tools]
    return all(isinstance(f, dict) and isinstance(f.get("name"), str) and _described(f) for f in functions)


def _described(function: dict[str, Any]) -> bool:
    parameters = function.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, dict) else None
    return isinstance(properties, dict) and all(isinstance(value, dict) for value in properties.values())
