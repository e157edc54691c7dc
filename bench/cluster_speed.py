"""How much faster two nodes of a Ray cluster score than one, each of one core.

    OMP_NUM_THREADS=1 python -m bench.cluster_speed --rows FILE [--model DIR] [--limit 2000] [--rounds 3] [--json FILE]

Clusters of one and of two nodes run on this machine, beside a head that computes nothing. They take turns in every
round and score the same rows with the model and, as the reference, the same model with another norm. Two rates are
printed, both from the first shard to the last, so that starting workers does not count, without what the first holds:
losses a second, which needs three idle cores to mean anything, since the process that divides the work needs some too;
and losses per CPU second of the busiest worker, which shows how evenly the work was divided, and not how long a worker
waited for its next part.
"""

import argparse
import os
import shutil
import statistics
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

from bench.figures import keep_figures
from core.data.examples import DatasetRow
from core.data.settings import chosen
from core.importing import SourceOptions, read_examples
from core.jobs.job import Job
from core.jobs.shards import read_shard
from core.models.resolving import DEMO_BASE
from core.scoring.planning import ScoreRequest
from core.store import Store
from core.system.program import DEMO
from core.workspace.running import wait_for_first
from core.workspace.supervisor import begin_scoring

_MEMORY = {"object_store_memory": 100 * 2**20}


def main() -> None:
    """Print the rates and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, required=True, help="a data file")
    parser.add_argument("--model", type=Path, default=DEMO / "base", help=f"a folder [{DEMO_BASE}]")
    parser.add_argument("--limit", type=int, default=2000, help="rows to score")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    found: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    for number in range(arguments.rounds):
        for nodes in (1, 2) if number % 2 == 0 else (2, 1):
            found[nodes].append(_rates(nodes, arguments))
            second, cpu_second = found[nodes][-1]
            by_cpu = f"{cpu_second:,.0f} per CPU second of the busiest worker"
            print(f"round {number + 1}, {nodes} nodes: {second:,.0f} losses a second, {by_cpu}", flush=True)
    medians = {n: [statistics.median(one) for one in zip(*rates, strict=True)] for n, rates in found.items()}
    second, cpu_second = (two / one for one, two in zip(medians[1], medians[2], strict=True))
    print(f"two nodes against one: {second:.2f} times by the clock, {cpu_second:.2f} times by CPU seconds (medians)")
    keep_figures(arguments.json, {"rates": found, "by_the_clock": second, "by_cpu_seconds": cpu_second})


def _rates(nodes: int, arguments: argparse.Namespace) -> tuple[float, float]:
    """Losses a second, and per CPU second of the busiest worker, on a new cluster."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **_MEMORY})
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=1, **_MEMORY)
        with tempfile.TemporaryDirectory() as folder:
            raylets = [node.all_processes["raylet"][0].process.pid for node in cluster.worker_nodes]
            return _score(cluster.address, Path(folder), arguments, raylets)
    finally:
        cluster.shutdown()


def _score(address: str, folder: Path, arguments: argparse.Namespace, raylets: list[int]) -> tuple[float, float]:
    reference = _other_model(arguments.model, folder / "reference")
    with Store.open(folder / "workspace", "bench.cluster_speed") as store:
        _add_rows(store, arguments.rows, arguments.limit)
        request = ScoreRequest("rows", str(arguments.model), str(reference), template="alpaca", device="cpu")
        with chosen({"executor": "ray", "ray_address": address}):
            _, job = begin_scoring(store, request)
        assert job is not None
        used: dict[int, list[float]] = {}

        def look(job: Job) -> None:
            if job.shards:
                for process, seconds in _cpu_seconds(raylets).items():
                    used.setdefault(process, []).append(seconds)

        wait_for_first(store, [job], look, print)
        shards = sorted(job.shards, key=lambda path: path.stat().st_mtime)
        began, ended = (path.stat().st_mtime for path in (shards[0], shards[-1]))
        losses = sum(read_shard(path).num_rows for path in shards[1:])
        return losses / (ended - began), losses / max(seconds[-1] - seconds[0] for seconds in used.values())


def _cpu_seconds(raylets: list[int]) -> dict[int, float]:
    """CPU seconds of the workers' processes so far."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            fields = (place / "stat").read_text().rsplit(")", 1)[1].split()
            if int(fields[1]) in raylets and b"NodeWorker" in (place / "cmdline").read_bytes():
                found[int(place.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:  # it ended meanwhile
            continue
    return found


def _other_model(model: Path, folder: Path) -> Path:
    """The model with another final norm, so that it has another hash and takes as long."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(model, folder)
    path = next(folder.glob("*.safetensors"))
    tensors = load_file(path)
    name = next(name for name in tensors if "norm" in name)
    save_file({**tensors, name: tensors[name] * 1.01}, path, {"format": "pt"})
    return folder


def _add_rows(store: Store, path: Path, limit: int) -> None:
    found: list[Any] = [row for row in read_examples(path, SourceOptions()) if isinstance(row, DatasetRow)]
    store.add_source("rows", path.name, "json", "rows", {}, list(islice(found, limit)))


if __name__ == "__main__":
    main()
