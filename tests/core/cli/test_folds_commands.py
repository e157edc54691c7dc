"""Folds for trainers elsewhere, and models trained elsewhere as one reference: the same run as one trained here."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from core.jobs.job import read_examples_file
from core.models.folds_file import read_folds
from core.store import Store
from core.training.folding import folds_of
from core.training.training_plan import TrainRequest, create_train_job
from tests import command_line
from tests.cross_fitted import DATASET, HELD_OUT, NAME, TRAINED, rows, write

REFERENCE = ("--dataset", DATASET, "--template", "alpaca")


@pytest.fixture(scope="module")
def elsewhere(cross_fitted: Path, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workspace in which a plain reference was trained on each half that `folds` wrote."""
    folder = tmp_path_factory.mktemp("elsewhere")
    workspace = Path(shutil.copytree(cross_fitted / "workspace", folder / "workspace"))
    command_line.result(
        workspace, "encode", "--dataset", DATASET, "--model", tiny_base, "--output", folder / "encoded.jsonl"
    )
    ids = [json.loads(line)["example_id"] for line in (folder / "encoded.jsonl").read_text("utf-8").splitlines()]
    folds = pd.read_csv(cross_fitted / "folds.csv").set_index("example_id")
    for fold in (0, 1):
        trained = (folds["fold"] != fold) & ~folds["held_out"]
        half = write(folder / "half.jsonl", [row for key, row in zip(ids, rows(), strict=True) if trained[key]])
        command_line.result(workspace, "import", half, "--dataset", f"half-{fold}", "--domain-field", "domain")
        command_line.result(
            workspace, "train", "--dataset", f"half-{fold}", "--base", tiny_base, "--name", f"without-{fold}", *TRAINED
        )
    return workspace


def add(workspace: Path, base: Path, folds: Path, name: str, *models: object) -> tuple[object, ...]:
    return (
        "add-reference", name, *(part for model in models for part in ("--model", model)), "--folds-file", folds,
        "--base", base,
    )  # fmt: skip


def losses(workspace: Path, run: str) -> pd.DataFrame:
    with Store.open(workspace, "a test") as store:
        columns = "base_nll_sum, reference_nll_sum, own_nll_sum, learnability, memory_gap"
        return store.frame(f"SELECT {columns} FROM {store.run(run)['table']} ORDER BY row_number")


def test_folds_are_those_that_training_makes(cross_fitted: Path, tiny_base: Path, tmp_path: Path) -> None:
    written = read_folds(cross_fitted / "folds.csv")
    assert written["held_out"].sum() == HELD_OUT * 20
    assert written.loc[~written["held_out"], "fold"].value_counts().tolist() == [8, 8]
    with_company = written[written.duplicated("group", keep=False)].groupby("group")
    assert len(with_company) == 2
    assert (with_company[["fold", "held_out"]].nunique() == 1).all(axis=None)
    workspace = Path(shutil.copytree(cross_fitted / "workspace", tmp_path / "workspace"))
    again = command_line.result(
        workspace, "folds", *REFERENCE[:2], "--held-out", HELD_OUT, "--output", tmp_path / "again.parquet"
    )
    assert again["folds"] == {"0": 8, "1": 8}
    pd.testing.assert_frame_equal(read_folds(tmp_path / "again.parquet"), written)
    with Store.open(workspace, "a test") as store:
        job = create_train_job(store, TrainRequest(DATASET, str(tiny_base), "new", folds=2, held_out=HELD_OUT))
    ids, _, domains = read_examples_file(job, "examples")
    trained = folds_of(job, ids, domains)
    assert trained is not None
    pd.testing.assert_frame_equal(trained.drop(columns="group"), written.drop(columns="group"), check_dtype=False)


