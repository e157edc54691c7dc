"""The config files of a bundle: complete enough to start training, meant to be read and edited.

Keys and values are those of LLaMA-Factory 0.9.5, TRL 1.16 and axolotl 0.19.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

import yaml

from ..data.training_methods import LEARNING_RATES
from .bundle_plan import BundlePlan
from .chat_templates import FILE_NAME as TEMPLATE_FILE
from .chat_templates import jinja_template, marks_replies
from .trainer_records import trl_reads_messages, trl_reads_turns

DATA_FILE = "train.jsonl"
"""Name of the data file in every bundle. axolotl guesses a file's type from words in its path; this name has none."""
DATASET_NAME = "curated"
_LORA_RANK = 16
_EPOCHS = 3
_ACCUMULATION = 8
_DPO = {"learning_rate": 5e-6}
"""What differs from supervised fine-tuning; the rate is that of LLaMA-Factory's own example of DPO with LoRA."""
_DPO_BETA = 0.1
_LLAMA_FACTORY_TEMPLATES = {"alpaca": "alpaca", "plain": "fewshot", "chatml": "chatml"}


def masks_history(plan: BundlePlan) -> bool:
    """Whether LLaMA-Factory trains on the last reply only: only if every row has just one scored reply."""
    return plan.context_replies and not plan.several_replies


def llama_factory_files(plan: BundlePlan, of_pairs: bool = False) -> dict[str, str]:
    """The dataset entry with every column and tag (missing ones become None), and a training config. `of_pairs`: for
    DPO."""
    answers = {"chosen": "chosen", "rejected": "rejected"} if of_pairs else {}
    entry = {
        "file_name": DATA_FILE,
        **({"ranking": True} if of_pairs else {}),
        "formatting": "sharegpt",
        "columns": {"messages": "messages", **answers, "system": "system", "tools": "tools"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "observation_tag": "tool",
            "function_tag": "function_call",
            "system_tag": "system",
        },
    }
    template = _LLAMA_FACTORY_TEMPLATES.get(plan.template)
    settings = {
        "model_name_or_path": plan.model,
        **({"stage": "dpo", "pref_beta": _DPO_BETA, "pref_loss": "sigmoid"} if of_pairs else {"stage": "sft"}),
        "do_train": True,
        "finetuning_type": "lora",
        "lora_rank": _LORA_RANK,
        "lora_target": "all",
        "dataset_dir": ".",
        "dataset": DATASET_NAME,
        **({"template": template} if template else {}),
        **({"mask_history": True} if masks_history(plan) and not of_pairs else {}),
        # null keeps reasoning, and does not train on an empty one that the template adds.
        **({} if template else {"enable_thinking": None}),
        "cutoff_len": plan.max_length,
        "output_dir": "output",
        **_training(),
        **(_DPO if of_pairs else {}),
        "bf16": True,
    }
    head = "Run in this folder: llamafactory-cli train train.yaml"
    if not template:
        head += "\nNo template is set, so LLaMA-Factory derives it from the model."
    return {
        "dataset_info.json": json.dumps({DATASET_NAME: entry}, indent=2, ensure_ascii=False) + "\n",
        "train.yaml": _yaml(head, settings),
        **({TEMPLATE_FILE: plan.shipped_template} if plan.shipped_template and not template else {}),
    }


def trl_template(plan: BundlePlan) -> str | None:
    """The template text to include in a bundle for TRL; None if the model's own is used or none is needed."""
    if plan.template != "chat":
        return jinja_template(plan.template, plan.several_replies) if trl_reads_turns(plan) else None
    if plan.several_replies and not marks_replies(plan.shipped_template or ""):
        # TRL marks replies itself in templates whose exact text it knows.
        return plan.own_template
    return plan.shipped_template


def trl_files(plan: BundlePlan) -> dict[str, str]:
    """The config for `trl sft` (SFTConfig, ModelConfig, dataset), and the template if it is not the tokenizer's own.

    If several replies are trained on, the template marks replies. If some replies are context, completions start at
    the first scored reply and both masks apply.
    """
    template = trl_template(plan)
    loss = {"completion_only_loss": not trl_reads_messages(plan), "assistant_only_loss": plan.several_replies}
    masks = {name: True for name, is_on in loss.items() if is_on}
    return _trl_files(plan, "sft", masks | ({"chat_template_path": TEMPLATE_FILE} if template else {}), {})


