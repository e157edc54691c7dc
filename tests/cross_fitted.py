"""A real cross-fitted run for tests: a tiny model fine-tuned on two halves of some rows, which both of them score."""

import json
from pathlib import Path

from tests import command_line

DATASET, NAME = "mix", "crossed"
"""Names of the dataset, and of the reference and its run."""
TRAINED = ("--epochs", 2, "--learning-rate", 0.01, "--method", "full", "--device", "cpu", "--template", "alpaca")
HELD_OUT = 0.2
_WORDS = ["amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "inlet", "jetty", "kelp", "larch"]


def rows() -> list[dict[str, str]]:
    """Twenty rows of two domains; in each, two say almost the same."""
    found = []
    for number in range(20):
        kind = number // 2 % 9  # the rows 18 and 19 say again what 0 and 1 say
        words = " ".join(_WORDS[(kind * 5 + place * (number % 2 + 2)) % 12] for place in range(20))
        domain = "odd" if number % 2 else "even"
        text = f"{domain.capitalize()} list {kind}: {words}{' ' + words.upper() if number > 17 else ' ' + words}."
        found.append({"instruction": f"Write list {kind} of the {domain} ones.", "output": text, "domain": domain})
    return found


def make_cross_fitted(folder: Path, base: Path) -> None:
    """Make `folder/workspace`, and `folder/folds.csv`, which its reference was trained by."""
    folder.mkdir()
    workspace, data, folds = folder / "workspace", folder / "rows.jsonl", folder / "folds.csv"
    write(data, rows())
    command_line.result(workspace, "import", data, "--dataset", DATASET, "--domain-field", "domain")
    command_line.result(
        workspace, "folds", "--dataset", DATASET, "--folds", 2, "--held-out", HELD_OUT, "--output", folds
    )
    common = ("--dataset", DATASET, "--base", base)
    command_line.result(workspace, "train", *common, "--name", NAME, "--folds-file", folds, *TRAINED)
    command_line.result(
        workspace, "score", *common, "--reference", NAME, "--own", "--run", NAME, "--template", "alpaca"
    )


def write(path: Path, records: list[dict[str, str]]) -> Path:
    """Write records as JSON lines."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path
