"""The trainers that a bundle can be made for: one table of name, files, command, and what each cannot take.

To add one, add a `Trainer` here; the command line, the Export page, the preflight and tests read this table.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from core.errors import ExportFailed
from core.examples import Example
from core.exporting.bundle_plan import BundlePlan, Shape, has_parameters, tool_list
from core.exporting.trainer_configs import DATA_FILE, axolotl_files, llama_factory_files, trl_files
from core.exporting.trainer_records import axolotl_record, llama_factory_record, trl_record

DEFAULT_TRAINER = "llama-factory"


@dataclass(frozen=True, slots=True)
class Trainer:
    """One trainer. `record` is None where the original records go out as they are; `objections` yields names of
    `REASONS` that apply to a row, `notices` what holds for the whole bundle; `command` is run in its folder."""

    name: str
    label: str
    summary: str
    command: str
    record: Callable[[Example, BundlePlan], dict[str, Any]] | None
    files: Callable[[BundlePlan], dict[str, str]]
    objections: Callable[[Shape, BundlePlan], Iterator[str]]
    notices: Callable[[BundlePlan], Iterator[str]]


def _llama_factory_objections(shape: Shape, plan: BundlePlan) -> Iterator[str]:
    turns = shape.turns
    if turns[0] == "assistant":
        yield "begins_with_a_reply"
    if any(role not in (("user", "tool"), ("assistant",))[i % 2] for i, role in enumerate(turns)):
        yield "turns_out_of_order"
    yield from _tools_unreadable(shape, plan, needs_parameters=True)
    yield from _shortened(shape)
    if "tool" in turns:
        yield "tool_turns_reworded"


def _trl_objections(shape: Shape, plan: BundlePlan) -> Iterator[str]:
    if plan.template == "chat" and not plan.several_replies and shape.roles[0] == "assistant":
        yield "begins_with_a_reply"
    yield from _tools_unreadable(shape, plan)
    yield from _shortened(shape)


def _axolotl_objections(shape: Shape, plan: BundlePlan) -> Iterator[str]:
    yield from _tools_unreadable(shape, plan)
    yield from _shortened(shape)


def _tools_unreadable(shape: Shape, plan: BundlePlan, needs_parameters: bool = False) -> Iterator[str]:
    # Only chat templates show tools to the model; for the others they are left off, as in scoring.
    tools = tool_list(shape.tools) if plan.template == "chat" else ()
    if tools is None or (needs_parameters and not has_parameters(tools)):
        yield "tools_unreadable"


def _shortened(shape: Shape) -> Iterator[str]:
    if shape.truncated:
        yield "cut_at_max_length"
    if shape.ends_without_a_reply:
        yield "ends_without_a_reply"


def _adapter_notice(plan: BundlePlan) -> Iterator[str]:
    if plan.adapter:
        yield (
            f"The run's base is the adapter {plan.adapter} on {plan.model}: merge the two, and name the merged model "
            "in the config."
        )


def _llama_factory_notices(plan: BundlePlan) -> Iterator[str]:
    yield from _adapter_notice(plan)
    if plan.template == "chat":
        yield (
            "No template is named in train.yaml, so LLaMA-Factory takes the model's own chat template apart. It prints "
            "the first example: if that looks wrong, name the template of its own that fits (template: qwen, say)."
        )
    else:
        yield "LLaMA-Factory's template puts no start-of-text token first, which scoring had if the tokenizer adds one."
    if plan.template == "plain":
        yield "LLaMA-Factory writes two line breaks between a reply and its end: it has no template without them."


def _trl_notices(plan: BundlePlan) -> Iterator[str]:
    yield from _adapter_notice(plan)
    if plan.several_replies and plan.template == "chat":
        yield (
            "Some rows have several replies, so the model's chat template must mark replies with {% generation %}. TRL "
            "brings such templates for the common families, and stops with a sentence where it has none."
        )


def _axolotl_notices(plan: BundlePlan) -> Iterator[str]:
    yield from _adapter_notice(plan)
    if plan.template == "chat":
        yield (
            "axolotl trains the end of a reply where the chat template ends turns with the tokenizer's end of text. If "
            "yours ends them with another token, name it in axolotl.yaml under eot_tokens."
        )


def _no_objections(_shape: Shape, _plan: BundlePlan) -> Iterator[str]:
    yield from ()


def _no_notices(_plan: BundlePlan) -> Iterator[str]:
    yield from ()


TRAINERS = {
    trainer.name: trainer
    for trainer in (
        Trainer(
            "llama-factory",
            "LLaMA-Factory",
            "ShareGPT records with their complete entry in dataset_info.json, and a train config.",
            "llamafactory-cli train train.yaml",
            llama_factory_record,
            llama_factory_files,
            _llama_factory_objections,
            _llama_factory_notices,
        ),
        Trainer(
            "trl",
            "TRL (SFTTrainer)",
            "Prompt and completion, or messages where a row has several replies, and a config for trl sft; "
            "only replies are trained on.",
            "trl sft --config sft.yaml",
            trl_record,
            trl_files,
            _trl_objections,
            _trl_notices,
        ),
        Trainer(
            "axolotl",
            "axolotl",
            "Messages for its chat_template type, and a config; only replies are trained on.",
            "axolotl train axolotl.yaml",
            axolotl_record,
            axolotl_files,
            _axolotl_objections,
            _axolotl_notices,
        ),
        Trainer(
            "plain",
            "Plain JSON Lines",
            "The original records byte for byte, for any other trainer; what it does with them is not checked.",
            f"python -c \"import datasets; print(datasets.load_dataset('json', data_files='{DATA_FILE}'))\"",
            None,
            lambda _plan: {},
            _no_objections,
            _no_notices,
        ),
    )
}


def trainer_named(name: str) -> Trainer:
    """The trainer of that name. Raises `ExportFailed` naming those there are."""
    if name not in TRAINERS:
        raise ExportFailed(f"Unknown trainer {name!r}. Must be one of: {', '.join(TRAINERS)}.")
    return TRAINERS[name]
