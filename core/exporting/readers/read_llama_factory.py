"""Reads a bundle as `llamafactory-cli train train.yaml` does, up to the tokens and labels that it trains on.

It drops rows without saying which, so a row that goes missing leaves the others without a number.
"""

import json
import os
import sys
import tempfile

import yaml

os.environ.setdefault("DISABLE_VERSION_CHECK", "1")

from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
from llamafactory.hparams import get_train_args
from llamafactory.model import load_tokenizer

IGNORED = -100


def main(base: str, output: str) -> None:
    """Write the rows that the trainer would train on."""
    with open("train.yaml", encoding="utf-8") as file:
        config = yaml.safe_load(file)
    with tempfile.TemporaryDirectory() as scratch:
        config |= {"model_name_or_path": base, "bf16": False, "use_cpu": True, "output_dir": scratch}
        config |= {"overwrite_cache": True}
        model_args, data_args, training_args, _, _ = get_train_args(config)
        loaded = load_tokenizer(model_args)
        template = get_template_and_fix_tokenizer(loaded["tokenizer"], data_args)
        found = get_dataset(template, model_args, data_args, training_args, stage="sft", **loaded)["train_dataset"]
        rows = [
            {
                "row": number,
                "input_ids": row["input_ids"],
                "trained": [int(label != IGNORED) for label in row["labels"]],
            }
            for number, row in enumerate(found)
        ]
    with open(output, "w", encoding="utf-8") as file:
        json.dump(rows, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
