"""The table of supported trainers: name, files, command, and the rows that each cannot use.

To add one, add a `Trainer` here; the command line, the Export page, the preflight and tests read this table.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..data.errors import ExportFailed
from ..data.examples import Example
from .bundle_plan import BundlePlan, ConversationShape, has_parameters, tool_list
from .trainer_configs import (
    DATA_FILE,
    axolotl_files,
    llama_factory_files,
    masks_history,
    trl_files,
    trl_pair_files,
    trl_template,
)
from .trainer_records import (
    axolotl_record,
    llama_factory_pair_record,
    llama_factory_record,
    trl_first_record,
    trl_pair_record,
    trl_reads_messages,
    trl_reads_turns,
    trl_record,
)

DEFAULT_TRAINER = "llama-factory"


@dataclass(frozen=True, slots=True)
class Trainer:
    """One trainer. `record` converts an example (None: original records are written unchanged). `objections` yields
    the names of `TRAINER_REASONS` that apply to a row; `notices` yields sentences about the whole bundle. `command` is
    run in the bundle's folder. `first_record` changes the first record of a bundle whose turns have more than a role
    and a content. `pair_record` converts the two examples of a preference pair, for a trainer that reads nothing else.
    """

    name: str
    label: str
    summary: str
    command: str
    record: Callable[[Example, BundlePlan], dict[str, Any]] | None
    files: Callable[[BundlePlan], dict[str, str]]
    objections: Callable[[ConversationShape, BundlePlan], Iterator[str]]
    notices: Callable[[BundlePlan], Iterator[str]]
    first_record: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    pair_record: Callable[[Example, Example, BundlePlan], dict[str, Any]] | None = None

    @property
    def keeps_records(self) -> bool:
        """Whether original records are written unchanged."""
        return self.record is None and self.pair_record is None


def _llama_factory_objections(shape: ConversationShape, plan: BundlePlan) -> Iterator[str]:
    yield from _turns_out_of_order(shape)
    if shape.has_context_replies and not masks_history(plan):
        yield "replies_not_scored"
    yield from _tools_unreadable(shape, plan, needs_parameters=True)
    if masks_history(plan) and shape.truncated and shape.turns.count("assistant") > 1:
        yield "cut_at_the_beginning"
    else:
        yield from _cut(shape)
    yield from _left_off(shape)
    yield from _reworded(shape, plan)


def _llama_factory_pair_objections(shape: ConversationShape, plan: BundlePlan) -> Iterator[str]:
    yield from _turns_out_of_order(shape)
    if shape.has_several_replies:
        yield "answer_of_several_turns"
    yield from _tools_unreadable(shape, plan, needs_parameters=True)
    yield from _cut(shape)
    yield from _left_off(shape)
    yield from _reworded(shape, plan)


def _turns_out_of_order(shape: ConversationShape) -> Iterator[str]:
    if shape.turns[0] == "assistant":
        yield "begins_with_a_reply"
    if any(role not in (("user", "tool"), ("assistant",))[i % 2] for i, role in enumerate(shape.turns)):
        yield "turns_out_of_order"


def _reworded(shape: ConversationShape, plan: BundlePlan) -> Iterator[str]:
    # LLaMA-Factory's ChatML is the one that writes a turn of a tool's own.
    if "tool" in shape.turns and plan.template != "chatml":
        yield "tool_turns_reworded"
    if plan.is_chat and (shape.tools or (shape.has_calls and plan.form.arguments != "content")):
        yield "tools_reworded"


def _trl_pair_objections(shape: ConversationShape, plan: BundlePlan) -> Iterator[str]:
    if shape.begins_with_a_scored_reply:
        yield "begins_with_a_reply"
    yield from _axolotl_objections(shape, plan)


def _trl_objections(shape: ConversationShape, plan: BundlePlan) -> Iterator[str]:
    if trl_reads_turns(plan) and not trl_reads_messages(plan) and shape.begins_with_a_scored_reply:
        yield "begins_with_a_reply"
    if shape.has_context_after_scored:
        yield "replies_not_scored"
    yield from _tools_unreadable(shape, plan)
    if shape.has_calls and plan.form.content_of_calls is None:
        yield "calls_not_written"
    yield from _cut(shape)
    yield from _left_off(shape)


def _axolotl_objections(shape: ConversationShape, plan: BundlePlan) -> Iterator[str]:
    yield from _tools_unreadable(shape, plan)
    if shape.has_calls and plan.form.content_of_calls is None:
        yield "calls_not_written"
    yield from _cut(shape)
    yield from _left_off(shape)


def _tools_unreadable(shape: ConversationShape, plan: BundlePlan, needs_parameters: bool = False) -> Iterator[str]:
    # Only chat templates show tools to the model; other templates omit them, as in scoring.
    tools = tool_list(shape.tools) if plan.is_chat else ()
    if tools is None or (needs_parameters and not has_parameters(tools)):
        yield "tools_unreadable"


def _cut(shape: ConversationShape) -> Iterator[str]:
    if shape.truncated:
        yield "cut_at_max_length"


def _left_off(shape: ConversationShape) -> Iterator[str]:
    if shape.ends_without_a_reply:
        yield "ends_without_a_reply"


def _base_notices(plan: BundlePlan, template: str | None = None) -> Iterator[str]:
    """Notices about the base and its template, for every trainer. `template`: the template text in the bundle."""
    if plan.adapter:
        yield (
            f"The run's base is the adapter {plan.adapter} on {plan.model}. Merge the two and set the merged model in "
            "the config."
        )
    if plan.day and (template is None or template != plan.dated_template):
        yield (
            f"The chat template inserts the current date. Scoring used {plan.day}; training will use the date on which "
            "it runs, so the texts differ."
        )
    if not plan.form.has_system:
        yield "The chat template has no system role, so system prompts are put at the start of the first user turn."


def _llama_factory_notices(plan: BundlePlan) -> Iterator[str]:
    yield from _base_notices(plan)
    if plan.template == "chat" and plan.shipped_template:
        yield (
            "LLaMA-Factory cannot read a chat template from a file. Copy chat_template.jinja, the template used for "
            "scoring, into a copy of the model's folder, and set that folder in train.yaml."
        )
    if plan.template == "chat":
        yield (
            "train.yaml sets no template, so LLaMA-Factory derives the template from the model. It prints the first "
            "example: if that looks wrong, set one of LLaMA-Factory's templates in train.yaml, such as template: qwen."
        )
    elif plan.template == "chatml":
        yield (
            "LLaMA-Factory's chatml adds <|im_start|> and <|im_end|> as special tokens. If the tokenizer does not have "
            "them, scoring tokenised them as plain text."
        )
    else:
        yield "LLaMA-Factory's template adds no start-of-text token; scoring added one if the tokenizer does."
    if plan.template == "plain":
        yield "LLaMA-Factory writes two line breaks after each reply; it has no template without them."


def _trl_notices(plan: BundlePlan) -> Iterator[str]:
    yield from _base_notices(plan, trl_template(plan))
    if plan.several_replies and plan.template == "chat":
        yield (
            "Some rows have several replies, so the chat template must mark replies with {% generation %}. TRL has "
            "such templates for common model families; for other models it stops with an error."
        )
    if plan.details and plan.is_chat:
        yield (
            "Some turns have reasoning, tool calls or ids, so version 5 or later of the datasets library is needed: "
            "earlier versions add missing keys from other rows."
        )


def _trl_pair_notices(plan: BundlePlan) -> Iterator[str]:
    template = trl_template(plan)
    yield from _base_notices(plan, template)
    if template:
        yield (
            "trl dpo takes the chat template from the tokenizer. Copy chat_template.jinja, the template used for "
            "scoring, into a copy of the model's folder, and set that folder in dpo.yaml."
        )


def _axolotl_notices(plan: BundlePlan) -> Iterator[str]:
    yield from _base_notices(plan, plan.shipped_template)
    if plan.is_chat:
        yield (
            "axolotl trains on the end of a turn only if the chat template ends turns with the tokenizer's end-of-text "
            "token. If yours uses another token, add it to eot_tokens in axolotl.yaml."
        )


def _plain_notices(plan: BundlePlan) -> Iterator[str]:
    if plan.replies == "last":
        yield "Only the last reply of each conversation was scored. Configure your trainer to train on that reply only."
    elif plan.context_replies:
        yield "Some replies are not scored. A trainer that ignores their weights also trains on them."


def _no_objections(_shape: ConversationShape, _plan: BundlePlan) -> Iterator[str]:
    yield from ()


TRAINERS = {
    trainer.name: trainer
    for trainer in (
        Trainer(
            "llama-factory",
            "LLaMA-Factory",
            "ShareGPT records with a complete entry in dataset_info.json, and a training config.",
            "llamafactory-cli train train.yaml",
            llama_factory_record,
            llama_factory_files,
            _llama_factory_objections,
            _llama_factory_notices,
        ),
        Trainer(
            "trl",
            "TRL (SFTTrainer)",
            "Prompt-completion records, or messages if a row has several replies, and a config for trl sft. Only "
            "scored replies are trained on.",
            "trl sft --config sft.yaml",
            trl_record,
            trl_files,
            _trl_objections,
            _trl_notices,
            trl_first_record,
        ),
        Trainer(
            "axolotl",
            "axolotl",
            "Messages for its chat_template dataset type, and a config. Only scored replies are trained on.",
            "axolotl train axolotl.yaml",
            axolotl_record,
            axolotl_files,
            _axolotl_objections,
            _axolotl_notices,
        ),
        Trainer(
            "plain",
            "Plain JSON Lines",
            "The original records, byte for byte, for any other trainer. Compatibility is not checked.",
            f"python -c \"import datasets; print(datasets.load_dataset('json', data_files='{DATA_FILE}'))\"",
            None,
            lambda _plan: {},
            _no_objections,
            _plain_notices,
        ),
        Trainer(
            "trl-dpo",
            "TRL (DPOTrainer)",
            "Preference pairs as prompt, chosen and rejected, and a config for trl dpo.",
            "trl dpo --config dpo.yaml",
            None,
            trl_pair_files,
            _trl_pair_objections,
            _trl_pair_notices,
            trl_first_record,
            trl_pair_record,
        ),
        Trainer(
            "llama-factory-dpo",
            "LLaMA-Factory (DPO)",
            "Preference pairs as ShareGPT records with a ranking entry in dataset_info.json, and a config for DPO.",
            "llamafactory-cli train train.yaml",
            None,
            lambda plan: llama_factory_files(plan, of_pairs=True),
            _llama_factory_pair_objections,
            _llama_factory_notices,
            pair_record=llama_factory_pair_record,
        ),
    )
}


def trainer_named(name: str) -> Trainer:
    """The trainer of that name. Raises `ExportFailed`, which lists the valid names."""
    if name not in TRAINERS:
        raise ExportFailed(f"Unknown trainer {name!r}. Must be one of: {', '.join(TRAINERS)}.")
    return TRAINERS[name]
