"""A conversation as the record that a trainer's loader reads, so that it trains on what was scored.

Sources, read in the trainers' code: LLaMA-Factory 0.9.5 `data/converter.py` and `data/parser.py`, TRL 1.16
`SFTTrainer._prepare_dataset`, axolotl 0.19 `prompt_strategies/chat_template.py`.
"""

import json
from itertools import groupby
from typing import Any

from core.examples import Example, Message
from core.exporting.bundle_plan import BundlePlan, tool_list
from core.template_turns import chat_messages
from core.templates import alpaca_turns, plain_text

Record = dict[str, Any]


def llama_factory_record(example: Example, plan: BundlePlan) -> Record:
    """ShareGPT form in OpenAI's words, every column always there: what is missing must be empty, not absent.

    The text is split so that LLaMA-Factory's template around it gives the text that was scored.
    """
    messages = example.turns
    system = messages[0].content if messages[0].role == "system" else ""
    turns = messages[1:] if messages[0].role == "system" else messages
    if plan.template == "chat":
        found = [(turn.role, turn.text) for _, turn in chat_messages(turns)]
    else:
        separator = "\n\n### Input:\n" if plan.template == "alpaca" else "\n"
        end_of_prompt = "" if plan.template == "alpaca" else "\n"
        found = [
            (
                role,
                separator.join(message.text for message in group) + ("" if role == "assistant" else end_of_prompt),
            )
            for role, group in _exchanges(turns)
        ]
    if plan.template == "alpaca":
        # The head that asks for a response; LLaMA-Factory's own is for rows without an input only.
        system = next(alpaca_turns(messages))[0] + "\n\n"
    elif plan.template == "plain" and system:
        system += "\n"
    return {
        "messages": [{"role": role, "content": content} for role, content in found],
        "system": system,
        "tools": _tools(example, plan, none=""),
    }


def trl_record(example: Example, plan: BundlePlan) -> Record:
    """Prompt and completion where every row has one reply, so that TRL trains on the completion only; else messages,
    which its config then masks. Never both: TRL would take one and not say which."""
    messages = example.turns
    # As JSON text "null" means no tools to TRL; a real null in the first rows would fix the column's type.
    tools = {"tools": _tools(example, plan, none="null")} if plan.tools and plan.template == "chat" else {}
    if plan.several_replies:
        return {"messages": _role_and_content(messages, plan), **tools}
    if plan.template == "chat":
        turns = _role_and_content(messages, plan)
        return {"prompt": turns[:-1], "completion": turns[-1:], **tools}
    # The trainer adds the end-of-text token itself.
    text, places = plain_text(messages, plan.template, end_of_turn="")
    ((start, end),) = places[-1].spans
    return {"prompt": text[:start], "completion": text[start:end]}


def axolotl_record(example: Example, plan: BundlePlan) -> Record:
    """Messages of role and content; tools as JSON text of a list, which may be empty but not missing."""
    tools = {"tools": _tools(example, plan, none="[]")} if plan.tools and plan.template == "chat" else {}
    return {"messages": _role_and_content(example.turns, plan), **tools}


def _role_and_content(messages: tuple[Message, ...], plan: BundlePlan) -> list[Record]:
    """Only chat templates want an input joined to its question; ours know the role `context`."""
    if plan.template == "chat":
        messages = tuple(turn for _, turn in chat_messages(messages))
    return [{"role": message.role, "content": message.text} for message in messages]


def _exchanges(turns: tuple[Message, ...]) -> list[tuple[str, list[Message]]]:
    """Each turn with its role, an input together with its question."""
    number, numbers = -1, []
    for i, turn in enumerate(turns):
        number += not (turn.role == "context" and i and turns[i - 1].role == "user")
        numbers.append(number)
    groups = groupby(zip(numbers, turns, strict=True), key=lambda pair: pair[0])
    joined = [[turn for _, turn in group] for _, group in groups]
    return [("user" if group[0].role == "context" else group[0].role, group) for group in joined]


def _tools(example: Example, plan: BundlePlan, none: str) -> str:
    """Tools as JSON text of a list. Only chat templates show tools to the model, so only they were scored with them."""
    tools = tool_list(example.tools) if plan.template == "chat" else ()
    return json.dumps(tools, ensure_ascii=False) if tools else none
