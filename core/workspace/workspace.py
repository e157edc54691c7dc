"""A workspace as Python programs and notebooks use it; `docs/python.md` shows it at work."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import pandas as pd
import pyarrow as pa

from ..data import settings
from ..data.errors import StoreUnusable, WorkspaceLocked
from ..evidence import TrialResults
from ..evidence.findings import Evidence, evidence_of
from ..evidence.trial_folder import trial_names
from ..exporting import selection_from_manifest
from ..importing import DomainRule, SourceOptions
from ..importing.row_keys import ROW
from ..jobs.job import Job
from ..jobs.job_progress import Progress
from ..near_duplicates.jobs import DEFAULT_THRESHOLD
from ..scoring.generation.response_jobs import GenerateRequest, Sampling
from ..scoring.planning import ScoreRequest
from ..selection import Selection, saved_selection, select_summary
from ..store import ImportedScore, Store
from ..system.asking import Fields, own_or_ask
from ..training.training_plan import TrainRequest
from . import embedding, evaluation, holding, promptless, running, score_imports
from .answering import perform, snapshot
from .generating import generate_pairs
from .import_batch import Batch, HubChoice, import_batch
from .less_scores import LessRequest, score_less
from .like_these import LikeRequest, score_like
from .loss_table import loss_table
from .s2l_scores import DEFAULT_CLUSTERS, S2lRequest, score_s2l
from .saved_selection import SavedSelection
from .trial_planning import TrialRequest
from .trials import plan_trial, run_trial
from .vector_imports import COLUMN, VectorRequest, import_vectors

OWNER = "a Python program (lobass.open)"
ShowProgress = Callable[[Progress], None]


def open(path: str | Path | None = None) -> "Workspace":
    """Open the workspace at `path` (else `LOBASS_WORKSPACE`, else `workspace/`), made if there is none.

    Use it as a context manager, or close it. While another process owns the workspace (the dashboard, or a command
    that waits for a job) all that reads works, and so does `select`; what else writes raises `WorkspaceLocked`.
    """
    return Workspace(settings.workspace_path(Path(path) if path else None))


class _PrintedProgress:
    """Prints a job's progress: on a terminal in one line that is replaced, elsewhere one line for each phase and its
    end."""

    def __init__(self) -> None:
        self._printed: tuple[str, bool] = ("", True)

    def __call__(self, progress: Progress) -> None:
        now = (progress.phase, progress.share == 1.0)
        is_terminal, has_ended = sys.stdout.isatty(), now[1]
        if now == self._printed and (has_ended or not is_terminal):
            return
        self._printed = now
        sys.stdout.write(f"\r{progress.sentence():<100}" if is_terminal else progress.sentence())
        if has_ended or not is_terminal:
            sys.stdout.write("\n")
        sys.stdout.flush()


print_progress = _PrintedProgress()
"""Prints a job's progress to stdout; what `train` and `score` take as `progress`."""


