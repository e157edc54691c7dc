"""What the estimate of a training says before it starts, over what the training then takes, in time and memory.

    python -m bench.training_estimate [--rows FILE] [--model FOLDER] [--method full|lora] [--epochs N] [--rounds N]

Without other rows and model, the demo's. Each round is a workspace of its own: "Estimate time and memory" of the Score
page, then `train`, on the CPU. The seconds are by the clock, from the start of the worker to its end, the memory is the
peak of the worker's resident memory. A ratio further than 25 % from 1 is marked.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.figures import keep_figures
from bench.peak_memory import peak_gigabytes
from core.importing import SourceOptions, import_source
from core.jobs.job import Job
from core.models.resolving import DEMO_BASE
from core.scoring.planning import count_rows
from core.store import Store
from core.training.training_plan import TrainRequest
from core.workspace.demo import DATASET
from core.workspace.running import wait_for_first
from core.workspace.supervisor import begin_training
from core.workspace.training_estimate import begin_training_estimate, training_estimate

_AIM = 0.25


def measure(folder: Path, rows: Path, request: TrainRequest) -> dict[str, float]:
    """Seconds and gigabytes, estimated and taken."""
    with Store.open(folder, "bench.training_estimate") as store:
        import_source(store, request.dataset, rows, SourceOptions())
        outcome = wait_for_first(store, [begin_training_estimate(store, request)], lambda _: None, print)
        estimate = training_estimate(request, count_rows(store, request.dataset)[0], outcome, own=False)
        began = time.monotonic()
        job = begin_training(store, request)
        assert job is not None
        peaks = [0.0]
        wait_for_first(store, [job], lambda job: peaks.append(_peak_of(job)), print)
        taken = time.monotonic() - began
    gigabytes = estimate.memory_bytes / 2**30
    return {"seconds_estimated": estimate.seconds, "seconds": taken, "peak_estimated": gigabytes, "peak": max(peaks)}


def _peak_of(job: Job) -> float:
    """Peak memory of a job's worker so far; 0 if it runs no more [GB of 2^30 bytes]."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if str(job.folder).encode() in (place / "cmdline").read_bytes():
                return peak_gigabytes(place / "status")
        except (OSError, RuntimeError):  # it ended meanwhile
            continue
    return 0.0


def main() -> None:
    """Print the figures of each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, default=DATASET, help="a data file [the demo's]")
    parser.add_argument("--model", default=DEMO_BASE, help=f"a folder [{DEMO_BASE}]")
    parser.add_argument("--method", choices=["full", "lora"], default="full")
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    request = TrainRequest(
        "rows", arguments.model, "trained", method=arguments.method, epochs=arguments.epochs, device="cpu"
    )
    figures: list[dict[str, Any]] = []
    for number in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            found = measure(Path(folder) / "workspace", arguments.rows, request)
        figures.append(found)
        for what, unit in (("seconds", "s"), ("peak", "GB")):
            estimated, taken = found[f"{what}_estimated"], found[what]
            far = "  further than 25 %" if abs(estimated / taken - 1) > _AIM else ""
            print(f"round {number + 1}, {what:8} estimated {estimated:7.2f} {unit}, taken {taken:7.2f} {unit}: "
                  f"{estimated / taken:.2f}{far}", flush=True)  # fmt: skip
    keep_figures(arguments.json, figures)


if __name__ == "__main__":
    main()
