"""The kinds of jobs, in one table: what the worker computes, how results reach the store, and the sentences about it.

To add a kind, add its module and an entry here. Its work is named, not imported, because most of it loads torch, and
the dashboard reads this table too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..evidence.trial_jobs import CELL, PROBE, is_cell_being_published, publish_cell
from ..jobs.job import Job
from ..jobs.results import check_whole
from ..near_duplicates.jobs import SEMANTIC_KIND, ingest_near_duplicates
from ..near_duplicates.search import RESULT
from ..scoring.embeddings.embedding_jobs import (
    EMBEDDED,
    embedding_model,
    finish_embeddings,
    ingest_embeddings,
)
from ..scoring.embeddings.map_jobs import KIND as MAP
from ..scoring.embeddings.map_jobs import ingest_map
from ..scoring.embeddings.map_work import RESULT as PLACES
from ..scoring.generation.response_jobs import FINISHED as FINISHED_RESPONSES
from ..scoring.generation.response_jobs import KIND as GENERATE
from ..scoring.ingest import ingest_losses, save_run_of
from ..store import Store
from ..training.checkpoints import CHECKPOINT_COMPLETE, CHECKPOINTS
from ..training.gradients.gradient_jobs import FINISHED as FINISHED_GRADIENTS
from ..training.gradients.gradient_jobs import KIND as GRADIENTS
from ..training.publish import is_being_published, publish_reference
from .generated_pairs import save_generated_pairs
from .gradient_scores import save_gradient_score
from .like_file_jobs import KIND as LIKE_FILE
from .like_jobs import KIND as LIKE
from .like_jobs import RESULT as SCORES
from .like_jobs import ingest_like


@dataclass(frozen=True, slots=True)
class JobKind:
    """One kind of job.

    `work` names what the worker runs, `module:function` below this package; it is called with the job and returns
    fields of the outcome. With `shares_lock`, it is also given the file descriptor of the job's lock, for its own
    processes. `results` are patterns of the files that it leaves, for its outcome to count (`core.jobs.results`).
    `ingest` brings what is finished so far into the store, and is repeated while the job runs; `finish` is called once
    the job is done. Both can be repeated after a crash; `has_begun_to_finish` tells that before one, `finish` found the
    results whole and has changed or moved them. Sentences: `title` of a request;
    `if_cancelled` says what cancelling does, and `on_resume` what resuming an interrupted job does. Jobs that are
    not `listed` are shown only where they were started.
    """

    name: str
    title: Callable[[dict[str, Any]], str]
    work: str
    if_cancelled: str
    on_resume: Callable[[Job], str]
    ingest: Callable[[Store, Job], None] = lambda store, job: None
    finish: Callable[[Store, Job], None] = lambda store, job: None
    has_begun_to_finish: Callable[[Store, Job], bool] = lambda store, job: False
    results: tuple[str, ...] = ()
    listed: bool = True
    shares_lock: bool = False

    def work_function(self) -> Callable[..., dict[str, Any]]:
        """Import and return what the worker runs."""
        module, _, function = self.work.partition(":")
        found: Callable[..., dict[str, Any]] = getattr(import_module(f"..{module}", __package__), function)
        return found


_LOSSES = ("shards/*.arrow", "noise-*.txt")
_MODEL = ("model/**/*",)


def _evaluated(request: dict[str, Any]) -> str:
    first, *others = (part["model"]["label"] for part in request["parts"])
    return f"{first} and {len(others):,} more models" if others else str(first)


def _resumed_training(job: Job) -> str:
    if any(job.folder.glob(f"{CHECKPOINTS}/*/{CHECKPOINT_COMPLETE}")):
        return "Resume continues from the last checkpoint; Discard deletes it."
    return "There is no checkpoint yet; Resume restarts the training."


JOB_KINDS = {
    kind.name: kind
    for kind in (
        JobKind(
            "score",
            lambda request: f"Scoring run {request['run']} on dataset {request['dataset']}",
            "scoring.scoring_job:score",
            "Stops after the current batch. Computed losses are kept; scoring again computes only the rest.",
            lambda job: "Computed losses are kept; Resume computes the rest.",
            ingest_losses,
            save_run_of,
            results=_LOSSES,
            shares_lock=True,
        ),
        JobKind(
            "train",
            lambda request: f"Training reference {request['name']} on dataset {request['dataset']}",
            "training.train:train_reference",
            "Stops after the current step and makes no reference; its checkpoints are deleted. Data, earlier "
            "references and computed losses are kept. Closing this page does not stop it.",
            _resumed_training,
            finish=publish_reference,
            has_begun_to_finish=is_being_published,
            results=_MODEL,
            shares_lock=True,
        ),
        JobKind(
            "estimate",
            lambda request: f"Estimating the time to score dataset {request['dataset']}",
            "scoring.estimating:estimate",
            "Stops and keeps nothing.",
            lambda job: "Resume restarts the estimate.",
            listed=False,
        ),
        JobKind(
            "evaluate",
            lambda request: f"Evaluating {_evaluated(request)} on dataset {request['dataset']}",
            "scoring.scoring_job:score",
            "Stops after the current batch. Computed losses are kept; evaluating again computes only the rest.",
            lambda job: "Computed losses are kept; Resume computes the rest.",
            ingest_losses,
            results=_LOSSES,
            shares_lock=True,
        ),
        JobKind(
            "embed",
            lambda request: f"Embedding {request['of']} with {embedding_model(request).label}",
            "scoring.embeddings.embed:embed",
            "Stops after the current batch. Computed embeddings are kept; embedding again computes only the rest.",
            lambda job: "Computed embeddings are kept; Resume computes the rest.",
            ingest_embeddings,
            finish_embeddings,
            results=(f"{EMBEDDED}/*.arrow",),
        ),
        JobKind(
            GRADIENTS,
            lambda request: (
                f"Gradient similarity of dataset {request['dataset']} to {request['origin']['file']} by "
                f"{request['reference']['label']}"
            ),
            "training.gradients.gradient_work:compute_gradients",
            "Stops after the current row. Finished rows are kept; the same command computes only the rest.",
            lambda job: "Finished rows are kept; Resume computes the rest.",
            finish=save_gradient_score,
            results=FINISHED_GRADIENTS,
        ),
        JobKind(
            GENERATE,
            lambda request: (
                f"Responses of {request['base']['label']} to the prompts of dataset {request['dataset']}, for dataset "
                f"{request['name']}"
            ),
            "scoring.generation.generate_work:generate",
            "Stops after the current token. Finished responses are kept; the same command generates only the rest.",
            lambda job: "Finished responses are kept; Resume generates the rest.",
            finish=save_generated_pairs,
            results=FINISHED_RESPONSES,
        ),
        JobKind(
            CELL,
            lambda request: f"Trial {request['trial']}: training and evaluating {request['cell']}",
            "training.train:train_reference",
            "Stops this model and keeps the trial's finished ones; the trial can go on later.",
            _resumed_training,
            finish=publish_cell,
            has_begun_to_finish=is_cell_being_published,
            results=_MODEL,
            listed=False,
        ),
        JobKind(
            PROBE,
            lambda request: f"Estimating the time of training on dataset {request['dataset']}",
            "training.probe:probe",
            "Stops and keeps nothing.",
            lambda job: "Resume restarts the estimate.",
            listed=False,
        ),
        JobKind(
            "near_duplicates",
            lambda request: (
                f"Near-duplicate search (threshold {request['threshold']:g}) in dataset {request['dataset']}"
            ),
            "near_duplicates.search:find_near_duplicates",
            "Stops and keeps nothing; a new search starts from the beginning.",
            lambda job: "Resume restarts the search.",
            finish=ingest_near_duplicates,
            results=(RESULT,),
        ),
        JobKind(
            SEMANTIC_KIND,
            lambda request: (
                f"Semantic-duplicate search (cosine {request['threshold']:g}) in dataset {request['dataset']}"
            ),
            "near_duplicates.semantic:find_semantic_duplicates",
            "Stops and keeps nothing; a new search starts from the beginning.",
            lambda job: "Resume restarts the search.",
            finish=ingest_near_duplicates,
            results=(RESULT,),
        ),
        JobKind(
            MAP,
            lambda request: f"Map of dataset {request['dataset']}",
            "scoring.embeddings.map_work:make_map",
            "Stops and keeps nothing; a new map starts from the beginning.",
            lambda job: "Resume restarts the map.",
            finish=ingest_map,
            results=(PLACES,),
        ),
        JobKind(
            LIKE,
            lambda request: f"Rows of dataset {request['dataset']} like {len(request['targets']):,} of them",
            "workspace.like_jobs:score_rows",
            "Stops and keeps nothing; a new search starts from the beginning.",
            lambda job: "Resume restarts the search.",
            finish=ingest_like,
            results=(SCORES,),
        ),
        JobKind(
            LIKE_FILE,
            lambda request: f"Rows of dataset {request['dataset']} like those of {request['origin']}",
            "workspace.like_file_work:score_rows",
            "Stops after the current batch. Computed embeddings are kept; a new search computes only the rest.",
            lambda job: "Computed embeddings are kept; Resume computes the rest.",
            ingest_embeddings,
            ingest_like,
            results=(SCORES, f"{EMBEDDED}/*.arrow"),
        ),
    )
}


def check_arrived(store: Store, job: Job, by_content: bool = True) -> None:
    """Raise `JobIncomplete` if what an ended job made is not all here. Once `finish` has begun, the results may be
    changed or moved, and are not looked for."""
    kind, is_done = JOB_KINDS[job.kind], (job.outcome or {}).get("state") == "done"
    if not (is_done and kind.has_begun_to_finish(store, job)):
        check_whole(job, kind.results, by_content)


def unknown_kind_sentence(job: Job) -> str:
    """Why a job of a kind that is not in the table cannot go on."""
    return (
        f"This program does not know jobs of the kind {job.kind!r}, only {', '.join(JOB_KINDS)}. Use the program "
        "version that made the job."
    )