class Workspace:
    """An open workspace; `open` makes it. `notices`: what opening found that a person should know."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notices: list[str] = []
        self._stack = ExitStack()
        self._store: Store | None = None
        self._is_closed = False
        with suppress(WorkspaceLocked):
            self._owned()

    def close(self) -> None:
        """Give the workspace back to other programs."""
        self._is_closed, self._store = True, None
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Workspace({str(self.path)!r})"

    # What is in it

    def status(self) -> dict[str, Any]:
        """Datasets, references, runs, jobs and selections by name, with counts."""
        return self._done("status", {})

    def rejections(self, dataset: str) -> pd.DataFrame:
        """Records of a dataset's files that are no rows: source, line (of a JSONL file; else the record's number),
        reason, detail."""
        with self._reading() as store:
            return store.frame(
                """
                SELECT source.name AS source, line, reason, detail FROM rejection JOIN source USING (source_id)
                WHERE dataset_id = ? ORDER BY source_id, line
                """,
                [store.dataset_id(dataset)],
            )

    def losses(self, run: str, all_scores: bool = False) -> pd.DataFrame:
        """A run's table, one row a dataset row in its order: row_number, example_id, domain, token_count, losses
        [nats per token], scores, and flags (names joined by ;). `all_scores`: also the run's other scores, imported
        ones included, and text_hash."""
        table: pd.DataFrame = self.losses_arrow(run, all_scores).to_pandas()
        return table

    def losses_arrow(self, run: str, all_scores: bool = False) -> pa.Table:
        """`losses` as an Arrow table."""
        with self._reading() as store:
            return loss_table(store, run, all_scores)

    def evidence(self, run: str) -> Evidence:
        """Whether a run's scores are memory, length or noise: `print(*evidence.sentences(), sep="\\n")`, tables as
        DataFrames, and all as JSON fields by `to_fields`."""
        with self._reading() as store:
            return evidence_of(store, run, self.path)

    # What brings something in

    def import_files(
        self,
        dataset: str,
        *files: str | Path,
        domain: str | None = None,
        domain_field: str | None = None,
        format: str = "auto",
        columns: Mapping[str, str] | None = None,
        split: str | None = None,
        config: str | None = None,
        revision: str | None = None,
    ) -> Batch:
        """Import files, or Hub datasets, into a dataset, as `lobass import` does; the options are the command's.

        The report says how many records became rows, and how many were rejected for which reason. Raises the error of
        the only file, if it cannot be imported; of several, those that can be are.
        """
        options = SourceOptions(format, DomainRule(domain, domain_field), dict(columns or {}))
        batch = import_batch(self._owned(), dataset, map(str, files), options, HubChoice(revision, split, config))
        batch.raise_if_alone()
        return batch

    def import_scores(
        self,
        dataset: str,
        file: str | Path,
        by: str,
        columns: Sequence[str] = (),
        key: str | None = None,
        replace: bool = False,
    ) -> list[ImportedScore]:
        """Import columns of a file as scores of a dataset's runs, as `lobass scores import` does. `by`: "row",
        "example-id" or "text-hash"."""
        return score_imports.import_scores(self._owned(), dataset, Path(file), by, columns, key, replace)

    def train(
        self, dataset: str, base: str | Path, name: str, progress: ShowProgress = print_progress, **options: Any
    ) -> dict[str, Any]:
        """Train a reference of that name on a dataset, and wait for it; nothing is done if it is there already.

        `options` are fields of `TrainRequest`: method ("lora" or "full"), epochs, learning_rate, max_length and so on.
        Returns name, path, trained (whether it was now) and the job's figures. Ctrl-C cancels after the current batch.
        """
        request = TrainRequest(dataset, str(base), name, **options)
        return running.train_reference(self._owned(), request, _waiting(progress), self.notices.append)

    def score(
        self,
        dataset: str,
        base: str | Path,
        reference: str | Path,
        run: str | None = None,
        progress: ShowProgress = print_progress,
        **options: Any,
    ) -> dict[str, Any]:
        """Compute the losses that are not cached yet under both models, and wait for them.

        `options` are fields of `ScoreRequest`: template, max_length, device, dtype and so on. Returns run, examples,
        computed and cached (by role), notices and the speed. What is finished is kept, whatever ends the wait.
        """
        request = ScoreRequest(dataset, str(base), str(reference), run, **options)
        return running.score_dataset(self._owned(), request, _waiting(progress), _ignore)

    def score_without_prompts(
        self,
        run: str,
        reference: bool = False,
        progress: ShowProgress = print_progress,
        device: str = "auto",
        null_reference: str | None = None,
    ) -> dict[str, Any]:
        """Score a run's responses without their prompts under the base, for `ifd`, under the reference, for `pvi_like`,
        or under the null reference of that name, for `pvi`; what is cached is not computed again."""
        return promptless.score_without_prompts(
            self._owned(), run, _waiting(progress), reference, device, null_reference
        )

    def embed(
        self,
        run: str,
        progress: ShowProgress = print_progress,
        device: str = "auto",
        sentence_model: str | Path | None = None,
    ) -> dict[str, Any]:
        """Compute what is missing of the embeddings of a run's dataset: one vector a row, under its base or by a
        sentence-embedding model (a folder or Hub id), as `lobass embed` does."""
        model = None if sentence_model is None else str(sentence_model)
        return embedding.embed_run(self._owned(), run, _waiting(progress), device, sentence_model=model)

    def import_vectors(
        self, run: str, file: str | Path, column: str = COLUMN, by: str = ROW, key: str | None = None
    ) -> dict[str, Any]:
        """Let a run use the vectors of a file as the embeddings of its rows, as `lobass embed --from` does. `by`:
        "row", "example-id" or "text-hash". `embed` goes back to the base's."""
        return import_vectors(self._owned(), VectorRequest(run, Path(file), column, by, key))

    def score_like(
        self,
        target: str | Path,
        run: str,
        name: str | None = None,
        progress: ShowProgress = print_progress,
        replace: bool = False,
        device: str = "auto",
    ) -> dict[str, Any]:
        """Score a run's rows by how like the rows of a file they are, as `lobass scores like` does. Returns scores,
        targets, rejected (by reason), copies and notices."""
        request = LikeRequest(run, str(target), name, replace=replace, device=device)
        scores, fields = score_like(self._owned(), request, _waiting(progress))
        return {"scores": scores, **fields}

    def score_less(
        self,
        target: str | Path,
        run: str,
        name: str | None = None,
        progress: ShowProgress = print_progress,
        reference: str | None = None,
        domain_field: str | None = None,
        replace: bool = False,
        device: str = "auto",
    ) -> dict[str, Any]:
        """Score a run's rows by how their gradients point like those of a file's rows, as `lobass scores less` does; it
        takes a reference trained with `keep_checkpoints=True`. Returns score, targets, subtasks, rejected, reasons,
        computed and notices; the cost is said to `notices` of the workspace before it starts."""
        options = SourceOptions(domain=DomainRule(field=domain_field))
        request = LessRequest(run, str(target), name, options, reference, replace, device)
        score, fields = score_less(self._owned(), request, _waiting(progress), self.notices.append)
        return {"score": score, **fields}

    def score_s2l(
        self,
        run: str,
        reference: str | None = None,
        name: str | None = None,
        progress: ShowProgress = print_progress,
        clusters: int = DEFAULT_CLUSTERS,
        seed: int = 0,
        replace: bool = False,
        device: str = "auto",
    ) -> dict[str, Any]:
        """Order a run's rows by turns of clusters of their loss trajectories, as `lobass scores s2l` does; it takes a
        reference trained with `keep_checkpoints=True`. Returns score, checkpoints, clusters, computed, reasons and
        notices; the cost is said to `notices` of the workspace before it starts."""
        request = S2lRequest(run, reference, name, clusters, seed, replace, device)
        score, fields = score_s2l(self._owned(), request, _waiting(progress), self.notices.append)
        return {"score": score, **fields}

    def generate_pairs(
        self, dataset: str, base: str | Path, name: str, progress: ShowProgress = print_progress, **options: Any
    ) -> dict[str, Any]:
        """Make a dataset `name` of preference pairs, as `lobass generate` does: the replies of a dataset are chosen,
        responses of a base to its prompts rejected.

        `options` are fields of `Sampling` (temperature, top_p, seed, max_new_tokens) and `GenerateRequest` (rows,
        batch_tokens, max_length and so on). Returns pairs, rejected (by reason), cut, key and the job's figures; what
        it costs is said to `notices` of the workspace before it starts.
        """
        drawn = {field: options.pop(field) for field in [*options] if field in Sampling.__dataclass_fields__}
        request = GenerateRequest(dataset, str(base), name, sampling=Sampling(**drawn), **options)
        return generate_pairs(self._owned(), request, _waiting(progress), self.notices.append)

    def evaluate(
        self,
        model: str | Path,
        dataset: str,
        base: str | Path | None = None,
        progress: ShowProgress = print_progress,
        **options: Any,
    ) -> dict[str, Any]:
        """A model's loss on a dataset [nats per token], overall and by domain, computed where it is not cached.

        `base`: the base of an adapter, whose tokenizer is used. `options` are fields of `ScoreRequest`.
        """
        request = ScoreRequest(dataset, str(base or model), str(model), **options)
        return evaluation.evaluate(self._owned(), request, _waiting(progress))[1]

    def trial(
        self,
        name: str,
        run: str,
        selections: Sequence[str],
        progress: ShowProgress = print_progress,
        **options: Any,
    ) -> TrialResults:
        """Train on selections and on what they have to beat, with equal tokens, and compare losses on held-out rows.

        `options` are fields of `TrialRequest`: arms, draws, seeds, ratios, budget, held_out and so on. The plan is
        fixed before the first model is trained. Called again, a trial that was interrupted goes on.
        """
        store, wait = self._owned(), _waiting(progress)
        if name not in trial_names(self.path):
            plan_trial(store, TrialRequest(name, run, tuple(selections), **options), wait)
        return run_trial(store, name, wait, _ignore).results()

    def find_near_duplicates(
        self, dataset: str, threshold: float = DEFAULT_THRESHOLD, progress: ShowProgress = print_progress
    ) -> dict[str, Any]:
        """Group nearly identical examples, so that a recipe's `near_duplicates` can name the threshold."""
        return running.group_near_duplicates(self._owned(), dataset, threshold, _waiting(progress))

    # Selections

    def select(self, name: str, **recipe: Any) -> SavedSelection:
        """Save a selection under a name (one of that name is replaced), also beside the workspace's owner.

        `recipe` has the fields of a recipe in JSON: run, score, order, scope, amount, domain_amounts, filter, weights,
        near_duplicates and so on. Raises `SelectionInvalid` naming what it does not know or cannot read.
        """
        return self._select(name, Selection.from_fields(recipe))

    def replay(self, manifest: str | Path, name: str) -> SavedSelection:
        """Save the selection that an export's manifest describes; exported again, it gives the same file."""
        return self._select(name, selection_from_manifest(Path(manifest)))

    def selection(self, name: str) -> SavedSelection:
        """The selection saved under a name, with what it keeps now. Raises `NotFound` naming those there are."""
        with self._reading() as store:
            recipe = saved_selection(store, name)
            found = select_summary(store, recipe)
        kept = (found.kept_rows, found.kept_tokens, tuple(found.notices))
        return SavedSelection(name, recipe, *kept, self._reading, self.path)

    def _select(self, name: str, recipe: Selection) -> SavedSelection:
        found = self._done("select", {"name": name, "recipe": recipe.to_fields()})
        return SavedSelection(
            found["name"], recipe, found["kept"], found["tokens"], tuple(found["notices"]), self._reading, self.path
        )

    # Who owns it

    def _owned(self) -> Store:
        """The store, owned until the workspace is closed. Raises `WorkspaceLocked`, or `StoreUnusable` once closed."""
        if self._is_closed:
            raise StoreUnusable(f"The workspace {self.path} was closed. Open it again with lobass.open.")
        if self._store is None:
            self._store = self._stack.enter_context(holding.owned(self.path, OWNER, self.notices.append))
        return self._store

    @contextmanager
    def _reading(self) -> Iterator[Store]:
        """The store, or a copy of it as it is now while another process owns it."""
        with ExitStack() as stack:
            yield own_or_ask(self._owned, lambda refusal: stack.enter_context(snapshot(self.path, OWNER, refusal)))

    def _done(self, kind: str, fields: Fields) -> Fields:
        """The answer to a request of that kind, given here or by the owner."""
        return own_or_ask(
            lambda: perform(self._owned(), kind, fields, self.path),
            lambda refusal: holding.asked_of_owner(self.path, kind, fields, refusal),
        )


def _waiting(progress: ShowProgress) -> running.Wait:
    def wait(store: Store, *jobs: Job) -> dict[str, Any]:
        outcome = running.wait_for_first(store, jobs, lambda job: progress(job.progress), _ignore)
        for job in jobs:
            progress(job.progress)
        return outcome

    return wait


def _ignore(_: str) -> None:
    """What is said is in the report too."""
