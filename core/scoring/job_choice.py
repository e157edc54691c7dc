"""How the engine computes a job's losses: chosen once, as the first model is loaded, for all models of the job."""

import fcntl
import json
from dataclasses import asdict

import torch

from ..data.errors import JsonInvalid
from ..data.json_types import checked
from ..engine.engine_choice import EngineChoice
from ..engine.kept_choice import choice_for
from ..jobs.job import ENGINE_CHOICE, Job
from ..system.atomic_files import write_durably
from ..system.untrusted_json import read_json_object


def choice_of_job(job: Job, model: torch.nn.Module) -> EngineChoice:
    """The job's choice; chosen for this model if the job has none yet, or the file does not say a known one.

    A job that goes on on another machine keeps it: base and reference must be computed alike.
    """
    leases = job.folder / "leases"
    leases.mkdir(exist_ok=True)
    with open(leases / "engine-choice.lease", "a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = job.folder / ENGINE_CHOICE
        try:
            found = checked(read_json_object(path), EngineChoice, str(path))
            if found.is_known:
                return found
        except (FileNotFoundError, JsonInvalid):
            pass
        causal = getattr(model, "get_base_model", lambda: model)()
        choice = choice_for(causal)
        write_durably(path, [json.dumps(asdict(choice)).encode("ascii")])
        return choice
