"""Embedding as a job: planned and created by the store's owner, run by a worker, its files taken in as they come."""

import hashlib
import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ...data.errors import ModelUnusable, NotFound, SelectionInvalid, StoreUnusable
from ...data.version import COMMAND
from ...encoding.encoding_spec import EncodingSpec
from ...jobs.example_chunks import Ids, id_texts, packed_ids
from ...jobs.job import Job, create_job
from ...models.adapter_facts import check_repeatable
from ...models.devices import resolve_device, resolve_dtype
from ...models.quantizing import quantized
from ...models.resolving import ModelSpec, resolve_model
from ...models.sentence_folders import (
    SENTENCE_MODEL,
    check_sentence_library,
    is_static,
    longest_text,
    resolve_sentence_model,
)
from ...store import Store
from ...store.embedding_files import (
    MOST_DIMENSIONS,
    OF_SENTENCE_MODEL,
    EmbeddingSpec,
    adopt_vectors,
    base_embeddings,
    embedding_folder,
    embeddings_of_run,
    ids_in,
    token_counts,
    vector_files,
)
from ...system.atomic_files import write_whole
from ...system.untrusted_json import read_json_object
from ..planning import ScorePlan, count_rows, resolve_encoding
from .row_text import TextEncoding

KIND = "embed"
EMBEDDED = "embedded"
"""Folder of a job's finished vectors."""
_RUNS = "runs"
# Folder in a job's folder: a file for each further run that is to use its embeddings.


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """A person's request for the embeddings of a dataset under a base; `auto` and None are resolved by
    `plan_embedding`."""

    dataset: str
    base: str
    template: str = "auto"
    max_length: int | None = None
    device: str = "auto"
    dtype: str = "auto"
    replies: str = "all"
    template_date: str | None = None
    quantization: str | None = None
    dimensions: int = MOST_DIMENSIONS
    seed: int = 0


@dataclass(frozen=True, slots=True)
class EmbeddingPlan:
    """A resolved request. `of`: what is embedded, for people: a dataset's name, or a file's. `model`: the base, or a
    sentence-embedding model; `encoding`: how rows become tokens, None if the spec says it (`TextEncoding`). `run`: the
    run whose rows these are, if they are a run's."""

    of: str
    model: ModelSpec
    encoding: EncodingSpec | None
    device: str
    dtype: str
    spec: EmbeddingSpec
    run: str | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """Fields that identify its job."""
        return {"kind": KIND, "of": self.of, "key": self.spec.key}


def plan_embedding(store: Store, request: EmbedRequest) -> EmbeddingPlan:
    """Resolve a request; nothing is loaded. Raises `NotFound`, `ModelUnusable` or `NoUsableRows`."""
    check_dimensions(request.dimensions)
    count_rows(store, request.dataset)
    base = quantized(resolve_model(request.base, store.workspace), request.quantization)
    check_repeatable(base)
    encoding, _ = resolve_encoding(store, base, None, request)
    device = resolve_device(request.device)
    dtype = resolve_dtype(request.dtype, device)
    return _plan(request.dataset, base, encoding, device, dtype, request.dimensions, request.seed)


def plan_beside_scoring(plan: ScorePlan) -> EmbeddingPlan:
    """The embeddings that the run of a scoring will have, planned before there is a run."""
    found = _plan(plan.request.dataset, plan.models["base"], plan.encoding, plan.device, plan.dtype)
    return replace(found, run=plan.request.run_name)


def _plan(
    of: str,
    base: ModelSpec,
    encoding: EncodingSpec,
    device: str,
    dtype: str,
    dimensions: int = MOST_DIMENSIONS,
    seed: int = 0,
) -> EmbeddingPlan:
    spec = EmbeddingSpec(base.fingerprint(dtype), encoding.fingerprint, dimensions, seed, base.label)
    return EmbeddingPlan(of, base, encoding, device, dtype, spec)


def plan_of_run(
    store: Store, run: str, device: str = "auto", dimensions: int = MOST_DIMENSIONS, seed: int = 0
) -> EmbeddingPlan:
    """The embeddings of a run's dataset under its base, encoding and precision. Raises `NotFound`, or `ModelUnusable`
    if the run does not say which base it has."""
    check_dimensions(dimensions)
    found = store.run(run)
    spec, description = base_embeddings(found, dimensions, seed), found["description"]
    base, encoding = ModelSpec(**description["models"]["base"]), EncodingSpec(**description["encoding"])
    return EmbeddingPlan(str(found["dataset"]), base, encoding, device, str(description["dtype"]), spec, run)


