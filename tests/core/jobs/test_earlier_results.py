"""A new job has the files that earlier ones finished of the same work, and nothing else."""

from pathlib import Path

from core.jobs.earlier_results import link_earlier_results
from core.jobs.job import Job, create_job

PATTERNS = ("means/*.npy", "values/*.parquet")


def made(workspace: Path, kind: str, work: str, *names: str) -> Job:
    """A job of some work that finished files of these names."""
    job = create_job(workspace, {"kind": kind, "work": work}, {})
    for name in names:
        path = job.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{work} of {kind}")
    return job


def test_a_third_job_of_one_work_has_each_file_of_the_others_once(tmp_path: Path) -> None:
    made(tmp_path, "generate", "other", "values/other.parquet")
    made(tmp_path, "gradients", "same", "values/gradients.parquet")
    made(tmp_path, "generate", "same", "means/0.npy", "values/a.parquet", "values/.b.parquet.tmp", "log/c.parquet")
    for last in ("values/d.parquet", "means/1.npy"):
        job = made(tmp_path, "generate", "same", last)
        link_earlier_results(job, PATTERNS, "work")
    found = {path.relative_to(job.folder).as_posix(): path for path in job.folder.rglob("*") if path.is_file()}
    assert sorted(found) == ["job.json", "means/0.npy", "means/1.npy", "values/a.parquet", "values/d.parquet"]
    assert found["values/a.parquet"].read_text() == "same of generate"
    assert found["values/a.parquet"].stat().st_nlink == 3
