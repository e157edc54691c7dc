"""A TRL bundle read by TRL's own code, as its command line reads it."""

from pathlib import Path
from typing import Any

import pytest


def keep_datasets_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The `datasets` library caches what it reads: in this folder, and without asking the Hub for anything."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "datasets-cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def trl_trainer(folder: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What `trl sft --config sft.yaml` makes in the bundle's folder, for one step on a CPU."""
    from trl import (  # fmt: skip
        DatasetMixtureConfig,
        ModelConfig,
        ScriptArguments,
        SFTConfig,
        SFTTrainer,
        TrlParser,
        get_dataset,
        get_peft_config,
    )

    monkeypatch.chdir(folder)
    here = ["--max_steps", "1", "--bf16", "false", "--use_cpu", "true", "--save_strategy", "no"]
    here += ["--gradient_checkpointing", "false", "--gradient_accumulation_steps", "2", "--output_dir", str(output)]
    parser = TrlParser((ScriptArguments, SFTConfig, ModelConfig, DatasetMixtureConfig))
    _, training, model, mixture = parser.parse_args_and_config(["--config", "sft.yaml", *here])
    return SFTTrainer(
        model=model.model_name_or_path,
        args=training,
        train_dataset=get_dataset(mixture)["train"],
        peft_config=get_peft_config(model),
    )
