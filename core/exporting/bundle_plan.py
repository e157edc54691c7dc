"""What a bundle's records share, what a trainer's rules look at in a row, and the reasons that rules can give."""

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
    """Why a trainer leaves a row out (`refuses`) or trains on other than it holds, in words that follow "because"."""

    name: str
    refuses: bool
    sentence: str


TRAINER_REASONS = {
    reason.name: reason
    for reason in (
        Reason("begins_with_a_reply", True, "it begins with a reply, so there is no prompt before it"),
        Reason(
            "turns_out_of_order",
            True,
            "its turns do not go back and forth between a question (or a tool's result) and a reply, so the loader "
            "drops it",
        ),
        Reason(
            "replies_not_scored",
            True,
            "it has a reply that is not scored, and this trainer cannot leave that one out of training",
        ),
        Reason(
            "tools_unreadable",
            True,
            "its descriptions of tools are not a JSON list as this trainer reads it, which stops the loader",
        ),
        Reason(
            "calls_not_written",
            True,
            "it calls a tool, which the chat template writes only for a content of null, and in training transformers "
            "hands a template no null",
        ),
        Reason(
            "cut_at_max_length",
            False,
            "it is longer than the run's maximum length, so the end of its replies is cut off, as it was in scoring",
        ),
        Reason(
            "cut_at_the_beginning",
            False,
            "it is longer than the run's maximum length, and this trainer cuts earlier turns where scoring cut the end",
        ),
        Reason(
            "ends_without_a_reply",
            False,
            "what stands after its last scored reply is left off: there is nothing to train on in it",
        ),
        Reason(
            "tool_turns_reworded",
            False,
            "its tool turns are written as a user's: this trainer knows no other way unless its own template is named",
        ),
        Reason(
            "tools_reworded",
            False,
            "its tools and tool calls are written in LLaMA-Factory's own words, not in the model's, unless a template "
            "of its own that fits is named",
        ),
    )
}
"""Every reason, the refusals first; a row is refused for the first that applies."""


@dataclass(frozen=True, slots=True)
class ConversationShape:
    """What a trainer's rules look at in a row: its roles in order, its tools (JSON text or empty), whether scoring
    had to cut its replies, and of each turn what it has besides a role and a content (names of `Message`'s fields;
    no turn has more where there are none)."""

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
        """Whether something stands after the last scored reply."""
        return self._scored[-1] != len(self.roles) - 1

    @property
    def turns(self) -> tuple[str, ...]:
        """Roles up to the last scored reply, without a system turn at the beginning, an input being part of its
        question."""
        roles = self.roles[: self._scored[-1] + 1]
        roles = roles[1:] if roles[0] == "system" else roles
        joined = (role for i, role in enumerate(roles) if not (role == "context" and i and roles[i - 1] == "user"))
        return tuple("user" if role == "context" else role for role in joined)

    @property
    def begins_with_a_scored_reply(self) -> bool:
        """Whether nothing stands before the first scored reply."""
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
        """Whether a reply that is not scored stands between two that are."""
        return self.roles[self._scored[0] : self._scored[-1] + 1].count("assistant") > len(self._scored)

    @property
    def has_calls(self) -> bool:
        """Whether a turn calls a tool."""
        return any("tool_calls" in fields for fields in self.fields)

    def with_last_reply_alone(self) -> "ConversationShape":
        """The shape where only the last reply is scored."""
        fields = list(self.fields or ((),) * len(self.roles))
        for turn in self._scored[:-1]:
            fields[turn] = (*fields[turn], "is_context")
        return replace(self, fields=tuple(fields) if any(fields) else ())

    @property
    def _scored(self) -> list[int]:
        """Numbers of the scored replies: every conversation has one."""
        fields = self.fields or ((),) * len(self.roles)
        return [i for i, role in enumerate(self.roles) if role == "assistant" and "is_context" not in fields[i]]


def with_last_reply_alone(example: Example) -> Example:
    """The conversation with every reply but the last scored one as context."""
    *before, last = example.turns
    messages = (replace(turn, is_context=True) if turn.role == "assistant" else turn for turn in before)
    return Example((*messages, last), example.tools)


@dataclass(frozen=True, slots=True)
class BundlePlan:
    """What all records of a bundle share: how the run turned text into tokens, and what is among its rows.

    `several_replies`: a row has more than one scored reply; `context_replies`: a row has one that is not scored before
    its last; `details`: the template reads more of a turn than a role and a content. `form` is what the chat template
    reads its messages in, `short_ids` whether it wants ids of calls in nine characters. `own_template` is the text of a
    chat template that is not the base's own; `day` (ISO 8601) the date that the run gave a template which asks for one,
    `dated_template` that template's text with the date written out, None where that cannot be done safely.
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
        """Whether a chat template writes the text: the model's, a file's, or ChatML."""
        return self.template in ("chat", "chatml")

    @property
    def shipped_template(self) -> str | None:
        """The text of a chat template that goes into the bundle, None where the base's own serves."""
        return self.dated_template or self.own_template


@lru_cache(maxsize=256)
def tool_list(tools: str) -> tuple[dict[str, Any], ...] | None:
    """Descriptions of tools as the chat template got them in scoring; None if they are not readable."""
    try:
        return tool_descriptions(tools) or ()
    except TemplateFailed:
        return None


def has_parameters(tools: Sequence[dict[str, Any]]) -> bool:
    """Whether every tool has a name and described parameters, which LLaMA-Factory writes out one by one."""
    functions = [tool.get("function") if tool.get("type") == "function" else tool for tool in tools]
    return all(isinstance(f, dict) and isinstance(f.get("name"), str) and _described(f) for f in functions)


def _described(function: dict[str, Any]) -> bool:
    parameters = function.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, dict) else None
    return isinstance(properties, dict) and all(isinstance(value, dict) for value in properties.values())
