"""What is in a workspace, as one record: datasets, models, runs, jobs and selections."""

import json
from typing import Any

from ..data.errors import UserError
from ..data.listing import MOST_NAMED, listed
from ..jobs.job import Job, all_jobs
from ..jobs.queue import ordinal, queue
from ..models.resolving import trained_references
from ..scoring.reference_kind import reference_kind, reference_label
from ..store import Store
from .job_kinds import JOB_KINDS, check_arrived


def status_fields(store: Store) -> dict[str, Any]:
    """Everything of the workspace by name, with counts; JSON fields."""
    return {
        "workspace": str(store.workspace),
        "datasets": dataset_overview(store),
        "models": trained_references(store.workspace),
        "runs": run_overview(store),
        "jobs": job_overview(store),
        "selections": selection_overview(store),
    }


def job_overview(store: Store) -> list[dict[str, Any]]:
    """Jobs, oldest first: job, kind, state, progress (a sentence); `place` in the queue, from 1, of those that wait."""
    jobs = all_jobs(store.workspace)
    places = {job.job_id: {"place": place} for place, job in enumerate(queue(store.workspace), 1)}
    return [_job_fields(store, job) | places.get(job.job_id, {}) for job in jobs]


def _job_fields(store: Store, job: Job) -> dict[str, Any]:
    """A job; with a `problem`, a sentence, if its files cannot be read or have not all arrived."""
    if problem := job.problem:
        return {"job": job.job_id, "kind": "unknown", "state": "unreadable", "progress": "", "problem": problem}
    fields = {"job": job.job_id, "kind": job.kind, "state": job.state, "progress": job.progress.sentence()}
    if job.kind not in JOB_KINDS or job.is_settled or job.outcome is None:
        return fields
    try:
        check_arrived(store, job, by_content=False)
    except UserError as error:
        fields |= {"state": "incomplete", "problem": str(error)}
    return fields


def dataset_overview(store: Store) -> list[dict[str, Any]]:
    """Datasets: name, rows, unique examples, rejected records, rows by domain."""
    datasets = store.rows(
        """
        SELECT name, dataset_id, count(example_id), count(DISTINCT example_id),
               (SELECT coalesce(sum(rejected_count), 0) FROM source WHERE source.dataset_id = dataset.dataset_id)
        FROM dataset LEFT JOIN dataset_row USING (dataset_id) GROUP BY name, dataset_id ORDER BY name
        """
    )
    domains: dict[int, dict[str, int]] = {}
    counts = store.rows("SELECT dataset_id, domain, count(*) FROM dataset_row GROUP BY ALL ORDER BY dataset_id, domain")
    for dataset_id, domain, count in counts:
        domains.setdefault(dataset_id, {})[domain] = count
    return [
        {
            "name": name,
            "rows": rows,
            "unique_examples": unique,
            "rejected": int(rejected),
            "domains": domains.get(dataset_id, {}),
        }
        for name, dataset_id, rows, unique, rejected in datasets
    ]


def run_overview(store: Store) -> list[dict[str, Any]]:
    """Runs: name, dataset, base, reference, rows scored under both models, rows of the dataset, and `reference_kind`
    (`core.scoring.reference_kind`)."""
    runs = []
    for (name,) in store.rows("SELECT name FROM run ORDER BY created_at DESC"):
        run = store.run(name)
        rows, scored = store.rows(f"SELECT count(*), count(base_loss + reference_loss) FROM {run['table']}")[0]
        runs.append(
            {
                "name": name,
                "dataset": run["dataset"],
                "base": run["description"].get("models", {}).get("base", {}).get("label"),
                "reference": reference_label(run["description"]),
                "rows": rows,
                "scored": scored,
                "reference_kind": reference_kind(store, run).to_fields(),
            }
        )
    return runs


def selection_overview(store: Store) -> list[dict[str, Any]]:
    """Saved selections: name, run, rows and tokens kept as of saving."""
    found = store.rows("SELECT name, recipe, summary FROM selection ORDER BY created_at DESC")
    return [
        {
            "name": name,
            "run": json.loads(recipe).get("run"),
            "kept": json.loads(summary).get("kept_rows"),
            "tokens": json.loads(summary).get("kept_tokens"),
        }
        for name, recipe, summary in found
    ]


def status_text(fields: dict[str, Any]) -> str:
    """The same for people, a line each."""
    lines = [f"workspace {fields['workspace']}"]
    for dataset in fields["datasets"]:
        counts = dataset["domains"]
        # By name; the largest ones if there are too many to name.
        names = counts if len(counts) <= MOST_NAMED else sorted(counts, key=counts.__getitem__, reverse=True)
        domains = listed(f"{name} {counts[name]:,}" for name in names)
        lines.append(
            f"dataset {dataset['name']}: {dataset['rows']:,} rows ({domains}), {dataset['rejected']:,} skipped"
        )
    lines += [f"reference {name}" for name in fields["models"]]
    for run in fields["runs"]:
        lines.append(
            f"run {run['name']}: {run['scored']:,} of {run['rows']:,} rows scored, {run['base']} to "
            f"{run['reference']}. {run['reference_kind']['sentence']}"
        )
    lines += job_lines(fields["jobs"])
    lines += [
        f"selection {item['name']}: {item['kept']:,} rows, {item['tokens']:,} tokens" for item in fields["selections"]
    ]
    return "\n".join(lines)


def job_lines(jobs: list[dict[str, Any]]) -> list[str]:
    """A line for each job of `job_overview`, for people."""
    return [
        f"job {job['job']}: {job['state']}"
        + (f", {ordinal(job['place'])} in the queue" if "place" in job else "")
        + (f". {job['problem']}" if "problem" in job else "")
        for job in jobs
    ]