def plan_of_sentence_model(
    store: Store, run: str, name: str, device: str = "auto", dimensions: int = MOST_DIMENSIONS, seed: int = 0
) -> EmbeddingPlan:
    """The embeddings of a run's dataset by a sentence-embedding model, in the precision of the device. Raises
    `NotFound`, `ModelUnusable`, or `SettingInvalid` without the library."""
    check_dimensions(dimensions)
    check_sentence_library()
    of = str(store.run(run)["dataset"])
    model = resolve_sentence_model(name, store.workspace)
    folder, device = Path(model.path), resolve_device(device)
    # A static model adds up its tokens' vectors: nothing is gained by adding in half precision.
    dtype = "float32" if is_static(folder) else resolve_dtype("auto", device)
    encoding = TextEncoding(longest_text(folder), dtype)
    fingerprint = OF_SENTENCE_MODEL + model.weights_hash
    spec = EmbeddingSpec(fingerprint, encoding.key, dimensions, seed, model.label)
    return EmbeddingPlan(of, model, None, device, dtype, spec, run)


def plan_of_used(
    store: Store, run: str, device: str = "auto", dimensions: int = MOST_DIMENSIONS, seed: int = 0
) -> EmbeddingPlan:
    """The embeddings that a run uses, for more rows: its base's of these dimensions and seed, or those of a sentence
    model as the run has them. Raises `ModelUnusable` if that model has other files by now, and as the two plans do."""
    used = embeddings_of_run(store.run(run))
    if not used.is_of_sentence_model:
        return plan_of_run(store, run, device, dimensions, seed)
    plan = plan_of_sentence_model(store, run, used.label, device, used.dimensions, used.seed)
    encoding = TextEncoding.from_key(used.encoding)
    if plan.spec.model != used.model:
        raise ModelUnusable(
            f"The sentence model {used.label!r} has other files than the run {run!r} was embedded with. Put them back, "
            f"or embed the run again with: {embed_command(run, used)}"
        )
    return replace(plan, device=device, dtype=encoding.dtype, spec=replace(used, truncated=None))


def check_can_embed(store: Store, run: str, target: str) -> None:
    """Raise `SelectionInvalid` if a run uses vectors from a file: the rows of a target set cannot get such."""
    used = store.run(run)["embeddings"]
    if used and EmbeddingSpec(**used).is_of_file:
        raise SelectionInvalid(
            f"The run {run!r} uses vectors of {used['label']}, and the rows of {target} have none. Pick target rows on "
            f"Curate, or go back to the base's with: {embed_command(run)}"
        )


def embed_command(run: str, spec: EmbeddingSpec | None = None) -> str:
    """The command that computes these embeddings of a run's rows, by default its base's."""
    return f"{COMMAND} embed --run {shlex.quote(run)}{spec.options if spec else ''}"


def check_dimensions(dimensions: int) -> None:
    """Raise `ModelUnusable` for a number of dimensions that is not kept."""
    if not 1 <= dimensions <= MOST_DIMENSIONS:
        raise ModelUnusable(f"{dimensions:,} dimensions were requested. Give 1 to {MOST_DIMENSIONS}.")


def dataset_ids(store: Store, dataset: str) -> Ids:
    """Ids of a dataset's unique examples, sorted."""
    sql = "SELECT DISTINCT example_id::VARCHAR AS example_id FROM dataset_row WHERE dataset_id = ? ORDER BY example_id"
    return packed_ids(store.arrow(sql, [store.dataset_id(dataset)])["example_id"])


def lacks_embeddings(store: Store, dataset: str, spec: EmbeddingSpec) -> bool:
    """Whether some example of the dataset has no such embedding yet."""
    known = ids_in(embedding_folder(store.workspace, spec.key), spec.key)
    return not np.isin(dataset_ids(store, dataset), known).all()


def missing_ids(store: Store, plan: EmbeddingPlan, ids: Ids) -> list[str]:
    """Those of the ids whose examples have no embedding yet, as text."""
    known = set(ids_in(embedding_folder(store.workspace, plan.spec.key), plan.spec.key).tolist())
    return [text for text, each in zip(id_texts(ids), ids.tolist(), strict=True) if each not in known]


