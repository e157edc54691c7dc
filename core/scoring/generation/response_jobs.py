"""Generating responses as a job: planned and created by the store's owner, run by a worker on this machine.

    examples.parquet      the rows whose prompts are answered
    responses/*.parquet   finished responses (`RESPONSES`)

A file appears whole or not at all, so a worker that is started again, and a later job with the same sampling, take what
is there.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...data import settings
from ...data.errors import ModelUnusable, NoUsableRows, SettingInvalid
from ...data.placement import refuse_spread
from ...data.training_methods import LARGEST_SEED
from ...encoding.encoding_spec import EncodingSpec
from ...encoding.template_choice import AUTO
from ...jobs.earlier_results import link_earlier_results
from ...jobs.example_chunks import ExampleFile, Ids, id_texts, packed_ids
from ...jobs.executors import CLUSTER
from ...jobs.job import Job, create_job
from ...models.adapter_facts import check_repeatable
from ...models.devices import batch_budget, resolve_device, resolve_dtype
from ...models.resolving import ModelSpec, resolve_model
from ...store import Store
from ...store.store import DATASET_KEY
from ..embeddings.embedding_jobs import dataset_ids, stored_examples
from ..planning import count_rows, resolve_encoding

KIND = "generate"
SAMPLING_RULE = 1
# How responses are drawn. Raise it when the same rows would get others.
# 1: transformers' generate, prompts padded at the left; a row draws by inverse transform with numbers of its own.
RESPONSES_FOLDER = "responses"
FINISHED = (f"{RESPONSES_FOLDER}/*.parquet",)
RESPONSES = pa.schema(
    [
        ("example_id", pa.string()),
        ("text", pa.string()),
        ("token_count", pa.int64()),
        ("is_cut", pa.bool_()),
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)
"""A row's response: its text, generated tokens (its end included), and whether it was cut at the most new tokens; or
the reason (of `NO_RESPONSE`) and a detail why there is none."""
PROMPT_TOO_LONG, NOT_ENCODED = "prompt too long", "not encoded"
NO_RESPONSE = {
    PROMPT_TOO_LONG: "The prompt leaves no room within the maximum length for the new tokens that were asked for.",
    NOT_ENCODED: "The model's template or tokenizer cannot encode the row, or nothing of its reply is left to score.",
}
"""Every reason why a prompt gets no response, explained for the user."""
_DIGEST_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a response is drawn. Temperature 0 is greedy: the likeliest token each time."""

    max_new_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0

    @property
    def is_greedy(self) -> bool:
        """Whether nothing is drawn at random."""
        return self.temperature == 0

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields; a greedy response depends on no top-p and no seed."""
        fields = asdict(self)
        return {name: fields[name] for name in ("max_new_tokens", "temperature")} if self.is_greedy else fields

    def sentence(self) -> str:
        """The same for people."""
        how = (
            "greedy" if self.is_greedy else f"temperature {self.temperature:g}, top-p {self.top_p:g}, seed {self.seed}"
        )
        return f"{how}, at most {self.max_new_tokens:,} new tokens"


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """A person's request for a dataset `name` of preference pairs: a dataset's replies, and responses of a base to the
    same prompts. `rows`: of so many rows only, a fixed random sample. `batch_tokens`: prompts, padding and new tokens
    of one batch, by default the setting of the device."""

    dataset: str
    base: str
    name: str
    rows: int | None = None
    sampling: Sampling = Sampling()
    batch_tokens: int | None = None
    template: str = AUTO
    max_length: int | None = None
    device: str = "auto"
    dtype: str = "auto"
    template_date: str | None = None

    @property
    def replies(self) -> str:
        """Which replies the encoding scores: what stands before the last one is its prompt."""
        return "last"


@dataclass(frozen=True, slots=True)
class GenerationPlan:
    """A resolved request. `ids`: the examples whose prompts are answered; `template_sentence`: which template is
    used."""

    request: GenerateRequest
    base: ModelSpec
    encoding: EncodingSpec
    device: str
    dtype: str
    ids: list[str]
    template_sentence: str

    @property
    def key(self) -> str:
        """Hex digest of everything that a response depends on besides its row."""
        fields = {
            "rule": SAMPLING_RULE,
            "model": self.base.fingerprint(self.dtype),
            "encoding": self.encoding.fingerprint,
            **self.request.sampling.to_fields(),
        }
        return _digest(json.dumps(fields, sort_keys=True))

    @property
    def work(self) -> str:
        """Hex digest of the key and the rows."""
        return _digest("\n".join([self.key, *self.ids]))

    @property
    def identity(self) -> dict[str, Any]:
        """Fields that identify its job."""
        return {"kind": KIND, "dataset": self.request.dataset, "name": self.request.name, "work": self.work}

    def cost_sentence(self) -> str:
        """What it takes, before it starts."""
        count, most = len(self.ids), self.request.sampling.max_new_tokens
        return (
            f"{count:,} prompts, up to {count * most:,} new tokens with {self.base.label!r} "
            f"({self.request.sampling.sentence()}). The time left is shown once the first batch is done. Responses "
            "that earlier jobs with the same sampling finished are not generated again."
        )


def plan_generation(store: Store, request: GenerateRequest) -> GenerationPlan:
    """Resolve a request; nothing is loaded. Raises `NotFound`, `ModelUnusable`, `SettingInvalid` on a cluster, or
    `NoUsableRows` for a dataset that is empty or has preference pairs."""
    if settings.text("executor") == CLUSTER:
        raise SettingInvalid("Responses are generated on this machine only. Leave out the executor ray.")
    refuse_spread("Generating responses")
    _check_sampling(request.sampling)
    count_rows(store, request.dataset)
    dataset_id = store.dataset_id(request.dataset)
    if store.rows("SELECT 1 FROM preference_pair WHERE dataset_id = ? LIMIT 1", [dataset_id]):
        raise NoUsableRows(
            f"The dataset {request.dataset!r} has preference pairs: its prompts have two answers already. Choose a "
            "dataset with one reply a row."
        )
    base = resolve_model(request.base, store.workspace)
    check_repeatable(base)
    encoding, template_sentence = resolve_encoding(store, base, None, request)
    if request.sampling.max_new_tokens >= encoding.max_length:
        raise ModelUnusable(
            f"{request.sampling.max_new_tokens:,} new tokens leave no room for a prompt within the maximum length of "
            f"{encoding.max_length:,} tokens. Give fewer with --max-new-tokens, or raise --max-length."
        )
    device = resolve_device(request.device)
    dtype = resolve_dtype(request.dtype, device)
    ids = sampled_ids(id_texts(dataset_ids(store, request.dataset)), request.rows, request.sampling.seed)
    return GenerationPlan(request, base, encoding, device, dtype, ids, template_sentence)


def _check_sampling(sampling: Sampling) -> None:
    if not (sampling.max_new_tokens >= 1 and 0 <= sampling.temperature < np.inf and 0 < sampling.top_p <= 1):
        raise ModelUnusable(
            f"Responses cannot be drawn with {sampling.sentence()}. Give a temperature of 0 (greedy) or more, a top-p "
            "above 0 and at most 1, and at least one new token."
        )
    if not 0 <= sampling.seed <= LARGEST_SEED:
        raise ModelUnusable(f"The seed {sampling.seed:,} is not possible. Give one from 0 to {LARGEST_SEED:,}.")


def sampled_ids(ids: Sequence[str], rows: int | None, seed: int) -> list[str]:
    """So many of the ids at random, sorted; all if `rows` is None. With one seed, a smaller sample is part of a larger
    one."""
    return sorted(sorted(ids, key=lambda each: _digest(f"{seed} {each}"))[:rows])


def create_generation_job(store: Store, plan: GenerationPlan) -> Job:
    """Create the job, with the responses of earlier jobs with the same key; it is not started."""
    request = {
        **plan.identity,
        DATASET_KEY: store.dataset_key(plan.request.dataset),
        "key": plan.key,
        "rule": SAMPLING_RULE,
        "base": plan.base.to_fields(),
        "encoding": plan.encoding.to_fields(),
        "sampling": plan.request.sampling.to_fields(),
        "device": plan.device,
        "dtype": plan.dtype,
        "batch_tokens": plan.request.batch_tokens or batch_budget(plan.device),
    }
    job = create_job(store.workspace, request, {"examples": stored_examples(store, plan.ids)})
    link_earlier_results(job, FINISHED, "key")
    return job


def finished_ids(job: Job) -> Ids:
    """Ids of the examples whose responses are finished, as the files have them."""
    parts = [packed_ids(pq.read_table(path, columns=["example_id"])["example_id"]) for path in _files(job)]
    return np.concatenate([np.zeros(0, "S16"), *parts])


def read_responses(job: Job) -> pa.Table:
    """The responses of a job's finished rows (`RESPONSES`), each once, in the order of their ids."""
    tables = (pq.read_table(path, schema=RESPONSES) for path in _files(job))
    found = pa.concat_tables([RESPONSES.empty_table(), *tables])
    ids, first = np.unique(packed_ids(found["example_id"]), return_index=True)
    return found.take(first[np.isin(ids, ExampleFile(job.folder / "examples.parquet").ids)])


def responses_digest(work: str, responses: pa.Table) -> str:
    """SHA-256 of a job's work and the texts of its responses (`RESPONSES`); of a batch at a time, since as Python's
    objects they take several times the memory."""
    digest = hashlib.sha256(work.encode())
    for batch in responses.select(["example_id", "text"]).to_batches(max_chunksize=_DIGEST_ROWS):
        for row in batch.to_pylist():
            digest.update(json.dumps(row).encode())
    return digest.hexdigest()


def _files(job: Job) -> list[Path]:
    return sorted((job.folder / RESPONSES_FOLDER).glob("*.parquet"))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