def trl_pair_files(plan: BundlePlan) -> dict[str, str]:
    """The config for `trl dpo` (DPOConfig, ModelConfig, dataset), and the template if it is not the tokenizer's own."""
    return _trl_files(plan, "dpo", {"beta": _DPO_BETA}, _DPO)


def _trl_files(plan: BundlePlan, command: str, own: dict[str, Any], training: dict[str, Any]) -> dict[str, str]:
    """The config for one of TRL's commands, with settings of its `own` and what differs in `training`, and the
    template if it is not the tokenizer's own."""
    settings = {
        "model_name_or_path": plan.model,
        "datasets": [{"path": "json", "data_files": DATA_FILE, "split": "train"}],
        "max_length": plan.max_length,
        **own,
        "use_peft": True,
        "lora_r": _LORA_RANK,
        "lora_target_modules": ["all-linear"],
        "output_dir": "output",
        **_training(),
        **training,
    }
    config = f"{command}.yaml"
    files = {config: _yaml(f"Run in this folder: trl {command} --config {config}", settings)}
    return files | ({TEMPLATE_FILE: template} if (template := trl_template(plan)) else {})


def axolotl_files(plan: BundlePlan) -> dict[str, str]:
    """The axolotl config, and the run's template if it is not the tokenizer's own."""
    template = jinja_template(plan.template, with_marks=False) or plan.shipped_template
    dataset = {
        "path": DATA_FILE,
        "ds_type": "json",
        "type": "chat_template",
        "chat_template": "jinja" if template else "tokenizer_default",
        **({"chat_template_jinja": TEMPLATE_FILE} if template else {}),
        "field_messages": "messages",
        "field_tools": "tools",
        "message_property_mappings": {"role": "role", "content": "content"},
        **({"message_field_training": "train"} if plan.context_replies else {}),
        "roles_to_train": ["assistant"],
        "train_on_eos": "turn",
    }
    settings = {
        "base_model": plan.model,
        "datasets": [dataset],
        "dataset_prepared_path": "prepared",
        "val_set_size": 0,
        "sequence_len": plan.max_length,
        "excess_length_strategy": "truncate",
        "train_on_inputs": False,
        "adapter": "lora",
        "lora_r": _LORA_RANK,
        "lora_alpha": 2 * _LORA_RANK,
        "lora_target_linear": True,
        "output_dir": "output",
        "micro_batch_size": 1,
        "gradient_accumulation_steps": _ACCUMULATION,
        "num_epochs": _EPOCHS,
        "learning_rate": LEARNING_RATES["lora"],
        "lr_scheduler": "cosine",
        "optimizer": "adamw_torch",
        "bf16": "auto",
        "logging_steps": 10,
    }
    head = "Run in this folder: axolotl train axolotl.yaml"
    if plan.is_chat:
        head += "\nIf your model ends turns with a token other than end-of-text, add it: eot_tokens: ['<end>']"
    return {"axolotl.yaml": _yaml(head, settings)} | ({TEMPLATE_FILE: template} if template else {})


def _training() -> dict[str, Any]:
    """Settings of transformers' Trainer, shared by the trainers that use it."""
    return {
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": _ACCUMULATION,
        "num_train_epochs": float(_EPOCHS),
        "learning_rate": LEARNING_RATES["lora"],
        "lr_scheduler_type": "cosine",
        "logging_steps": 10,
        "save_strategy": "epoch",
        "report_to": "none",
        "seed": 0,
    }


class _Quoted(yaml.SafeDumper):  # type: ignore[misc]  # PyYAML has no types
    """Writes every text in double quotes, in which YAML can escape every character: of a text without quotes, or in
    single ones, a reader makes line breaks of U+0085, U+2028 and U+2029, and refuses other control characters."""


_Quoted.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def _yaml(head: str, settings: Mapping[str, Any]) -> str:
    lines = [f"# {line}" for line in [*head.splitlines(), "Starting point: LoRA with a small batch. Edit as needed."]]
    return "\n".join([*lines, *(f"{key}: {_value(value)}" for key, value in settings.items())]) + "\n"


def _value(value: Any) -> str:
    """A value on one line."""
    text: str = yaml.dump(
        value, Dumper=_Quoted, default_flow_style=True, allow_unicode=True, sort_keys=False, width=sys.maxsize
    )
    return text.removesuffix("...\n").rstrip("\n")
