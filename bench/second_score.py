"""How long a second, identical `python -m core score` takes, when every loss is there already.

    python -m bench.second_score [--rows 100000] [--rounds 5] [--weights-megabytes 0] [--json FILE]

The rows are synthetic, the models tiny ones, saved for the time being; their losses are drawn and brought in as a
worker would. Then the real command runs, in turn with a process that only imports it. `--weights-megabytes` adds a
file of so many megabytes to each model's weights: what is hashed before anything else. CPU seconds are of the command
itself, and hardly move when the machine is busy.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import save_file

from bench.figures import keep_figures
from bench.make_rows import DATASET, make_workspace
from core.jobs.shards import SHARD_SCHEMA
from core.scoring.ingest import save_planned_run
from core.scoring.planning import ROLES, ScoreRequest, plan_scoring
from core.store import Store
from tests.tiny_models import save_model_folder


def measure(rows: int, rounds: int = 3, weights_megabytes: int = 0) -> dict[str, Any]:
    """Seconds of the second score (the aim: under 2 at 100,000 rows), and of the imports that are part of it."""
    with tempfile.TemporaryDirectory() as folder:
        workspace, models = Path(folder) / "workspace", [Path(folder) / role for role in ROLES]
        make_workspace(workspace, rows)
        for seed, model in enumerate(models):
            save_model_folder(model, seed=seed)
            if weights_megabytes:
                save_file({"ballast": torch.rand(weights_megabytes * 2**18)}, model / "model-2.safetensors")
        score = ["score", "--dataset", DATASET, "--base", str(models[0]), "--reference", str(models[1])]
        score += ["--template", "alpaca", "--device", "cpu", "--json", "--workspace", str(workspace)]
        request = ScoreRequest(DATASET, str(models[0]), str(models[1]), template="alpaca", device="cpu")
        _bring_losses(workspace, request)
        first, _ = _run([sys.executable, "-m", "core", *score])
        seconds, cpu_seconds, imports = [], [], []
        for _ in range(rounds):
            used = _children_seconds()
            taken, answer = _run([sys.executable, "-m", "core", *score])
            seconds.append(taken)
            cpu_seconds.append(_children_seconds() - used)
            assert not any(json.loads(answer)["computed"].values()), answer
            imports.append(_run([sys.executable, "-c", "import core.cli.commands"])[0])
    return {
        "rows": rows,
        "weights_megabytes": weights_megabytes,
        "first_seconds": first,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "median_seconds": statistics.median(seconds),
        "import_seconds": imports,
    }


def _bring_losses(workspace: Path, request: ScoreRequest) -> None:
    """All losses that the request needs, drawn."""
    random = np.random.default_rng(0)
    with Store.open(workspace, "bench.second_score") as store:
        plan = plan_scoring(store, request)
        for role in ROLES:
            missing = pa.Table.from_batches(list(store.missing_losses(request.dataset, plan.loss_sets[role])))
            columns = {
                "example_id": missing["example_id"],
                "nll_sum": random.gamma(4.0, 10.0, missing.num_rows),
                "token_count": np.full(missing.num_rows, 20, np.int32),
                "truncated": np.zeros(missing.num_rows, bool),
                "reason": pa.nulls(missing.num_rows, pa.string()),
                "left_out": np.zeros(missing.num_rows, np.float32),
                "end_nll_sum": np.full(missing.num_rows, 1.0),
                "end_token_count": np.full(missing.num_rows, 1, np.int32),
            }
            store.ingest_shard(f"drawn-{role}", plan.loss_sets[role], pa.table(columns).cast(SHARD_SCHEMA))
        save_planned_run(store, plan)


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run(command: list[str]) -> tuple[float, str]:
    began = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return time.perf_counter() - began, done.stdout


def main() -> None:
    """Print the figures; with --json also write them to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--weights-megabytes", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    found = measure(arguments.rows, arguments.rounds, arguments.weights_megabytes)
    print(json.dumps(found, indent=1))
    print(f"Median {found['median_seconds']:.2f} s; the aim is under 2 s at 100,000 rows.")
    keep_figures(arguments.json, found)


if __name__ == "__main__":
    main()
