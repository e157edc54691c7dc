"""`import lobass` (here `core`): what notebooks call gives what the commands give."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import core
from core.data.errors import NotFound, SelectionInvalid, WorkspaceLocked
from core.jobs.job_progress import Progress
from core.store import Store
from core.workspace.answering import Answering
from tests import command_line
from tests.inline_executor import run_jobs_inline

HALF = {"run": "few", "amount": {"kind": "ratio", "value": 0.5}}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, tiny_reference: Path) -> Path:
    """A workspace with the run "few" of 12 rows and a rejected record, made as a notebook makes it."""
    folder = tmp_path_factory.mktemp("face")
    rows = command_line.write_rows(folder / "few.jsonl", 12)
    with open(rows, "a", encoding="utf-8") as file:
        file.write("{oops\n")
    seen: list[Progress] = []
    with core.open(folder / "w") as opened:
        report = opened.import_files("few", rows, domain_field="domain")
        assert (report.rows, report.rejected, report.by_reason) == (12, 1, {"bad JSON": 1})
        assert opened.rejections("few")[["line", "reason"]].values.tolist() == [[13, "bad JSON"]]
        scored = opened.score("few", tiny_base, tiny_reference, run="few", progress=seen.append)
        assert scored["computed"] == {"base": 12, "reference": 12}
        assert seen
        assert opened.score("few", tiny_base, tiny_reference, run="few")["cached"] == {"base": 12, "reference": 12}
    return folder / "w"


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = "import core, sys; core.UserError; core.errors.NotFound; core.__version__; dir(core)\n"
    program += "sys.exit(', '.join({'torch', 'duckdb', 'pandas', 'pyarrow', 'numpy'} & set(sys.modules)) or 0)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=command_line.ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_there_and_no_other() -> None:
    assert {name for name in core.__all__ if getattr(core, name)} == set(core.__all__)
    assert set(core.__all__) <= set(dir(core))
    with pytest.raises(AttributeError, match="'core' has no attribute 'clsoe'"):
        core.__getattr__("clsoe")


def test_a_runs_table_is_that_of_the_command(workspace: Path, tmp_path: Path) -> None:
    with core.open(workspace) as opened:
        frame, table = opened.losses("few"), opened.losses_arrow("few")
        assert [run["name"] for run in opened.status()["runs"]] == ["few"]
    assert frame.to_dict("records") == table.to_pylist() == command_line.losses(workspace, "few", tmp_path)


def test_a_selection_is_a_table_a_dataset_and_files_and_comes_back_from_its_manifest(
    workspace: Path, tmp_path: Path
) -> None:
    with core.open(workspace) as opened:
        kept = opened.select("half", **HALF, score="loss_difference")
        assert kept.kept_rows == 6
        assert opened.selection("half") == kept
        frame = kept.to_pandas()
        report = kept.export(tmp_path / "half.jsonl")
        bundle = kept.export_bundle(tmp_path / "half.zip", "trl")
        dataset = kept.to_dataset()
        plain = kept.to_dataset("plain", with_scores=True)
        again = opened.replay(report.manifest_path, "again").export(tmp_path / "again.jsonl")
    records = [json.loads(line) for line in report.path.read_text(encoding="utf-8").splitlines()]
    assert frame["instruction"].tolist() == [record["instruction"] for record in records]
    assert frame["lobass_loss_difference"].notna().all()
    assert len(dataset) == bundle.rows == 6
    assert {"prompt", "completion"} <= set(dataset.column_names)
    assert plain["output"] == [record["output"] for record in records]
    assert plain["lobass_loss_difference"] == frame["lobass_loss_difference"].tolist()
    assert again.sha256 == report.sha256


def test_a_model_is_evaluated_and_a_trial_run_and_both_go_on_from_what_is_there(
    tmp_path: Path, tiny_base: Path, tiny_reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_jobs_inline(monkeypatch)
    monkeypatch.setenv("LOBASS_PROBE_SECONDS", "0.1")
    plan = {"arms": ("random",), "draws": 2, "seeds": 1, "held_out": 0.3, "budget": 200, "batch_tokens": 100}
    with core.open(tmp_path / "w") as opened:
        opened.import_files("few", command_line.write_rows(tmp_path / "few.jsonl", 12), domain_field="domain")
        opened.score("few", tiny_base, tiny_reference, run="few", device="cpu")
        found = opened.evaluate(tiny_reference, "few", device="cpu")
        assert found["computed"] == 0, "scoring had computed these losses"
        losses = opened.losses("few")
        assert found["loss"] == pytest.approx(
            (losses["reference_loss"] * losses["token_count"]).sum() / losses["token_count"].sum()
        )
        opened.select("half", **HALF)
        results = opened.trial("first", "few", ["half"], device="cpu", **plan)
        assert (len(results.runs), results.missing_cells) == (3, ())
        (opened.path / "trials" / "first" / "cells" / "half.d1.s1.json").unlink()
        again = opened.trial("first", "few", ["half"], device="cpu", **plan)
    assert [run.loss for run in again.runs] == [run.loss for run in results.runs]


def test_what_is_wrong_is_said_by_a_user_error(workspace: Path, tmp_path: Path) -> None:
    with core.open(workspace) as opened:
        with pytest.raises(SelectionInvalid, match="unknown fields: ratio"):
            opened.select("half", run="few", ratio=0.5)
        with pytest.raises(NotFound, match="No run is named 'none'"):
            opened.losses("none")
        with pytest.raises(core.UserError, match=r"none\.jsonl"):
            opened.import_files("more", tmp_path / "none.jsonl")
    with pytest.raises(core.UserError, match="was closed"):
        opened.losses("few")


def test_without_the_package_datasets_the_error_says_how_to_get_it(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with core.open(workspace) as opened, pytest.raises(core.errors.ExportFailed, match=r"lobass\[datasets\]"):
        opened.select("half", **HALF).to_dataset()


def test_beside_an_owner_it_reads_and_selects_and_writes_nothing(workspace: Path, tmp_path: Path) -> None:
    with core.open(workspace) as opened:
        alone = (opened.losses("few"), opened.select("half", **HALF).to_pandas(), opened.rejections("few"))
    with Store.open(workspace, "the dashboard") as store, Answering(store), core.open(workspace) as opened:
        found = (opened.losses("few"), opened.select("half", **HALF).to_pandas(), opened.rejections("few"))
        for one, other in zip(alone, found, strict=True):
            pd.testing.assert_frame_equal(one, other)
        assert opened.selection("half").export(tmp_path / "half.jsonl").rows == 6
        with pytest.raises(WorkspaceLocked, match="is in use by the dashboard"):
            opened.import_files("few", tmp_path / "few.jsonl")
        with pytest.raises(WorkspaceLocked, match="is in use by the dashboard"):
            opened.train("few", "demo/base", "taught")


def test_a_workspace_that_becomes_free_is_owned(workspace: Path) -> None:
    with Store.open(workspace, "the dashboard"):
        opened = core.open(workspace)
    with opened:
        assert len(opened.losses("few")) == 12
        assert command_line.run(workspace, "near-duplicates", "--dataset", "few").returncode == 1


def test_commands_work_beside_a_notebook(workspace: Path, tmp_path: Path) -> None:
    with core.open(workspace):
        assert command_line.result(workspace, "status")["datasets"][0]["rows"] == 12
        assert len(command_line.losses(workspace, "few", tmp_path)) == 12
