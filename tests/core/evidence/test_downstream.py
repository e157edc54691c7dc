"""Benchmark tasks run by lm-evaluation-harness, where an interpreter that has it is named."""

import importlib.util
import json
import math
import os
import sys
import tomllib
from pathlib import Path

import pytest

from core.data.errors import TasksFailed
from core.evidence.downstream import HARNESS, TaskRequest, evaluate_tasks
from core.models.resolving import resolve_model
from tests import command_line
from tests.tiny_models import save_lora_adapter, save_model_folder

PYTHON = os.environ.get("LOBASS_LM_EVAL_PYTHON") or (sys.executable if importlib.util.find_spec("lm_eval") else None)
with_harness = pytest.mark.skipif(
    PYTHON is None, reason="name an interpreter that has lm-evaluation-harness in LOBASS_LM_EVAL_PYTHON"
)
ROOT = Path(__file__).resolve().parents[3]
TASK = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {rows}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_target: {answer}
doc_to_choice: ["yes", "no"]
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: brier_score, aggregation: brier_score, higher_is_better: false}}
"""


def task_folder(folder: Path) -> Path:
    """Two tasks on the same five questions, `always_yes` and `always_no`: one is right where the other is wrong."""
    folder.mkdir()
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps({"question": f"Is {n} even?"}) + "\n" for n in range(5)), encoding="utf-8")
    for name, answer in (("always_yes", 0), ("always_no", 1)):
        (folder / f"{name}.yaml").write_text(TASK.format(name=name, rows=rows, answer=answer), encoding="utf-8")
    return folder


@with_harness
def test_two_opposite_tasks_share_their_rows_and_have_the_stderr_of_a_share(tmp_path: Path) -> None:
    model = save_model_folder(tmp_path / "a, base=1")
    given = ("--tasks", "always_yes,always_no", "--tasks-path", task_folder(tmp_path / "tasks"), "--python", PYTHON)
    environment = {"HF_DATASETS_CACHE": str(tmp_path / "cache")}
    found = command_line.result(
        tmp_path / "workspace", "evaluate", "--model", model, "--device", "cpu", *given, **environment
    )
    assert found["model"] == str(model)
    assert list(found) == ["model", "tasks"]
    yes, no = found["tasks"]["always_yes"]["acc"], found["tasks"]["always_no"]["acc"]
    assert yes["value"] + no["value"] == pytest.approx(1)
    for number in (yes, no):
        assert number["stderr"] == pytest.approx(math.sqrt(number["value"] * (1 - number["value"]) / 4))


@with_harness
def test_an_adapter_is_run_on_its_base_with_a_limit_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    base = save_model_folder(tmp_path / "base")
    adapter = save_lora_adapter(tmp_path / "adapter", base)
    request = TaskRequest(("always_yes",), task_folder(tmp_path / "tasks"), 2, PYTHON, "cpu")
    shown: list[str] = []
    of_base, of_adapter = (
        evaluate_tasks(resolve_model(str(folder), tmp_path / "workspace"), request, shown.append)["always_yes"]
        for folder in (base, adapter)
    )
    assert of_base["acc"]["value"] in (0, 0.5, 1)
    assert of_base["brier_score"]["value"] != of_adapter["brier_score"]["value"]
    assert shown
    assert all("%|" in line for line in shown)


@with_harness
def test_a_task_that_is_not_there_is_told_in_the_harness_own_words(tmp_path: Path) -> None:
    spec = resolve_model(str(save_model_folder(tmp_path / "base")), tmp_path / "workspace")
    with pytest.raises(TasksFailed, match=r"could not run no_such: ValueError: Tasks not found: no_such\. List"):
        evaluate_tasks(spec, TaskRequest(("no_such",), None, None, PYTHON, "cpu"), print)


def test_a_harness_that_is_not_there_is_named_with_how_to_install_it(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    spec = resolve_model(str(save_model_folder(tmp_path / "base")), tmp_path / "workspace")
    with pytest.raises(TasksFailed, match=r"not installed for .*pip install 'lobass\[tasks\]', or .*--python"):
        evaluate_tasks(spec, TaskRequest(("always_yes",), python=str(bare)), print)
    with pytest.raises(TasksFailed, match="cannot be run"):
        evaluate_tasks(spec, TaskRequest(("always_yes",), python=str(tmp_path / "nothing")), print)


def test_one_of_dataset_and_tasks_is_needed(tmp_path: Path) -> None:
    for given in ((), ("--dataset", "mix", "--tasks", "gsm8k"), ("--tasks", ",")):
        done = command_line.run(tmp_path, "evaluate", "--model", "demo/base", *given)
        assert done.returncode == 2
        assert "Give either --dataset, for losses, or --tasks, for benchmarks." in done.stderr


def test_the_version_is_that_of_the_benchmarks_and_of_the_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["optional-dependencies"]["tasks"] == [HARNESS]
    assert HARNESS in (ROOT / "bench" / "requirements-lm-eval.txt").read_text(encoding="utf-8").splitlines()
