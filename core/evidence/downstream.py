"""Runs benchmark tasks on a model: lm-evaluation-harness in a process of its own, its metrics read from its results."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.errors import TasksFailed
from ..models.devices import resolve_device, resolve_dtype
from ..models.resolving import ModelSpec
from ..system.program import has_package

Show = Callable[[str], None]
TaskMetrics = dict[str, dict[str, dict[str, float | None]]]
"""{task: {metric: {"value": ..., "stderr": ...}}}; None where the harness has no number. A metric that is taken from
filtered answers has the filter's name behind a comma: `exact_match,strict-match`."""

HARNESS = "lm_eval[hf]==0.4.13"
"""The version that this was tested with; also in bench/requirements-lm-eval.txt and the extra `tasks`."""

_OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1"}
_SECONDS_BETWEEN_BARS = "20"
_NAMED_ERROR = re.compile(r"[\w.]*(?:Error|Exception)\b|.*: error: ")
_LAST_LINES = 200


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """The tasks to run, and how. `folder`: of further task files (.yaml); `limit`: rows of each task, None for all;
    `python`: an interpreter that has lm-evaluation-harness, None for this one; `tokenizer`: a folder, None for the
    model's own."""

    tasks: Sequence[str]
    folder: Path | None = None
    limit: int | None = None
    python: str | None = None
    device: str = "auto"
    tokenizer: str | None = None


def evaluate_tasks(spec: ModelSpec, request: TaskRequest, show: Show) -> TaskMetrics:
    """Run the tasks on a resolved model; `show` is given the harness's progress.

    The run is offline. Only if data are missing it is repeated with network access, which HF_HUB_OFFLINE=1 prevents.
    Raises `TasksFailed` if the harness is not installed or fails.
    """
    interpreter = _interpreter(request.python)
    if request.folder and not request.folder.is_dir():
        raise TasksFailed(f"There is no folder {str(request.folder)!r}. Give the folder of the task files (.yaml).")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "config.json"
        config.write_text(json.dumps(_config(spec, request, folder), ensure_ascii=False), encoding="utf-8")
        command = [interpreter, "-m", "lm_eval", "run", "--config", str(config)]
        failure = _run(command, _OFFLINE, show)
        if failure and "offline" in " ".join(failure).lower() and os.environ.get("HF_HUB_OFFLINE") != "1":
            show("The tasks need data that are not on this machine: they are downloaded from the Hugging Face Hub.")
            failure = _run(command, {}, show)
        results = next(folder.glob("results_*.json"), None)
        if failure or results is None:
            raise TasksFailed(f"lm-evaluation-harness could not run {', '.join(request.tasks)}: {_message(failure)}")
        return _metrics(json.loads(results.read_text(encoding="utf-8")))


def _interpreter(python: str | None) -> str:
    """Full path of the interpreter. A link is not followed: a virtual environment is known by its link."""
    interpreter = python or sys.executable
    try:
        installed = has_package(interpreter, "lm_eval")
    except OSError as error:
        raise TasksFailed(f"{interpreter} cannot be run ({error.strerror}). Give a Python interpreter.") from error
    if not installed:
        raise TasksFailed(
            f"lm-evaluation-harness is not installed for {interpreter}. Install it with: pip install "
            f"'lobass[tasks]', or name with --python the interpreter of an environment that has {HARNESS}."
        )
    return os.path.abspath(shutil.which(interpreter) or interpreter)


def _config(spec: ModelSpec, request: TaskRequest, output: Path) -> dict[str, Any]:
    """The harness's configuration. A file of it, as JSON is YAML: on its command line, a comma ends a path."""
    device = resolve_device(request.device)
    model = {"pretrained": str(Path(spec.path).resolve()), "dtype": resolve_dtype("auto", device)}
    if spec.adapter:
        model["peft"] = str(Path(spec.adapter).resolve())
    if request.tokenizer:
        model["tokenizer"] = str(Path(request.tokenizer).resolve())
    return {
        "model": "hf",
        "model_args": model,
        "tasks": list(request.tasks),
        "device": device,
        # `auto` begins with large batches, which fill the memory of a machine without a GPU.
        "batch_size": "auto" if device == "cuda" else 1,
        "limit": request.limit,
        "include_path": str(request.folder.resolve()) if request.folder else None,
        # With this ending the file's name does not repeat the model's path, which may be too long for a name.
        "output_path": str(output / "results.json"),
    }


def _run(command: Sequence[str], environment: dict[str, str], show: Show) -> list[str]:
    """Run the harness; returns the last lines of its stderr if it failed, else nothing."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    fixed = {"PYTHONUTF8": "1", "PYTHONSAFEPATH": "1", "TQDM_MININTERVAL": _SECONDS_BETWEEN_BARS}
    last: deque[str] = deque(maxlen=_LAST_LINES)
    with subprocess.Popen(
        command,
        env=kept | fixed | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                last.append(line.rstrip())
                if "%|" in line:
                    show(line.strip())
        except BaseException:
            process.kill()
            raise
    return [line for line in last if line] or ["no message"] if process.returncode else []


def _message(lines: Sequence[str]) -> str:
    """The error in the harness's own words: the last line that names one."""
    if not lines:
        return "it wrote no results."
    found = next((line for line in reversed(lines) if _NAMED_ERROR.match(line)), lines[-1])[:300].rstrip(".")
    hint = " List its tasks with: python -m lm_eval ls tasks." if "not found" in found else ""
    return f"{found}.{hint}"


def _metrics(found: dict[str, Any]) -> TaskMetrics:
    """The metrics of the harness's results, whose keys are `metric,filter` and `metric_stderr,filter`."""
    tasks: TaskMetrics = {}
    for task, fields in found["results"].items():
        tasks[task] = {}
        for key in fields:
            metric, comma, chosen = key.partition(",")
            if comma and not metric.endswith("_stderr"):
                stderr = _number(fields.get(f"{metric}_stderr,{chosen}"))
                name = metric if chosen == "none" else key
                tasks[task][name] = {"value": _number(fields[key]), "stderr": stderr}
    return tasks


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
