"""Kept shards: a worker's shards are kept after their job until the store's copy has been read back from its file;
losses that the store has lost are restored from them."""

from ...data.errors import StoreUnusable
from ...jobs.job import Job, all_jobs
from ...jobs.shards import read_shard
from ...scoring.earlier_shards import drop_unsound_shards
from ...scoring.ingest import complete_runs, loss_set_of
from ...store import Store
from ...system.file_hash import file_sha256
from .old_jobs import remove_old_jobs


def notices_of(store: Store) -> list[str]:
    """Verify kept shards of a newly opened store, complete runs with losses that have arrived since, and remove old
    jobs that hold none; returns notices about the store, one sentence each."""
    notices = [*store.opened.notices, *verify_and_prune_shards(store)]
    complete_runs(store)
    remove_old_jobs(store.workspace)
    return notices


def verify_and_prune_shards(store: Store) -> list[str]:
    """Restore losses that the store lacks, and remove shards of settled jobs whose losses are verified.

    Call this once after opening. A shard is removed if the file was opened with all changes in it (none in the WAL),
    nothing was changed since, and every loss of the shard was read from the file. Returns one sentence per problem.
    """
    notices: list[str] = []
    for job in all_jobs(store.workspace):
        if job.problem:
            notices += [job.problem] if job.is_settled else []  # of the others, whoever takes them in tells
        elif job.is_settled or store.opened.lacks_losses:
            notices += _verify_shards(store, job)
    return notices


def _verify_shards(store: Store, job: Job) -> list[str]:
    if job.kind != "score" or not job.shards:
        return []
    drop_unsound_shards(job)
    proved = job.is_settled and store.opened.from_file and store.changes == store.opened.changes
    notices: list[str] = []
    restored = 0
    for part in job.request["parts"]:
        loss_set = loss_set_of(store, job, part["role"])
        ingested = store.ingested_shards(job.shard_prefix(part["role"]))
        for path in job.shards_of(part["role"]):
            try:
                losses = read_shard(path, job.request["description"]["model_fingerprints"][part["role"]])
            except StoreUnusable as error:
                notices.append(str(error))
                continue
            if path.stem not in ingested:
                restored += store.ingest_shard(path.stem, loss_set, losses, file_sha256(path))
            elif store.absent_losses(loss_set, losses):
                restored += store.put_back_losses(loss_set, losses)
            elif proved:
                path.unlink()
    if restored:
        notices.append(
            f"{restored:,} losses were missing from the store and were restored from the shards of {job.job_id}."
        )
    return notices
