"""A conversation as the record that a trainer's loader reads, so that it trains on what was scored.

Sources, read in the trainers' code: LLaMA-Factory 0.9.5 `data/converter.py` and `data/parser.py`, TRL 1.16
`SFTTrainer._prepare_dataset`, axolotl 0.19 `prompt_strategies/chat_template.py`.
"""

import json
from itertools import groupby
from typing import Any

from ..data.examples import Example, Message
from ..encoding.template_turns import chat_messages, folded_system, short_ids, template_turn
from ..encoding.templates import alpaca_turns, plain_text
from .bundle_plan import BundlePlan, tool_list

Record = dict[str, Any]


def llama_factory_record(example: Example, plan: BundlePlan) -> Record:
    """ShareGPT form in OpenAI's words, every column always there: what is missing must be empty, not absent.

    The text is split so that LLaMA-Factory's template around it gives the text that was scored. A thought stands
    inline, where it looks for one; a tool call is a turn of its own role, as JSON.
    """
    messages = _with_system_folded(example.turns, plan)
    system = messages[0].content if messages[0].role == "system" else ""
    turns = messages[1:] if messages[0].role == "system" else messages
    if plan.is_chat:
        found = [_role_and_text(turn, plan) for _, turn in chat_messages(turns)]
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
    """Messages where several replies are scored and none is context, which TRL's config then masks; else prompt and
    completion, the prompt ending before the first scored reply. Never both: TRL would take one and not say which."""
    # As JSON text "null" means no tools to TRL; a real null in the first rows would fix the column's type.
    tools = {"tools": _tools(example, plan, none="null")} if plan.tools and plan.is_chat else {}
    turns, first_scored = _as_messages(example, plan)
    if trl_reads_messages(plan):
        return {"messages": turns, **tools}
    if trl_reads_turns(plan):
        return {"prompt": turns[:first_scored], "completion": turns[first_scored:], **tools}
    # The trainer adds the end-of-text token itself.
    text, places = plain_text(example.turns, plan.template, end_of_turn="")
    ((start, end),) = places[-1].spans
    return {"prompt": text[:start], "completion": text[start:end]}


def trl_pair_record(chosen: Example, rejected: Example, plan: BundlePlan) -> Record:
    """Prompt, chosen and rejected, as turns where a chat template renders them, else as texts; the prompt ends before
    the first scored reply."""
    if not trl_reads_turns(plan):
        texts = [trl_record(example, plan) for example in (chosen, rejected)]
        return {"prompt": texts[0]["prompt"], "chosen": texts[0]["completion"], "rejected": texts[1]["completion"]}
    tools = {"tools": _tools(chosen, plan, none="null")} if plan.tools and plan.is_chat else {}
    turns, first_scored = _as_messages(chosen, plan)
    others, _ = _as_messages(rejected, plan)
    return {"prompt": turns[:first_scored], "chosen": turns[first_scored:], "rejected": others[first_scored:], **tools}


def llama_factory_pair_record(chosen: Example, rejected: Example, plan: BundlePlan) -> Record:
    """ShareGPT form whose turns are the prompt, with one turn for each answer."""
    record, other = llama_factory_record(chosen, plan), llama_factory_record(rejected, plan)
    *asked, answer = record["messages"]
    return {**record, "messages": asked, "chosen": answer, "rejected": other["messages"][-1]}


def trl_reads_messages(plan: BundlePlan) -> bool:
    """Whether TRL gets messages: several replies are scored, and none before the last is context."""
    return plan.several_replies and not plan.context_replies


def trl_reads_turns(plan: BundlePlan) -> bool:
    """Whether TRL gets turns, and not texts."""
    return plan.is_chat or plan.several_replies or plan.context_replies


def trl_first_record(record: Record) -> Record:
    """The first record of a bundle whose turns have more than role and content.

    The `datasets` library takes the form of all messages from the first 10 MB, and stops at the first turn that has
    another; where it sees turns of different forms there, it takes each as it is. So one turn of each list says more
    than others: `train`, which no template reads.
    """
    return {
        key: [{**value[0], "train": key == "completion"}, *value[1:]] if isinstance(value, list) and value else value
        for key, value in record.items()
    }


def axolotl_record(example: Example, plan: BundlePlan) -> Record:
    """Messages; tools as JSON text of a list, which may be empty but not missing. A reply that is not scored says
    `train: false`.

    Where a turn has a key more, messages are JSON text, which axolotl reads as well: its `datasets` library would fill
    in keys that other rows have, or stop.
    """
    tools = {"tools": _tools(example, plan, none="[]")} if plan.tools and plan.is_chat else {}
    turns, _ = _as_messages(example, plan, marks_context=True)
    has_more_keys = plan.details or plan.context_replies
    return {"messages": json.dumps(turns, ensure_ascii=False) if has_more_keys else turns, **tools}


def _as_messages(example: Example, plan: BundlePlan, marks_context: bool = False) -> tuple[list[Record], int]:
    """The turns as dicts, for chat templates as scoring gave them, and the number of the first scored reply among
    them. Only chat templates want an input joined to its question; ours know the role `context`."""
    messages = example.turns
    if plan.is_chat:
        turns = [turn for _, turn in chat_messages(_with_system_folded(messages, plan))]
        turns = short_ids(turns) if plan.short_ids else turns
        records = [template_turn(turn, i, plan.form) for i, turn in enumerate(turns)]
    else:
        turns = list(messages)
        records = [{"role": turn.role, "content": turn.text} for turn in turns]
    if marks_context:
        records = [
            {**record, "train": False} if turn.is_context else record
            for record, turn in zip(records, turns, strict=True)
        ]
    return records, next(i for i, turn in enumerate(turns) if turn.is_scored)


def _with_system_folded(messages: tuple[Message, ...], plan: BundlePlan) -> tuple[Message, ...]:
    """The turns as scoring gave them to a template without a system role."""
    if plan.form.has_system or messages[0].role != "system":
        return messages
    return tuple(turn for _, turn in folded_system(chat_messages(messages)))


def _role_and_text(turn: Message, plan: BundlePlan) -> tuple[str, str]:
    """A turn for LLaMA-Factory: calls are JSON, after whatever stands before them."""
    if not turn.tool_calls or plan.form.arguments == "content":
        return turn.role, turn.text
    calls = [json.loads(call.text) for call in turn.tool_calls]
    text = json.dumps(calls if len(calls) > 1 else calls[0], ensure_ascii=False)
    before = Message("assistant", turn.content, turn.thought).text
    if not turn.content:
        return "function_call", before + text
    return "function_call", f"{before}<tool_call>{text}</tool_call>"


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
    tools = tool_list(example.tools) if plan.is_chat else ()
    return json.dumps(tools, ensure_ascii=False) if tools else none
