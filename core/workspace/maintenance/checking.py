"""Checks a workspace: its store, exports, references and jobs."""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from ...data.errors import ModelUnusable, SettingInvalid, StoreUnusable, UserError
from ...data.examples import conversation_digest
from ...data.scores import needed_roles
from ...jobs.job import Job, all_jobs, readable_jobs
from ...jobs.shards import read_shard
from ...models.folder_check import read_json
from ...models.provenance import PROVENANCE, damages
from ...scoring.embeddings.embedding_jobs import EMBEDDED
from ...scoring.noise_files import read_noise
from ...store import Store
from ...store.embedding_files import about_embeddings, check_vectors, embedding_folders, vector_files
from ...store.scored_table import scored_table
from ...system.file_hash import difference
from ..job_kinds import JOB_KINDS, check_arrived

_BATCH_EXAMPLES = 5_000
_RELATIVE_DIFFERENCE = 1e-9
"""Tolerance for sums of the same numbers in another order; a lost or changed loss makes a larger difference."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem: the check that found it, and a sentence."""

    check: str
    sentence: str


def check_workspace(store: Store, report: Callable[[str], None]) -> list[Finding]:
    """All problems in a workspace; changes nothing. `report` receives the name of each check. Raises `SettingInvalid`
    if the store has too little memory for some checks, and the others find nothing."""
    findings: list[Finding] = []
    too_little: SettingInvalid | None = None
    for name, check in CHECKS.items():
        report(f"checking {name}")
        try:
            findings += [Finding(name, sentence) for sentence in check(store)]
        except SettingInvalid as error:
            too_little = error
        except (UserError, OSError) as error:
            findings.append(Finding(name, str(error)))
    if too_little and not findings:
        raise too_little  # it says nothing of the workspace
    return findings + ([Finding("memory", str(too_little))] if too_little else [])


def _blocks(store: Store) -> Iterator[str]:
    """Read every value of every table: DuckDB verifies a block's checksum when it is read."""
    for (table,) in store.rows(
        "SELECT table_name FROM duckdb_tables() WHERE NOT internal AND database_name = current_database() ORDER BY 1"
    ):
        try:
            store.rows(f'SELECT bit_xor(hash(t)) FROM "{table}" AS t')
        except StoreUnusable as error:
            yield f"The table {table} cannot be read completely: {error}"


def _ledger(store: Store) -> Iterator[str]:
    rows = store.rows(
        """
        SELECT model_label, brought, nats, coalesce(held, 0), coalesce(held_nats, 0), unknown
        FROM loss_set
        LEFT JOIN (
            SELECT loss_set_id, sum(row_count) AS brought, sum(nll_total) AS nats FROM shard GROUP BY ALL
        ) USING (loss_set_id)
        LEFT JOIN (
            SELECT loss_set_id, count(*) AS held, sum(nll_sum) FILTER (isfinite(nll_sum)) AS held_nats
            FROM loss GROUP BY ALL
        ) USING (loss_set_id),
        (SELECT count(*) AS unknown FROM shard WHERE loss_set_id IS NULL)
        ORDER BY loss_set_id
        """
    )
    for label, brought, nats, held, held_nats, unknown in rows:
        brought, nats = brought or 0, nats or 0.0
        if held < brought or (
            held > brought and not unknown
        ):  # shards of earlier versions do not record their loss set
            yield f"{label}: the store has {held:,} losses, but {brought:,} were ingested from shards."
        elif held == brought and abs(held_nats - nats) > _RELATIVE_DIFFERENCE * max(1.0, abs(nats)):
            yield f"{label}: its losses add up to {held_nats!r} nats, those ingested from shards to {nats!r}."


