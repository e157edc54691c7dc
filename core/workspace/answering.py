"""What the owner of a workspace does for other processes, beside its own work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Self

from ..data.errors import RequestRefused, WorkspaceLocked
from ..evidence.selection_evidence import evidence_fields
from ..jobs.job import find_job
from ..jobs.queue import cancel, move_up, queue
from ..selection import Selection, coverage_fields, save_selection, selection_profile
from ..store import Store
from ..store.change_record import write_record
from ..store.files import database_path
from ..system.asking import Fields, answer_requests, asked
from ..system.steady_thread import SteadyThread
from ..system.workspace_files import EMBEDDINGS
from .maintenance.backups import back_up
from .partial_runs import partial_fields
from .status import job_overview, status_fields

_POLL_SECONDS = 0.2


def _status(store: Store, _: Fields, __: Path) -> Fields:
    return status_fields(store)


def _select(store: Store, fields: Fields, _: Path) -> Fields:
    """Save a recipe under a name: name, kept (rows), tokens, by_domain, notices, rows (of the dataset), profile
    (`SelectionProfile`), coverage (`Coverage`, None without embeddings), and evidence (what a trial says of it, or
    None)."""
    selection = Selection.from_fields(fields["recipe"])
    summary = save_selection(store, fields["name"], selection, replace_existing=True)
    by_domain = {
        row["domain"]: {"kept": row["kept_rows"], "rows": row["rows"], "tokens": row["kept_tokens"]}
        for row in summary.domains.to_dict("records")
    }
    return {
        "name": fields["name"],
        "kept": summary.kept_rows,
        "tokens": summary.kept_tokens,
        "by_domain": by_domain,
        "notices": list(summary.notices),
        "rows": summary.rows,
        "profile": selection_profile(store, selection).to_fields(),
        "coverage": coverage_fields(store, selection),
        "evidence": evidence_fields(store.workspace, selection),
    }


def _snapshot(store: Store, _: Fields, folder: Path) -> Fields:
    changes = store.copy_to(database_path(folder))
    write_record(folder, changes, closed=True)
    return {"changes": changes}


def _backup(store: Store, fields: Fields, _: Path) -> Fields:
    return asdict(back_up(store, Path(fields["path"])))


def _jobs(store: Store, _: Fields, __: Path) -> Fields:
    return {"workspace": str(store.workspace), "jobs": job_overview(store)}


def _move_job(store: Store, fields: Fields, _: Path) -> Fields:
    move_up(find_job(store.workspace, fields["job"]), fields["first"])
    return {"queue": [job.job_id for job in queue(store.workspace)]}


def _cancel_job(store: Store, fields: Fields, _: Path) -> Fields:
    job = find_job(store.workspace, fields["job"])
    cancel(job)
    return {"job": job.job_id, "state": job.state}


def _open_job(store: Store, fields: Fields, _: Path) -> Fields:
    return partial_fields(store, find_job(store.workspace, fields["job"]))


_WORK: dict[str, Callable[[Store, Fields, Path], Fields]] = {
    "status": _status,
    "select": _select,
    "snapshot": _snapshot,
    "backup": _backup,
    "jobs": _jobs,
    "move job": _move_job,
    "cancel job": _cancel_job,
    "open job": _open_job,
}


def perform(store: Store, kind: str, fields: Fields, folder: Path) -> Fields:
    """Do what a request of that kind asks for; files of the answer go into the folder."""
    if kind not in _WORK:
        raise RequestRefused(
            f"The program that holds the workspace does not know the request {kind!r}. Stop it and start it again: it "
            "is of another version."
        )
    return _WORK[kind](store, fields, folder)


@contextmanager
def snapshot(workspace: Path, reader: str, refusal: WorkspaceLocked) -> Iterator[Store]:
    """A copy of the store that another process holds, as it is now; it takes as much room as the store, and goes with
    the context. Embeddings, whose files are never changed, are read where they are. Raises as `asked` does."""
    with asked(workspace, "snapshot", {}, refusal) as answer:
        with suppress(OSError):  # a disk without links: what needs embeddings then says that they are not there
            (answer.folder / EMBEDDINGS).symlink_to((workspace / EMBEDDINGS).absolute())
        with Store.open(answer.folder, reader) as store:
            yield store


class Answering(SteadyThread):
    """Answers the requests of other processes while the store is open, as a context manager or until stopped."""

    does = "answers other programs that use this workspace"

    def __init__(self, store: Store) -> None:
        super().__init__("answering", _POLL_SECONDS)
        self._store = store

    def do_round(self) -> None:
        """Answer what is asked now."""
        answer_requests(self._store.workspace, lambda kind, fields, folder: perform(self._store, kind, fields, folder))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
