"""The values of a finished job of gradients become a score of its dataset, as an imported one is."""

from ..data.errors import NotFound, SourceUnreadable
from ..jobs.job import Job
from ..store import ScoreOrigin, Store
from ..store.store import DATASET_KEY
from ..training.gradients.gradient_jobs import read_values
from .score_imports import save_scores


def save_gradient_score(store: Store, job: Job) -> None:
    """Save the score; repeating changes nothing. Raises `NotFound` if the dataset or its rows are gone, `NameTaken` if
    another score has got the name meanwhile."""
    request = job.request
    store.check_same_dataset(request["dataset"], request[DATASET_KEY])
    origin = ScoreOrigin(**request["origin"])
    (name,) = origin.columns
    table = read_values(job).select(["example_id", "value"]).rename_columns(["key", name])
    try:
        save_scores(store, request["dataset"], origin, table, request["replace"])
    except SourceUnreadable as error:  # its rows were removed: not to be tried again and again
        raise NotFound(str(error)) from error
