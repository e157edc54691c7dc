"""Reads a bundle as axolotl does with its chat_template type, up to the tokens and labels that it trains on.

Its loader of whole trainings is left out: what it does to the rows of one data set of this type is the call of the
strategy in batches, and cutting at the maximum length.
"""

import json
import sys
from typing import Any

import datasets
import yaml
from axolotl.prompt_strategies.chat_template import load
from axolotl.utils.dict import DictDefault
from transformers import AutoTokenizer

IGNORED = -100


def main(base: str, output: str) -> None:
    """Write the rows that the trainer would train on."""
    with open("axolotl.yaml", encoding="utf-8") as file:
        config = DictDefault(yaml.safe_load(file))
    source = config.datasets[0]
    tokenizer: Any = AutoTokenizer.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    strategy = load(tokenizer, config, ds_cfg=source)
    data = datasets.load_dataset(source["ds_type"], data_files=source["path"], split="train")
    columns = data.column_names
    read = data.map(strategy.tokenize_prompt, batched=True, remove_columns=columns)
    length = config.sequence_len
    rows = [
        {
            "row": number,
            "input_ids": row["input_ids"][:length],
            "trained": [int(label != IGNORED) for label in row["labels"][:length]],
        }
        for number, row in enumerate(read)
    ]
    with open(output, "w", encoding="utf-8") as file:
        json.dump([row for row in rows if any(row["trained"])], file)


if __name__ == "__main__":
    main(*sys.argv[1:])
