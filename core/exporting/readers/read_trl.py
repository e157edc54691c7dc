"""Reads a bundle as `trl sft --config sft.yaml` does, up to the tokens and labels that it trains on.

A tiny model stands in for the base: only its tokenizer decides which tokens are trained on.
"""

import json
import sys
from typing import Any

from transformers import AutoProcessor, LlamaConfig, LlamaForCausalLM
from trl import DatasetMixtureConfig, ModelConfig, ScriptArguments, SFTConfig, SFTTrainer, TrlParser, get_dataset

IGNORED = -100
ROW = "row_in_bundle"


def main(base: str, output: str) -> None:
    """Write the rows that the trainer would train on."""
    here = ["--bf16", "false", "--use_cpu", "true", "--gradient_checkpointing", "false", "--output_dir", "output"]
    parser = TrlParser((ScriptArguments, SFTConfig, ModelConfig, DatasetMixtureConfig))
    _, training, _, mixture = parser.parse_args_and_config(["--config", "sft.yaml", *here])
    data = get_dataset(mixture)["train"]
    tokenizer: Any = AutoProcessor.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    config = LlamaConfig(
        vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, pad_token_id=None
    )
    trainer = SFTTrainer(
        model=LlamaForCausalLM(config),
        args=training,
        processing_class=tokenizer,
        train_dataset=data.add_column(ROW, list(range(len(data)))),
    )
    rows = [
        {
            "row": row[ROW],
            "input_ids": row["input_ids"],
            "trained": [int(label != IGNORED) for label in row["labels"]],
        }
        for row in trainer.train_dataset
    ]
    with open(output, "w", encoding="utf-8") as file:
        json.dump(rows, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