def test_models_trained_elsewhere_give_the_run_of_a_reference_trained_by_the_same_folds(
    elsewhere: Path, cross_fitted: Path, tiny_base: Path
) -> None:
    added = command_line.result(
        elsewhere, *add(elsewhere, tiny_base, cross_fitted / "folds.csv", "joined", "without-0", "without-1")
    )
    assert (added["folds"], added["seeds"], added["held_out"]) == (2, 1, 4)
    report = command_line.result(
        elsewhere, "score", *REFERENCE, "--base", tiny_base, "--reference", "joined", "--own", "--run", "joined"
    )
    assert report["reference_kind"]["sentence"] == "Cross-fitted: 2 folds x 1 seed"
    here, there = losses(elsewhere, NAME), losses(elsewhere, "joined")
    pd.testing.assert_frame_equal(here, there, rtol=1e-4, atol=1e-4)
    assert here["own_nll_sum"].notna().sum() == 16
    assert here["memory_gap"].mean() > 0.01
    assert command_line.run(elsewhere, "check").returncode == 0


def test_status_says_the_kind_of_every_run(elsewhere: Path, tiny_base: Path) -> None:
    for name, dataset, reference in (("in", "half-0", "without-0"), ("most", DATASET, "without-0")):
        command_line.result(
            elsewhere, "score", "--dataset", dataset, "--base", tiny_base, "--reference", reference, "--run", name,
            "--template", "alpaca",
        )  # fmt: skip
    runs = {run["name"]: run for run in command_line.result(elsewhere, "status")["runs"]}
    assert runs[NAME]["reference_kind"]["kind"] == "cross_fitted"
    assert runs[NAME]["reference"] == NAME
    assert runs["in"]["reference_kind"]["sentence"] == "In-sample: the reference was trained on all of these rows"
    assert runs["most"]["reference_kind"]["sentence"] == "In-sample: the reference was trained on 40% of these rows"
    assert "Cross-fitted: 2 folds x 1 seed" in command_line.run(elsewhere, "status").stdout


BAD_FOLDS: list[tuple[dict[str, Any], str]] = [
    ({"--folds": 0}, "0 folds with a held-out share of 0 are not possible"),
    ({"--held-out": 0.9}, "a share from 0 to 0.5"),
    ({"--folds": 30}, "groups of near-duplicates, too few for 30 folds"),
    ({"--dataset": "none"}, "No dataset is named 'none'"),
    ({"--output": "folds.txt"}, "ends in .parquet or .csv"),
    ({"--output": "/nowhere/folds.csv"}, "There is no folder '/nowhere'"),
    ({"--threshold": 0.1}, "A threshold of 0.1 is out of range"),
]


@pytest.mark.parametrize(("changed", "sentence"), BAD_FOLDS)
def test_folds_that_cannot_be_are_one_sentence(
    elsewhere: Path, tmp_path: Path, changed: dict[str, Any], sentence: str
) -> None:
    options = {"--dataset": DATASET, "--output": tmp_path / "folds.csv", **changed}
    done = command_line.run(elsewhere, "folds", *(part for pair in options.items() for part in pair))
    assert (done.returncode, done.stdout) == (1, "")
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "models", "text", "sentence"),
    [
        ("../up", ("without-0", "without-1"), None, "'../up' is not a valid reference name"),
        (NAME, ("without-0", "without-1"), None, "exists already"),
        ("new", ("without-0",), None, "1 models were given for 2 folds"),
        ("new", ("without-1", "without-0"), None, "it was trained on 8 of the rows that it would judge"),
        ("new", ("without-0", "nowhere"), None, "No model 'nowhere'"),
        ("new", ("without-0", "without-1"), "example_id,fold\nx,0\n", "an example_id is not one of this program"),
        ("new", ("without-0", "without-1"), "id\nx\n", "It needs the columns example_id and fold"),
        ("new", ("without-0", "without-1"), "held_out,example_id,fold\nno,x,0\n", "held_out is neither true nor false"),
        ("new", ("without-0",), "", "cannot be read as a file of folds"),
    ],
)
def test_a_reference_that_cannot_be_added_is_one_sentence(
    elsewhere: Path, cross_fitted: Path, tiny_base: Path, tmp_path: Path, name: str, models: tuple[str, ...],
    text: str | None, sentence: str,
) -> None:  # fmt: skip
    folds = cross_fitted / "folds.csv"
    if text is not None:
        folds = tmp_path / "folds.csv"
        folds.write_text(text, encoding="utf-8")
    done = command_line.run(elsewhere, *add(elsewhere, tiny_base, folds, name, *models))
    assert (done.returncode, done.stdout) == (1, "")
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (elsewhere / "models" / "new").exists()
