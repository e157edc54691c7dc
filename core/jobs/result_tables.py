"""The table that a job makes: its worker writes it in one piece, and whoever takes it in reads it."""

import pyarrow as pa
import pyarrow.parquet as pq

from ..data.errors import JobIncomplete
from ..system.durable_file import DurableFile
from .job import Job


def write_result_table(job: Job, name: str, table: pa.Table) -> None:
    """Write a table as a file of the job's folder: whole, and flushed to disk, or not at all."""
    with DurableFile(job.folder / name) as file:
        pq.write_table(table, file)
        file.finish()
        file.replace()


def read_result_table(job: Job, name: str) -> pa.Table:
    """The table of that name. Raises `JobIncomplete` if it has not arrived."""
    try:
        return pq.read_table(job.folder / name)
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        raise JobIncomplete(f"{job.folder / name} is not there or damaged. Copy it again to go on.") from error
