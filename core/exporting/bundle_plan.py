"""What a bundle's records share, what a trainer's rules look at in a row, and the reasons that rules can give."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from core.examples import Example


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a trainer leaves a row out (`refuses`) or trains on other than it holds, in words that follow "because"."""

    name: str
    refuses: bool
    sentence: str


REASONS = {
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
            "tools_unreadable",
            True,
            "its descriptions of tools are not a JSON list as this trainer reads it, which stops the loader",
        ),
        Reason(
            "cut_at_max_length",
            False,
            "it is longer than the run's maximum length, so the end of its replies is cut off, as it was in scoring",
        ),
        Reason(
            "ends_without_a_reply",
            False,
            "what stands after its last reply is left off: there is nothing to train on in it",
        ),
        Reason(
            "tool_turns_reworded",
            False,
            "its tool turns are written as a user's: this trainer knows no other way unless its own template is named",
        ),
    )
}
"""Every reason, the refusals first; a row is refused for the first that applies."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a trainer's rules look at in a row: its roles in order, its tools (JSON text or empty), and whether
    scoring had to cut its replies."""

    roles: tuple[str, ...]
    tools: str = ""
    truncated: bool = False

    @classmethod
    def of(cls, example: Example, truncated: bool) -> "Shape":
        """The shape of a conversation."""
        return cls(tuple(message.role for message in example.messages), example.tools, truncated)

    @property
    def ends_without_a_reply(self) -> bool:
        """Whether something stands after the last reply."""
        return self.roles[-1] != "assistant"

    @property
    def turns(self) -> tuple[str, ...]:
        """Roles up to the last reply, without a system turn at the beginning, an input being part of its question."""
        roles = self.roles[: len(self.roles) - self.roles[::-1].index("assistant")]
        roles = roles[1:] if roles[0] == "system" else roles
        joined = (role for i, role in enumerate(roles) if not (role == "context" and i and roles[i - 1] == "user"))
        return tuple("user" if role == "context" else role for role in joined)


@dataclass(frozen=True, slots=True)
class BundlePlan:
    """What all records of a bundle share: how the run turned text into tokens, and what is among its rows."""

    template: str
    max_length: int
    model: str
    several_replies: bool = False
    tools: bool = False
    adapter: str | None = None


@lru_cache(maxsize=256)
def tool_list(tools: str) -> tuple[dict[str, Any], ...] | None:
    """Descriptions of tools as objects, as scoring reads them (one alone is a list of one); None if they are not."""
    try:
        parsed = json.loads(tools) if tools else []
    except ValueError:
        return None
    found = parsed if isinstance(parsed, list) else [parsed]
    return tuple(found) if all(isinstance(tool, dict) for tool in found) else None


def has_parameters(tools: Sequence[dict[str, Any]]) -> bool:
    """Whether every tool has a name and described parameters, which LLaMA-Factory writes out one by one."""
    functions = [tool.get("function") if tool.get("type") == "function" else tool for tool in tools]
    return all(isinstance(f, dict) and isinstance(f.get("name"), str) and _described(f) for f in functions)


def _described(function: dict[str, Any]) -> bool:
    parameters = function.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, dict) else None
    return isinstance(properties, dict) and all(isinstance(value, dict) for value in properties.values())