_DATASETS = "(SELECT dataset_id FROM dataset UNION ALL SELECT dataset_id FROM removed_dataset) d"
_RUNS = "(SELECT run_id FROM run UNION ALL SELECT run_id FROM removed_run) r"
"""Those that are there and those that can be restored."""
_ORPHANS = {
    "losses without a loss set": "SELECT count(*) FROM loss ANTI JOIN loss_set USING (loss_set_id)",
    "losses without an example": "SELECT count(*) FROM loss ANTI JOIN example USING (example_id)",
    "duplicate losses": "SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM loss "
    "GROUP BY loss_set_id, example_id HAVING n > 1)",
    "duplicate examples": "SELECT count(*) - count(DISTINCT example_id) FROM example",
    "rows without a dataset": f"SELECT count(*) FROM dataset_row ANTI JOIN {_DATASETS} USING (dataset_id)",
    "rows without an example": "SELECT count(*) FROM dataset_row ANTI JOIN example USING (example_id)",
    "rows without a source": "SELECT count(*) FROM dataset_row ANTI JOIN source USING (source_id)",
    "duplicate row numbers": "SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM dataset_row "
    "GROUP BY dataset_id, row_number HAVING n > 1)",
    "rejections without a source": "SELECT count(*) FROM rejection ANTI JOIN source USING (source_id)",
    "sources without a dataset": f"SELECT count(*) FROM source ANTI JOIN {_DATASETS} USING (dataset_id)",
    "runs without a dataset": "SELECT count(*) FROM run ANTI JOIN dataset USING (dataset_id)",
    "runs without losses": "SELECT count(*) FROM run ANTI JOIN run_loss USING (run_id)",
    "runs without a loss set": "SELECT count(DISTINCT run_id) FROM run_loss ANTI JOIN loss_set USING (loss_set_id)",
    "loss sets of no run": f"SELECT count(*) FROM run_loss ANTI JOIN {_RUNS} USING (run_id)",
    "embeddings of no run": f"SELECT count(*) FROM run_embeddings ANTI JOIN {_RUNS} USING (run_id)",
    "drafts of no run": f"SELECT count(*) FROM draft ANTI JOIN {_RUNS} USING (run_id)",
    "near-duplicate groups without a search": "SELECT count(*) FROM near_duplicate "
    "ANTI JOIN near_duplicate_set USING (near_duplicate_set_id)",
    "places of no map": "SELECT count(*) FROM map_place ANTI JOIN map_set USING (map_set_id)",
    "places that maps have lost": "SELECT coalesce(sum(abs(place_count - coalesce(n, 0))), 0) FROM map_set LEFT JOIN "
    "(SELECT map_set_id, count(*) AS n FROM map_place GROUP BY ALL) USING (map_set_id)",
    "token losses without a loss set": "SELECT count(*) FROM token_loss ANTI JOIN loss_set USING (loss_set_id)",
}
"""Dangling references and duplicates: counts that should be 0."""


def _orphans(store: Store) -> Iterator[str]:
    for what, sql in _ORPHANS.items():
        count = int(store.rows(sql)[0][0])
        if count:
            yield f"There are {count:,} {what}."


def _sources(store: Store) -> Iterator[str]:
    for name, said, found in store.rows(
        "SELECT name, row_count, (SELECT count(*) FROM dataset_row r WHERE r.source_id = source.source_id) AS found "
        "FROM source WHERE row_count <> found ORDER BY source_id"
    ):
        yield f"The source {name!r} had {said:,} rows, but the store has {found:,}."


def _scored_tables(store: Store) -> Iterator[str]:
    tables = {
        name for (name,) in store.rows("SELECT table_name FROM duckdb_tables() WHERE table_name ~ '^scored_\\d+$'")
    }
    for run_id, name, dataset_id in store.rows("SELECT run_id, name, dataset_id FROM run ORDER BY run_id"):
        table = scored_table(run_id)
        if table not in tables:
            yield f"The run {name!r} has no scored table. Score its dataset again; cached losses are reused."
            continue
        tables.remove(table)
        rows, scored = store.rows(
            f"SELECT (SELECT count(*) FROM dataset_row WHERE dataset_id = ?), (SELECT count(*) FROM {table})",
            [dataset_id],
        )[0]
        differing = _differing(store, table, store.loss_sets(run_id))
        if rows != scored:
            yield f"The scored table of {name!r} has {scored:,} rows, its dataset {rows:,}. Score the dataset again."
        elif differing:
            yield f"The scored table of {name!r} has other losses than the store in {differing:,} rows. Score it again."
    restorable = {scored_table(run_id) for (run_id,) in store.rows("SELECT run_id FROM removed_run")}
    for table in sorted(tables - restorable):
        yield f"The scored table {table} belongs to no run."


def _differing(store: Store, table: str, loss_sets: Mapping[str, int]) -> int:
    """Number of rows in a scored table whose losses differ from its loss sets."""
    used = {role: loss_set for role, loss_set in loss_sets.items() if role in needed_roles()}
    joins = "\n".join(
        f"LEFT JOIN loss {role} ON {role}.loss_set_id = {loss_set:d} AND {role}.example_id = s.example_id"
        for role, loss_set in used.items()
    )
    differs = " OR ".join(
        f"s.{role}_{column} IS DISTINCT FROM if(isfinite({role}.{column}), {role}.{column}, NULL)"
        for role in used
        for column in ("nll_sum", "end_nll_sum")
    )
    return int(store.rows(f"SELECT count(*) FROM {table} s {joins} WHERE {differs or 'false'}")[0][0])


def _selections(store: Store) -> Iterator[str]:
    runs = {name for (name,) in store.rows("SELECT name FROM run UNION SELECT name FROM removed_run")}
    for name, recipe in store.rows("SELECT name, recipe FROM selection ORDER BY name"):
        run = json.loads(recipe).get("run")
        if run not in runs:
            yield f"The selection {name!r} belongs to the run {run!r}, which is gone. Remove it, or score it again."


