"""The search for near-duplicates that a recipe names: of texts, or of its run's embeddings."""

from contextlib import suppress

from ..data.errors import ModelUnusable
from ..store import Store, near_duplicate_set
from ..store.embedding_files import embeddings_of_run
from ..store.near_duplicates import NearDuplicateSet, near_duplicate_sets
from .recipe import BY_EMBEDDINGS, BY_TEXT, Selection
from .scored_run import ScoredRun


def near_search(store: Store, selection: Selection, run: ScoredRun) -> NearDuplicateSet | None:
    """The search; None if the recipe names none. Raises `NotFound` with the command for one that is not there."""
    if selection.near_duplicates is None:
        return None
    key = embeddings_of_run(store.run(run.name)).key if selection.near_duplicates_by == BY_EMBEDDINGS else None
    return near_duplicate_set(store, run.dataset, selection.near_duplicates, key)


def run_searches(store: Store, run_name: str) -> dict[str, list[NearDuplicateSet]]:
    """The searches that a recipe of this run can name, newest first, by what they compared."""
    run = store.run(run_name)
    found = {BY_TEXT: near_duplicate_sets(store, run["dataset"]), BY_EMBEDDINGS: []}
    with suppress(ModelUnusable):  # it does not say which base it has, so it has no embeddings
        found[BY_EMBEDDINGS] = near_duplicate_sets(store, run["dataset"], embeddings_of_run(run).key)
    return found
