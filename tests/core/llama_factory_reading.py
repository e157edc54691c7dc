"""Run by an interpreter that has LLaMA-Factory, in a bundle's folder: reads it as `llamafactory-cli train` does.

Prints one JSON line: for each example the text it trains from, and the text that its labels keep.
"""

import json
import os
import sys

import yaml
from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
from llamafactory.extras.constants import IGNORE_INDEX
from llamafactory.hparams import get_train_args
from llamafactory.model import load_tokenizer


def main() -> None:
    with open("train.yaml", encoding="utf-8") as file:
        config = yaml.safe_load(file)
    config |= {"bf16": False, "use_cpu": True, "output_dir": os.environ["OUTPUT"], "overwrite_cache": True}
    model_args, data_args, training_args, _, _ = get_train_args(config)
    loaded = load_tokenizer(model_args)
    tokenizer = loaded["tokenizer"]
    template = get_template_and_fix_tokenizer(tokenizer, data_args)
    found = get_dataset(template, model_args, data_args, training_args, stage="sft", **loaded)["train_dataset"]
    rows = [
        {
            "text": tokenizer.decode(row["input_ids"]),
            "trained": tokenizer.decode([label for label in row["labels"] if label != IGNORE_INDEX]),
        }
        for row in found
    ]
    sys.stdout.write("\nREAD " + json.dumps(rows) + "\n")


if __name__ == "__main__":
    main()