def _example_ids(store: Store) -> Iterator[str]:
    """Check example ids: each is the hash of its canonical JSON, which the store keeps."""
    wrong = 0
    first = ""
    for batch in store.batches("SELECT example_id::VARCHAR, conversation FROM example", size=_BATCH_EXAMPLES):
        for example_id, conversation in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if str(UUID(bytes=conversation_digest(conversation.encode()))) != example_id:
                wrong += 1
                first = first or example_id
    if wrong:
        yield f"{wrong:,} examples have an id that does not match their text, the first is {first}."


def _exports(store: Store) -> Iterator[str]:
    folder = store.workspace / "exports"
    for path in sorted([*folder.rglob("*.manifest.json"), *folder.rglob("manifest.json")]):
        try:
            output = json.loads(path.read_text(encoding="utf-8"))["output"]
            files = _files_of(path, output)
        except (ValueError, KeyError, TypeError):
            yield f"The manifest {path} cannot be read. Export again."
            continue
        for file, digest in files.items():
            yield from _differs(file, digest, "Export it again.")


def _files_of(manifest: Path, output: dict[str, Any]) -> dict[Path, str]:
    """The files listed in a manifest, with their SHA-256: one beside it, or those in a bundle's folder."""
    if "file" in output:
        return {manifest.with_name(output["file"]): output["sha256"]}
    return {manifest.with_name(file["name"]): file["sha256"] for file in output["files"]}


def _references(store: Store) -> Iterator[str]:
    for folder in sorted((store.workspace / "models").glob("*/")):
        path = folder / PROVENANCE
        if not path.exists():
            yield f"{folder} is an incomplete reference: it has no {PROVENANCE}. Remove it, and train it again."
            continue
        try:
            provenance = read_json(path)
        except ModelUnusable:
            yield f"{path} cannot be read. Train the reference again under another name."
            continue
        for sentence in damages(folder, provenance):
            yield f"{sentence} Train the reference again under another name."


def _differs(path: Path, digest: str, advice: str) -> Iterator[str]:
    if sentence := difference(path, digest):
        yield f"{sentence} {advice}"


def _jobs(store: Store) -> Iterator[str]:
    for job in all_jobs(store.workspace):
        if job.problem:
            yield job.problem
            continue
        models = _models_of_shards(job)
        reads: list[Callable[[], object]] = [partial(read_shard, path, models.get(path, "")) for path in job.shards]
        if job.kind in JOB_KINDS and job.outcome and not job.is_settled:
            reads.append(partial(check_arrived, store, job))
        reads += [partial(read_noise, job, path.stem.removeprefix("noise-")) for path in job.folder.glob("noise-*.txt")]
        for read in reads:
            try:
                read()
            except UserError as error:
                yield str(error)
    for folder in sorted((store.workspace / "jobs").glob("*/")):
        if not (folder / "job.json").exists():
            yield f"{folder} is an incomplete job. It can be removed."


def _embeddings(store: Store) -> Iterator[str]:
    """Every file of vectors: its digest, its model, and that the vectors are numbers of one length."""
    for folder in embedding_folders(store.workspace):
        try:
            spec = about_embeddings(folder)
        except StoreUnusable as error:
            yield str(error)
            continue
        for path in vector_files(folder):
            try:
                check_vectors(path, spec.key)
            except StoreUnusable as error:
                yield str(error)


def _models_of_shards(job: Job) -> dict[Path, str]:
    """The key of the model that each of a job's shards is to be of, where the request says it."""
    description = job.request.get("description")
    models = description.get("model_fingerprints") if isinstance(description, dict) else None
    named = models.items() if isinstance(models, dict) else ()
    return {path: str(model) for role, model in named for path in job.shards_of(role)}


def _leftovers(store: Store) -> Iterator[str]:
    """Temporary files whose writer has ended; not those of a running worker or of this process."""
    places = [store.workspace, *(store.workspace / name for name in ("exports", "models"))]
    folders = [job.folder for job in readable_jobs(store.workspace) if not job.is_alive]
    places += embedding_folders(store.workspace)
    for place in [*places, *folders, *(folder / part for folder in folders for part in ("shards", EMBEDDED))]:
        for path in sorted({*place.glob("*.tmp"), *place.glob("*.tmp.wal"), *place.glob(".*.old")}):
            writer = re.search(r"\.(\d+)(\.[0-9a-f]{16})?\.(tmp|old)(\.wal)?$", path.name)
            if not (writer and _is_running(int(writer[1]))):
                yield f"{path} is left from an interrupted write. It can be removed."


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


CHECKS: dict[str, Callable[[Store], Iterator[str]]] = {
    "blocks": _blocks,
    "ledger": _ledger,
    "orphans": _orphans,
    "sources": _sources,
    "scored tables": _scored_tables,
    "selections": _selections,
    "example ids": _example_ids,
    "exports": _exports,
    "references": _references,
    "embeddings": _embeddings,
    "jobs": _jobs,
    "leftovers": _leftovers,
}
"""All checks by name, in order."""
