"""Training leaves out rejected answers of preference pairs, and a pair's answers are judged by the same models."""

import json
from pathlib import Path

import pandas as pd
import pytest

from core.store import Store
from tests import command_line
from tests.cross_fitted import TRAINED, write

PAIRS = 8
_WORDS = ["amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron"]


@pytest.fixture(scope="module")
def workspace(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pairs and two plain rows, folds for trainers elsewhere, and a run of a reference with two folds."""
    folder = tmp_path_factory.mktemp("pairs")
    workspace = folder / "workspace"
    pairs = [
        {"prompt": f"Say {word} {place} times.", "chosen": f"{word} " * (place + 3), "rejected": f"No {place} {word}s!"}
        for place, word in enumerate(_WORDS)
    ]
    plain = [{"instruction": f"Count {word}s.", "output": f"There are {word} and one."} for word in ("kelp", "larch")]
    command_line.result(
        workspace, "import", write(folder / "pairs.jsonl", pairs), "--dataset", "mix", "--domain", "all"
    )
    command_line.result(
        workspace, "import", write(folder / "plain.jsonl", plain), "--dataset", "mix", "--domain", "all"
    )
    command_line.result(workspace, "folds", "--dataset", "mix", "--folds", 2, "--output", folder / "folds.csv")
    common = ("--dataset", "mix", "--base", tiny_base)
    told = command_line.run(workspace, "train", *common, "--name", "crossed", "--folds", 2, *TRAINED)
    assert f"The dataset's {PAIRS} rejected answers of preference pairs are not trained on." in told.stderr
    command_line.result(
        workspace, "score", *common, "--reference", "crossed", "--run", "crossed", "--template", "alpaca"
    )
    return workspace


@pytest.fixture(scope="module")
def rows(workspace: Path) -> pd.DataFrame:
    with Store.open(workspace, "a test") as store:
        table = store.run("crossed")["table"]
        return store.frame(
            f"SELECT example_id::VARCHAR AS example_id, pair, side, preference_margin FROM {table} ORDER BY row_number"
        )


def test_no_model_is_trained_on_a_rejected_answer(workspace: Path, rows: pd.DataFrame) -> None:
    trained = {
        example_id
        for path in (workspace / "models" / "crossed").glob("fold-*/provenance.json")
        for example_id in json.loads(path.read_text("utf-8"))["data_order"]
    }
    assert trained == set(rows.loc[rows["side"] != "rejected", "example_id"])
    assert len(trained) == PAIRS + 2


def test_each_pair_is_judged_by_one_model_that_saw_neither_answer(workspace: Path, rows: pd.DataFrame) -> None:
    assert rows["preference_margin"].notna().sum() == 2 * PAIRS
    with Store.open(workspace, "a test") as store:
        seen = store.frame("SELECT model_fingerprint, example_id::VARCHAR AS example_id FROM trained_example")
    by_row = rows.merge(seen, on="example_id")
    by_pair = by_row.groupby("pair")["model_fingerprint"].agg(["nunique", "count"])
    assert by_pair["nunique"].tolist() == [1] * PAIRS  # of two models, one saw it
    assert by_pair["count"].tolist() == [2] * PAIRS


def test_folds_for_trainers_elsewhere_keep_pairs_together(workspace: Path, rows: pd.DataFrame) -> None:
    folds = pd.read_csv(workspace.parent / "folds.csv").merge(rows, on="example_id")
    assert folds.groupby("pair")[["fold", "group"]].nunique().to_numpy().tolist() == [[1, 1]] * PAIRS
    assert folds["fold"].nunique() == 2
    assert folds["group"].nunique() == PAIRS + 2
