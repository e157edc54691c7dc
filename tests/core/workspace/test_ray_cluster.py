"""Jobs on a real Ray cluster on this machine: a head without cores, and nodes of one core each."""

import os
import secrets
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from core.data.settings import chosen
from core.jobs.job import Job
from core.jobs.queue import start_or_wait
from core.jobs.shards import read_shard
from core.models.resolving import hash_of_weights
from core.scoring.planning import ScoreRequest
from core.store import Store
from core.system.untrusted_json import read_json_object
from core.training.training_plan import TrainRequest
from core.workspace.cluster.model_staging import model_folders
from core.workspace.cluster.node_worker import ROOT, NodeWorker
from core.workspace.supervisor import begin_scoring, begin_training, ingest_finished_jobs
from tests.core.scored_rows import ScoredRow, add_scored_run
from tests.tiny_models import spec_of
from tests.waiting import wait_for

pytest.importorskip("ray", reason="the extra ray is not installed")

ROWS = 800
_SUMS = ["nll_sum", "end_nll_sum"]
_LONGEST = 400.0
"""Several processes import torch at once, on as many cores as the machine has left [seconds]."""
_MEMORY = {"object_store_memory": 80 * 2**20}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster whose nodes share nothing but this machine; the third node is added by a test."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        environment.setenv("RAY_worker_niceness", "0")  # Ray's workers give way to all others, such as other tests
        from ray.cluster_utils import Cluster

        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **_MEMORY})
        try:
            for _ in range(2):
                found.add_node(num_cpus=1, **_MEMORY)
            yield found
        finally:
            found.shutdown()


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard for every small batch, so that a job that has shards is far from its end."""
    monkeypatch.setenv("LOBASS_CPU_BATCH_TOKENS", "64")
    monkeypatch.setenv("LOBASS_SHARD_SECONDS", "0")


def on(cluster: Any) -> dict[str, str]:
    return {"executor": "ray", "ray_address": cluster.address}


def store_with_rows(folder: Path, rows: int = ROWS) -> Store:
    store = Store.open(folder, "a test")
    add_scored_run(store, [ScoredRow("chat", 1.0, 0.5, response=f"Answer {n}. " * (n % 7 + 1)) for n in range(rows)])
    return store


def begin(store: Store, base: Path, reference: Path, settings: dict[str, str]) -> Job:
    request = ScoreRequest("data", str(base), str(reference), run="far", template="plain", device="cpu")
    with chosen(settings):
        _, job = begin_scoring(store, request)
    assert job is not None
    return job


def finished_losses(job: Job) -> dict[str, pa.Table]:
    """The losses of all shards of a job, once it is done, by model."""
    wait_for(lambda: not job.is_alive, "the end of the job", _LONGEST)
    assert job.state == "done", (job.outcome, job.log_text)
    shards = {role: [read_shard(path) for path in job.shards_of(role)] for role in ("base", "reference")}
    return {role: pa.concat_tables(found).sort_by("example_id").combine_chunks() for role, found in shards.items()}


def check_same(found: dict[str, pa.Table], expected: dict[str, pa.Table]) -> None:
    """Each row once, with its loss; the engine may have chosen another library on either side."""
    for role, table in expected.items():
        assert found[role].drop_columns(_SUMS).equals(table.drop_columns(_SUMS))
        for name in _SUMS:
            assert np.allclose(found[role][name], table[name], rtol=1e-5)


@pytest.fixture(scope="module")
def local_losses(
    tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, tiny_reference: Path
) -> dict[str, pa.Table]:
    """The losses that one process of this machine computes."""
    with store_with_rows(tmp_path_factory.mktemp("local")) as store:
        return finished_losses(begin(store, tiny_base, tiny_reference, {}))


def worker_processes(node: Any) -> list[int]:
    """Ids of the processes that compute on a node."""
    raylet = node.all_processes["raylet"][0].process.pid
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == raylet and b"NodeWorker" in (place / "cmdline").read_bytes():
                found.append(int(place.name))
        except (OSError, IndexError):
            continue
    return found


def places_with_losses(job: Job) -> set[str]:
    return {note.split(":")[0] for note in job.progress.notes if note.endswith("losses") and ": 0 " not in note}


@pytest.mark.usefixtures("small_steps")
def test_nothing_is_lost_or_twice_when_a_worker_and_a_node_die_and_a_node_joins(
    cluster: Any, tmp_path: Path, tiny_base: Path, tiny_reference: Path, local_losses: dict[str, pa.Table]
) -> None:
    first, second = cluster.worker_nodes
    with store_with_rows(tmp_path / "workspace") as store:
        job = begin(store, tiny_base, tiny_reference, on(cluster))
        wait_for(lambda: len(places_with_losses(job)) == 2, "losses of both nodes", _LONGEST)
        (process,) = worker_processes(first)
        os.kill(process, signal.SIGKILL)
        cluster.remove_node(second, allow_graceful=False)
        cluster.add_node(num_cpus=1, **_MEMORY)
        wait_for(lambda: len(places_with_losses(job)) == 3 or not job.is_alive, "losses of the new node", _LONGEST)
        assert len(places_with_losses(job)) == 3
        check_same(finished_losses(job), local_losses)
        assert job.log_text.count("was lost; another one goes on") >= 2
        ingest_finished_jobs(store)
        assert store.rows("SELECT count(base_loss), count(reference_loss) FROM scored_2") == [(ROWS, ROWS)]


@pytest.mark.usefixtures("small_steps")
def test_a_killed_process_is_started_again_and_goes_on(
    cluster: Any, tmp_path: Path, tiny_base: Path, tiny_reference: Path, local_losses: dict[str, pa.Table]
) -> None:
    with store_with_rows(tmp_path / "workspace") as store:
        job = begin(store, tiny_base, tiny_reference, on(cluster))
        wait_for(lambda: job.shards, "the first losses", _LONGEST)
        os.kill(int(read_json_object(job.folder / "starting.json")["process"]), signal.SIGKILL)
        wait_for(lambda: job.state == "interrupted", "the end of the process")
        ingest_finished_jobs(store)
    with Store.open(tmp_path / "workspace", "a test") as store:
        start_or_wait(job)
        check_same(finished_losses(job), local_losses)
        ingest_finished_jobs(store)
        assert store.rows("SELECT count(base_loss), count(reference_loss) FROM scored_2") == [(ROWS, ROWS)]


def test_a_model_that_a_node_lacks_is_copied_from_the_node_of_the_job(cluster: Any, tiny_base: Path) -> None:
    import ray

    (model,) = model_folders({"base": spec_of(tiny_base).to_fields()})
    # As if the node had other files under that path.
    model = replace(model, files=tuple((name, size + 1) for name, size in model.files), digest=secrets.token_hex(8))
    copy = ROOT / "models" / model.digest
    ray.init(address=cluster.address, namespace="lobass", log_to_driver=False)
    try:
        worker = ray.remote(NodeWorker).options(num_cpus=1).remote({})
        assert ray.get(worker.greet.remote([model])).lacks == (model.digest,)
        ray.get(worker.stage.remote([model], ray.get_runtime_context().get_node_id()))
        assert ray.get(worker.greet.remote([model])).lacks == ()
        assert hash_of_weights(copy) == hash_of_weights(tiny_base)
    finally:
        ray.shutdown()
        shutil.rmtree(copy, ignore_errors=True)


def trained_adapters(store: Store, base: Path, settings: dict[str, str]) -> dict[str, bytes]:
    """The weights of a cross-fitted reference's models, by name."""
    with chosen(settings):
        job = begin_training(store, TrainRequest("data", str(base), "tuned", template="plain", folds=2))
    assert job is not None
    wait_for(lambda: not job.is_alive, "the end of the training", _LONGEST)
    assert job.state == "done", (job.outcome, job.log_text)
    ingest_finished_jobs(store)
    folder = store.workspace / "models" / "tuned"
    named = {read_json_object(path)["base_model_name_or_path"] for path in folder.glob("*/adapter_config.json")}
    assert named == {str(base)}
    return {path.parent.name: path.read_bytes() for path in folder.glob("*/adapter_model.safetensors")}


def test_folds_trained_side_by_side_on_the_cluster_are_those_of_one_process(
    cluster: Any, tmp_path: Path, tiny_base: Path
) -> None:
    with store_with_rows(tmp_path / "here", 24) as here, store_with_rows(tmp_path / "there", 24) as there:
        expected = trained_adapters(here, tiny_base, {})
        assert sorted(expected) == ["fold-0-seed-0", "fold-1-seed-0"]
        assert trained_adapters(there, tiny_base, on(cluster)) == expected
