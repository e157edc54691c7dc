"""Changes of whole datasets: what depends on one, and renaming, merging and removing it once no job uses it."""

from dataclasses import dataclass

from ..data.errors import NameTaken
from ..data.listing import listed
from ..jobs.job import all_jobs
from ..selection import selections_of_run
from ..store import Store, merge_dataset, rename_dataset, set_dataset_aside
from .job_kinds import JOB_KINDS


@dataclass(frozen=True, slots=True)
class DatasetUse:
    """What depends on a dataset: names of its runs and of the saved selections of these runs."""

    runs: tuple[str, ...]
    selections: tuple[str, ...]

    def sentence(self) -> str:
        """The same for people."""
        if not self.runs:
            return "No run or selection uses it."
        runs = f"{len(self.runs):,} {'run' if len(self.runs) == 1 else 'runs'} ({listed(self.runs)})"
        if not self.selections:
            return f"{runs}, no selection."
        count = f"{len(self.selections):,} {'selection' if len(self.selections) == 1 else 'selections'}"
        return f"{runs}, {count} ({listed(self.selections)})."


def dataset_use(store: Store, name: str) -> DatasetUse:
    """What depends on a dataset. Raises `NotFound`."""
    found = store.rows("SELECT name FROM run WHERE dataset_id = ? ORDER BY run_id", [store.dataset_id(name)])
    runs = tuple(run for (run,) in found)
    return DatasetUse(runs, tuple(sorted(name for run in runs for name in selections_of_run(store, run))))


def rename(store: Store, name: str, new_name: str) -> None:
    """Rename a dataset. Raises like `rename_dataset`, and `NameTaken` while an unfinished job uses it."""
    _check_idle(store, name)
    rename_dataset(store, name, new_name)


def merge(store: Store, name: str, into: str) -> int:
    """Merge a dataset into another one; returns the id to restore it by. Raises like `merge_dataset`, and `NameTaken`
    while an unfinished job uses either."""
    for used in (name, into):
        _check_idle(store, used)
    return merge_dataset(store, name, into)


def remove(store: Store, name: str) -> int:
    """Remove a dataset and its runs; returns the id to restore it by. Raises `NotFound`, and `NameTaken` while an
    unfinished job uses it."""
    _check_idle(store, name)
    return set_dataset_aside(store, name)


def _check_idle(store: Store, name: str) -> None:
    """Jobs know their dataset by name, so it must not change under them. An estimate may fail."""
    for job in all_jobs(store.workspace):
        if job.is_settled or job.problem is not None or job.request.get("dataset") != name:
            continue
        kind = JOB_KINDS.get(job.kind)
        if kind is None or kind.listed:
            raise NameTaken(
                f"The dataset {name!r} is used by an unfinished job ({job.job_id}). Wait until it is done, or cancel "
                "it on the Score page."
            )
