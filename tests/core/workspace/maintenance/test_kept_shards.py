"""Shards outlive their job until the store's copy is proved, and give back what the store has lost."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from core.jobs.job import Job
from core.scoring.planning import ScoreRequest, create_score_job, plan_scoring
from core.store import Store
from core.workspace.maintenance.kept_shards import verify_and_prune_shards
from core.workspace.supervisor import ingest_finished_jobs
from tests.command_line import ROOT
from tests.core.workspace.test_supervision import ROWS, finish_scoring, losses, request_, store  # noqa: F401 (fixtures)

Fixtures = tuple[Path, Job]


@pytest.fixture
def settled(store: Store, request_: ScoreRequest) -> Fixtures:  # noqa: F811
    """A closed workspace with one settled score job, its shards kept."""
    job = create_score_job(store, plan_scoring(store, request_))
    finish_scoring(job)
    ingest_finished_jobs(store)
    store.close()
    return store.workspace, job


def test_shards_stay_until_a_later_opening_has_read_their_losses_from_the_file(settled: Fixtures) -> None:
    workspace, job = settled
    assert len(job.shards) == 2
    with Store.open(workspace, "a test") as again:
        assert verify_and_prune_shards(again) == []
        assert job.shards == []
        assert losses(again) == 2 * ROWS


def test_shards_stay_in_the_opening_that_took_them_in(store: Store, request_: ScoreRequest) -> None:  # noqa: F811
    job = create_score_job(store, plan_scoring(store, request_))
    finish_scoring(job)
    ingest_finished_jobs(store)
    verify_and_prune_shards(store)
    assert len(job.shards) == 2


def test_shards_stay_while_their_losses_are_only_in_the_log(tmp_path: Path, settled: Fixtures) -> None:
    """A log can vanish: what is only there is not proved."""
    workspace, job = settled
    (workspace / "store.duckdb").unlink()
    (workspace / "store.changes").unlink()
    code = (
        "import os, sys; from pathlib import Path; from core.store import Store\n"
        "from core.workspace.maintenance.kept_shards import notices_of\n"
        "Store.open(Path(sys.argv[1]), 'a test').close(); store = Store.open(Path(sys.argv[1]), 'a test')\n"
        "notices_of(store); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(workspace)], cwd=ROOT, check=False)
    with Store.open(workspace, "a test") as again:
        assert losses(again) == 2 * ROWS
        verify_and_prune_shards(again)
        assert len(job.shards) == 2
    with Store.open(workspace, "a test") as later:
        verify_and_prune_shards(later)
        assert job.shards == []


def lose_some(connection: duckdb.DuckDBPyConnection) -> None:
    """Losses of one model, as a damaged file would lose them: the ledger still has their shard."""
    connection.execute("DELETE FROM loss WHERE loss_set_id = 1")


def lose_shard(connection: duckdb.DuckDBPyConnection) -> None:
    """A shard whole, as a lost log would lose it."""
    connection.execute("DELETE FROM loss WHERE loss_set_id = 1; DELETE FROM shard WHERE loss_set_id = 1")


def lose_everything(connection: duckdb.DuckDBPyConnection) -> None:
    """All losses and what they are of, as an older backup would not have them, and a number given to another model."""
    connection.execute("DELETE FROM loss; DELETE FROM shard; DELETE FROM loss_set")
    connection.execute("INSERT INTO loss_set VALUES (1, 'another model', 'encoding', 'another', NULL)")


@pytest.mark.parametrize(
    ("lose", "missing"),
    [(lose_some, ROWS), (lose_shard, ROWS), (lose_everything, 2 * ROWS)],
    ids=lambda value: str(value)[:20],
)
def test_losses_that_the_store_has_lost_come_back_from_the_shards(
    settled: Fixtures, lose: Callable[[duckdb.DuckDBPyConnection], None], missing: int
) -> None:
    workspace, job = settled
    with duckdb.connect(str(workspace / "store.duckdb")) as connection:
        before = connection.execute("SELECT example_id, nll_sum FROM loss ORDER BY ALL").fetchall()
        lose(connection)
    with Store.open(workspace, "a test") as again:
        (notice,) = verify_and_prune_shards(again)
        assert (
            notice == f"{missing} losses were missing from the store and were restored from the shards of {job.job_id}."
        )
        assert again.rows("SELECT example_id, nll_sum FROM loss ORDER BY ALL") == before
        assert again.rows(
            "SELECT count(*) FROM loss JOIN loss_set USING (loss_set_id) WHERE model_label = 'another'"
        ) == [(0,)]


def test_a_kept_shard_that_is_damaged_is_said_and_left(settled: Fixtures) -> None:
    workspace, job = settled
    job.shards[0].write_bytes(b"not what was written")
    with Store.open(workspace, "a test") as again:
        (notice,) = verify_and_prune_shards(again)
        assert "is damaged" in notice
    assert len(job.shards) == 1
