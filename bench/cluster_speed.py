"""How much faster two nodes of a Ray cluster score than one, each of one core.

    OMP_NUM_THREADS=1 python -m bench.cluster_speed --rows FILE [--model DIR] [--limit 2000] [--rounds 3] [--json FILE]

Clusters of one and of two nodes run on this machine, beside a head that computes nothing. They take turns in every
round and score the same rows with the model and, as the reference, the same model with another norm. The time is that
from the first shard to the last, so that starting workers does not count; what the first shard holds is left out. A
machine with fewer than three idle cores makes the ratio too small: the process that divides the work needs some too.
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
from core.workspace.running import wait_for
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
    rates: dict[int, list[float]] = {1: [], 2: []}
    for round_number in range(arguments.rounds):
        for nodes in (1, 2) if round_number % 2 == 0 else (2, 1):
            rates[nodes].append(_rate(nodes, arguments))
            print(f"round {round_number + 1}, {nodes} nodes: {rates[nodes][-1]:,.0f} losses a second", flush=True)
    ratio = statistics.median(rates[2]) / statistics.median(rates[1])
    print(f"two nodes score {ratio:.2f} times as fast as one (medians of {arguments.rounds} rounds)")
    keep_figures(arguments.json, {"losses_per_second": rates, "ratio": ratio})


def _rate(nodes: int, arguments: argparse.Namespace) -> float:
    """Losses a second on a new cluster."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **_MEMORY})
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=1, **_MEMORY)
        with tempfile.TemporaryDirectory() as folder:
            return _score(cluster.address, Path(folder), arguments)
    finally:
        cluster.shutdown()


def _score(address: str, folder: Path, arguments: argparse.Namespace) -> float:
    reference = _other_model(arguments.model, folder / "reference")
    with Store.open(folder / "workspace", "bench.cluster_speed") as store:
        _add_rows(store, arguments.rows, arguments.limit)
        request = ScoreRequest("rows", str(arguments.model), str(reference), template="alpaca", device="cpu")
        with chosen({"executor": "ray", "ray_address": address}):
            _, job = begin_scoring(store, request)
        assert job is not None
        wait_for(store, job, lambda job: None, print)
        return _losses_per_second(job)


def _losses_per_second(job: Job) -> float:
    """From the first shard's arrival to the last one's; what arrived first took part of its time before."""
    shards = sorted(job.shards, key=lambda path: path.stat().st_mtime)
    began, ended = (path.stat().st_mtime for path in (shards[0], shards[-1]))
    return sum(read_shard(path).num_rows for path in shards[1:]) / (ended - began)


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
