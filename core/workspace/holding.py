"""Opening a workspace for a piece of work: as its owner, or beside the process that owns it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..data.errors import WorkspaceLocked
from ..store import Store
from ..system.asking import Fields, asked, own_or_ask
from .answering import Answering, perform, snapshot
from .maintenance.kept_shards import notices_of
from .supervisor import intake_of

Say = Callable[[str], None]
"""Is given a sentence for people."""


@contextmanager
def owned(path: Path, owner: str, say: Say) -> Iterator[Store]:
    """The store of the workspace at `path`, owned meanwhile; finished jobs are in it, and other processes' requests
    are answered. `owner` is what they are told, `say` gets what opening found and which jobs cannot be taken in.

    Raises `WorkspaceLocked` if another process owns it, `StoreUnusable` if it cannot be opened.
    """
    with Store.open(path, owner) as store:
        for notice in notices_of(store):
            say(notice)
        intake = intake_of(store)
        intake.take_in()
        for problem in intake.problems:
            say(str(problem))
        with Answering(store):
            yield store


@contextmanager
def readable(path: Path, owner: str, say: Say) -> Iterator[Store]:
    """The workspace's store for reading: a copy of it, as it is now, while another process owns it."""
    with ExitStack() as stack:
        yield own_or_ask(
            lambda: stack.enter_context(owned(path, owner, say)),
            lambda refusal: stack.enter_context(snapshot(path, owner, refusal)),
        )


def done_by_owner(path: Path, owner: str, kind: str, fields: Fields, say: Say) -> Fields:
    """The answer to a request of that kind (see `answering`), given here or by the process that owns the workspace."""

    def own() -> Fields:
        with owned(path, owner, say) as store:
            return perform(store, kind, fields, path)

    return own_or_ask(own, lambda refusal: asked_of_owner(path, kind, fields, refusal))


def asked_of_owner(path: Path, kind: str, fields: Fields, refusal: WorkspaceLocked) -> Fields:
    """What the process that owns the workspace answers. Raises as `asked` does."""
    with asked(path, kind, fields, refusal) as answer:
        return answer.fields