def stored_examples(store: Store, example_ids: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """These examples of the store, as of a job's file."""
    sql = """
        SELECT example_id::VARCHAR AS example_id, conversation, '' AS domain FROM example
        WHERE example_id IN (SELECT example_id::UUID FROM wanted) ORDER BY example.example_id
    """
    return store.batches(sql, wanted=pa.table({"example_id": pa.array(example_ids, pa.string())}))


def embedding_request(plan: EmbeddingPlan) -> dict[str, Any]:
    """What `embed` reads of a job's request."""
    model = plan.model.to_fields()
    of_rows = {"base": model, "encoding": plan.encoding.to_fields()} if plan.encoding else {SENTENCE_MODEL: model}
    return {**of_rows, "embeddings": plan.spec.to_fields(), "device": plan.device, "dtype": plan.dtype}


def embedding_model(request: dict[str, Any]) -> ModelSpec:
    """The model of a job's request."""
    return ModelSpec(**(request[SENTENCE_MODEL] if SENTENCE_MODEL in request else request["base"]))


def create_embedding_job(store: Store, plan: EmbeddingPlan, examples: pa.Table | Iterable[pa.RecordBatch]) -> Job:
    """Create the job that embeds these examples (columns as of a job's file); it is not started."""
    request = {**plan.identity, **embedding_request(plan), "run": plan.run}
    return create_job(store.workspace, request, {"examples": examples})


def ingest_embeddings(store: Store, job: Job) -> None:
    """Take in the files of vectors that the workspace does not have yet; repeating changes nothing. If one is damaged,
    the others are taken in before `StoreUnusable` is raised."""
    spec, damaged = EmbeddingSpec(**job.request["embeddings"]), list[StoreUnusable]()
    for path in vector_files(job.folder / EMBEDDED):
        try:
            adopt_vectors(store.workspace, spec, path)
        except StoreUnusable as error:
            damaged.append(error)
    if damaged:
        raise damaged[0]


def ask_for_run(job: Job, run: str | None) -> None:
    """Note another run of the same dataset that is to use a job's embeddings, which was started for somebody else."""
    if run is not None and run != job.request.get("run"):
        folder = job.folder / _RUNS
        folder.mkdir(exist_ok=True)
        name = hashlib.blake2b(run.encode(), digest_size=16).hexdigest()
        write_whole(folder / f"{name}.json", [json.dumps({"run": run}).encode()])


def finish_embeddings(store: Store, job: Job) -> None:
    """Let the runs of a finished job, those that asked meanwhile included, use its embeddings, as `use_computed`
    does."""
    asked = [read_json_object(path).get("run") for path in sorted((job.folder / _RUNS).glob("*.json"))]
    for run in [job.request.get("run"), *asked]:
        use_computed(store, run, EmbeddingSpec(**job.request["embeddings"]))


def use_computed(store: Store, run: str | None, spec: EmbeddingSpec) -> None:
    """Let a run use these embeddings and no longer others, if they are those of a sentence model, or its base's of the
    usual dimensions and seed, and every row has one. Nothing is changed if there is no such run (any more, or yet: a
    new one uses its base's)."""
    try:
        found = store.run(run or "")
        is_bases = not spec.is_of_sentence_model and base_embeddings(found).key == spec.key
    except (NotFound, ModelUnusable):
        return
    dataset, name = str(found["dataset"]), str(found["name"])
    if not (spec.is_of_sentence_model or (is_bases and found["embeddings"])) or lacks_embeddings(store, dataset, spec):
        return
    used = None if is_bases else replace(spec, truncated=row_counts(store, dataset, spec)[0]).to_fields()
    store.use_embeddings(name, used)


def row_counts(store: Store, dataset: str, spec: EmbeddingSpec) -> tuple[int, int]:
    """Of a dataset's unique rows, embedded by a sentence model, how many are truncated to the tokens that it reads, and
    how many have no text and so no vector."""
    counts = token_counts(embedding_folder(store.workspace, spec.key), spec.key, dataset_ids(store, dataset))
    most = TextEncoding.from_key(spec.encoding).max_length
    return int((counts > most).sum()) if most is not None else 0, int((counts == 0).sum())
