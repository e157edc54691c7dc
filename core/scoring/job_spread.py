"""Loads a job's models, spread if its request says so. Imports torch."""

import logging
from collections.abc import Callable
from typing import TypeVar

from ..data.errors import ModelTooLarge
from ..data.placement import SPREAD
from ..jobs.executors import CLUSTER
from ..jobs.job import PLACED, Job
from ..models.loading import can_be_spread
from ..models.resolving import ModelSpec
from ..models.spreading import Spread

log = logging.getLogger("worker")
_Loaded = TypeVar("_Loaded")


def load_for(
    job: Job, load: Callable[[ModelSpec, str, str, Spread | None], _Loaded], spec: ModelSpec, device: str
) -> _Loaded:
    """What `load` (`load_model`, `load_with_base`) gives of a model of the job, in the job's precision. Raises as it
    does; a model that is too large is refused with the advice to spread it, if it can be."""
    spread = Spread(job.folder / PLACED, log.info) if job.placement == SPREAD else None
    try:
        return load(spec, job.request["dtype"], device, spread)
    except ModelTooLarge as error:
        if spread or job.executor_name == CLUSTER or not can_be_spread(spec):
            raise
        raise ModelTooLarge(f"{error} Or spread its layers over all memory, with --placement spread.") from error
