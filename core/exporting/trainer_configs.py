"""The config files that go into a bundle: complete enough to start training from, meant to be read and edited.

Values are written as JSON, which YAML reads; keys and values are those of LLaMA-Factory 0.9.5, TRL 1.16 and
axolotl 0.19.
"""

import json
from collections.abc import Mapping
from typing import Any

from core.exporting.bundle_plan import BundlePlan
from core.exporting.chat_templates import FILE_NAME as TEMPLATE_FILE
from core.exporting.chat_templates import jinja_template
from core.scoring.planning import LEARNING_RATES

DATA_FILE = "train.jsonl"
"""Name of the records in every bundle. axolotl guesses a file's type from words anywhere in its path: this has none."""
DATASET_NAME = "curated"
_LORA_RANK = 16
_EPOCHS = 3
_ACCUMULATION = 8
_LLAMA_FACTORY_TEMPLATES = {"alpaca": "alpaca", "plain": "fewshot"}


def llama_factory_files(plan: BundlePlan) -> dict[str, str]:
    """The dataset's entry, with every column and tag named: one that is left out becomes None; and a train config."""
    entry = {
        "file_name": DATA_FILE,
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "system": "system", "tools": "tools"},
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
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "lora_rank": _LORA_RANK,
        "lora_target": "all",
        "dataset_dir": ".",
        "dataset": DATASET_NAME,
        **({"template": template} if template else {}),
        "cutoff_len": plan.max_length,
        "output_dir": "output",
        **_training(),
        "bf16": True,
    }
    head = "Run in this folder: llamafactory-cli train train.yaml"
    if not template:
        head += "\nNo template is named, so the model's own chat template is used."
    return {
        "dataset_info.json": json.dumps({DATASET_NAME: entry}, indent=2, ensure_ascii=False) + "\n",
        "train.yaml": _yaml(head, settings),
    }


def trl_files(plan: BundlePlan) -> dict[str, str]:
    """SFTConfig, ModelConfig and the data set for `trl sft`, and a template with marked replies where one is needed."""
    marked = jinja_template(plan.template, marks_replies=True) if plan.several_replies else None
    settings = {
        "model_name_or_path": plan.model,
        "datasets": [{"path": "json", "data_files": DATA_FILE, "split": "train"}],
        "max_length": plan.max_length,
        **({"assistant_only_loss": True} if plan.several_replies else {"completion_only_loss": True}),
        **({"chat_template_path": TEMPLATE_FILE} if marked else {}),
        "use_peft": True,
        "lora_r": _LORA_RANK,
        "lora_target_modules": ["all-linear"],
        "output_dir": "output",
        **_training(),
    }
    files = {"sft.yaml": _yaml("Run in this folder: trl sft --config sft.yaml", settings)}
    return files | ({TEMPLATE_FILE: marked} if marked else {})


def axolotl_files(plan: BundlePlan) -> dict[str, str]:
    """axolotl's config, and the template of the run where it is not the tokenizer's own."""
    template = jinja_template(plan.template, marks_replies=False)
    dataset = {
        "path": DATA_FILE,
        "ds_type": "json",
        "type": "chat_template",
        "chat_template": "jinja" if template else "tokenizer_default",
        **({"chat_template_jinja": TEMPLATE_FILE} if template else {}),
        "field_messages": "messages",
        "field_tools": "tools",
        "message_property_mappings": {"role": "role", "content": "content"},
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
    if plan.template == "chat":
        head += "\nIf your model ends a turn with another token than its end of text, add it: eot_tokens: ['<end>']"
    return {"axolotl.yaml": _yaml(head, settings)} | ({TEMPLATE_FILE: template} if template else {})


def _training() -> dict[str, Any]:
    """Settings that transformers' trainer knows, whoever wraps it."""
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


def _yaml(head: str, settings: Mapping[str, Any]) -> str:
    lines = [
        f"# {line}" for line in [*head.splitlines(), "A place to start from: LoRA, a small batch; edit it freely."]
    ]
    return "\n".join([*lines, *(f"{key}: {_scalar(value)}" for key, value in settings.items())]) + "\n"


def _scalar(value: Any) -> str:
    # YAML 1.1 takes 2e-05 for text: it wants a point.
    return f"{value:.1e}" if isinstance(value, float) and 0 < value < 0.001 else json.dumps(value, ensure_ascii=False)
