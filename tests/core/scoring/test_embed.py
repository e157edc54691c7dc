"""Embeddings: those of transformers one row at a time, whatever the batch; kept when killed, and looked at by check."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM

from core.data.encoded import Encoded
from core.data.errors import JobFailed, ModelUnusable, NotFound
from core.data.examples import Example
from core.encoding.encode import encode_examples
from core.engine.embedding_engine import BatchVectors, EmbeddingEngine, RowEmbedder
from core.engine.engine_choice import EngineChoice
from core.engine.loss_engine import EngineOptions
from core.jobs.example_chunks import packed_ids
from core.jobs.job import Job, all_jobs
from core.scoring.embeddings import embed as embedding_work
from core.scoring.embeddings.embedding_jobs import (
    EMBEDDED,
    EmbeddingPlan,
    EmbedRequest,
    dataset_ids,
    lacks_embeddings,
    plan_embedding,
    plan_of_run,
)
from core.scoring.embeddings.projection import projection, unit_vectors
from core.store import Store
from core.store.embedding_files import (
    check_vectors,
    embedding_folder,
    embeddings_of_run,
    ids_in,
    read_embeddings,
    vector_files,
)
from core.workspace.embedding import embed_dataset, embed_run, embed_sentence
from core.workspace.maintenance.checking import check_workspace
from core.workspace.mapping import begin_embedding_of_run
from core.workspace.vector_imports import VectorRequest, import_vectors
from tests.core.scored_models import score_examples
from tests.inline_executor import run_default_jobs_inline, run_jobs_inline
from tests.tiny_models import FAMILIES, encoding_spec, example, make_model, make_tokenizer
from tests.trial_workspace import wait_quietly
from tests.waiting import wait_for

TALKS = [
    example(("system", "You are a helpful guide of rivers and towns."), ("user", text), ("assistant", reply))
    for text, reply in (
        ("Name a river.", "The river is the Thames."),
        ("How many apples are there?", "12"),
        ("What is the capital of Iceland?", "The capital of Iceland is Reykjavik. " * 4),
        ("Say it.", "def add(first, second): return first + second"),
        ("Name a river.", "The river is the Rhine, which is longer than the Thames by far."),
    )
]


def expected_vector(model: torch.nn.Module, ids: Sequence[int]) -> NDArray[np.float64]:
    """RDS+ by transformers, of one row."""
    with torch.no_grad():
        states = model(input_ids=torch.tensor([list(ids)]), output_hidden_states=True).hidden_states[-1][0]
    weights = np.arange(1, len(ids) + 1)
    return np.asarray((weights[:, None] * states.double().numpy()).sum(0) / weights.sum())


def cosines(first: NDArray[np.generic], second: NDArray[np.generic]) -> NDArray[np.float64]:
    one, other = first.astype(np.float64), second.astype(np.float64)
    found = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    return np.asarray(found, np.float64)


def encoded_talks() -> list[Encoded]:
    return encode_examples(TALKS, make_tokenizer(), encoding_spec("chat"))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_vector_of_a_row_is_transformers_own_whatever_it_is_packed_with(family: str) -> None:
    model, rows = make_model(family), encoded_talks()
    expected = np.stack([expected_vector(model, row.input_ids.tolist()) for row in rows])
    for forms in ({}, {"shared": False}, {"packed": False}):
        engine = EmbeddingEngine(model, EngineOptions(**forms, choice=EngineChoice()))
        together = engine.vectors(rows)
        assert together == pytest.approx(expected, rel=1e-3, abs=1e-3)
        assert np.concatenate([engine.vectors([row]) for row in rows]) == pytest.approx(together, rel=1e-3, abs=1e-3)
        assert engine.width() == 32


def test_small_batches_give_the_same_vectors_as_one() -> None:
    rows, engine = encoded_talks(), EmbeddingEngine(make_model("llama"), EngineOptions(choice=EngineChoice()))
    found = np.zeros((len(rows), 32))
    for batch in RowEmbedder(engine, 40, print).vectors(rows, [4, 0, 2, 3, 1]):
        found[list(batch.rows)] = batch.vectors
    assert found == pytest.approx(engine.vectors(rows), abs=1e-4)


def test_a_projection_keeps_angles_is_the_same_for_a_seed_and_is_left_out_where_it_is_not_needed() -> None:
    rows = np.random.default_rng(1).normal(size=(60, 2048)).astype(np.float32)
    rows[1::2] = rows[::2] + 0.5 * rows[1::2]
    matrix = projection(2048, 256, 7)
    assert matrix is not None
    assert set(np.unique(matrix)) == {-1 / 16, 1 / 16}
    assert matrix[:2, :8].tolist() == projection(2048, 256, 7)[:2, :8].tolist()  # type: ignore[index]
    assert not np.array_equal(matrix, projection(2048, 256, 8))
    found = unit_vectors(rows, matrix)
    assert np.linalg.norm(found.astype(np.float64), axis=1) == pytest.approx(1, abs=1e-3)
    assert cosines(found[::2], found[1::2]) == pytest.approx(cosines(rows[::2], rows[1::2]), abs=0.15)
    assert projection(256, 256, 7) is None
    spoilt = np.array([[np.nan, 1.0], [0.0, 0.0], [np.inf, 1.0], [3.0, 4.0]], np.float32)
    assert unit_vectors(spoilt, None).astype(float).tolist()[:3] == [[0, 0]] * 3


@pytest.fixture
def store(tmp_path: Path, tiny_base: Path, tiny_reference: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    run_jobs_inline(monkeypatch)
    with Store.open(tmp_path / "workspace", "a test") as opened:
        score_examples(opened, [*TALKS, TALKS[0]], tiny_base, tiny_reference)
        yield opened


def vectors_of(store: Store, plan: EmbeddingPlan, talks: Sequence[Example]) -> NDArray[np.float16]:
    ids = packed_ids_of(talks)
    return read_embeddings(store.workspace, plan.spec, ids, "embed --run tiny").vectors


def packed_ids_of(talks: Sequence[Example]) -> NDArray[np.bytes_]:
    return packed_ids(pa.array([str(talk.example_id) for talk in talks]))


def test_a_runs_dataset_is_embedded_once_with_its_base_and_encoding(store: Store, tiny_base: Path) -> None:
    plan = plan_of_run(store, "tiny", "cpu")
    with pytest.raises(NotFound, match=r"5 of 5 rows have no embedding yet\. Compute them with: embed --run tiny"):
        vectors_of(store, plan, TALKS)
    report = embed_dataset(store, plan, wait_quietly)
    assert (report["examples"], report["computed"], report["cached"]) == (5, 5, 0)
    assert embed_dataset(store, plan, wait_quietly)["cached"] == 5
    model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    expected = np.stack([expected_vector(model, row.input_ids.tolist()) for row in encoded_talks()])
    assert (cosines(vectors_of(store, plan, TALKS), expected) > 1 - 1e-3).all()
    named = plan_embedding(store, EmbedRequest("talk", str(tiny_base), device="cpu"))
    assert named.spec.key == plan.spec.key
    narrow = plan_of_run(store, "tiny", "cpu", dimensions=8, seed=3)
    assert embed_dataset(store, narrow, wait_quietly)["computed"] == 5
    projected = expected @ projection(32, 8, 3)  # type: ignore[operator]
    assert (cosines(vectors_of(store, narrow, TALKS[::-1]), projected[::-1]) > 1 - 1e-3).all()
    with pytest.raises(ModelUnusable, match=r"300 dimensions were requested\. Give 1 to 256"):
        plan_of_run(store, "tiny", dimensions=300)
    assert check_workspace(store, lambda _: None) == []


def test_a_run_uses_its_bases_embeddings_only_once_they_are_all_there(
    store: Store, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def uses_file() -> bool:
        return embeddings_of_run(store.run("tiny")).is_of_file

    np.save(tmp_path / "v.npy", np.eye(6))
    file = VectorRequest("tiny", tmp_path / "v.npy")
    import_vectors(store, file)
    report = embed_run(store, "tiny", wait_quietly, "cpu", dimensions=8)
    assert uses_file()
    assert embed_sentence(report).endswith(
        "Run 'tiny' still uses those of v.npy (256 dimensions, seed 0); only scores like with the same --dimensions "
        "and --seed uses these."
    )
    with monkeypatch.context() as patch:
        patch.setattr(embedding_work.RowEmbedder, "vectors", failing)
        job = begin_embedding_of_run(store, "tiny")
        assert job
        with pytest.raises(JobFailed, match="no memory"):
            wait_quietly(store, job)
    assert uses_file()
    job = begin_embedding_of_run(store, "tiny")
    assert job
    wait_quietly(store, job)
    assert not uses_file()
    import_vectors(store, file)
    embed_dataset(store, plan_embedding(store, EmbedRequest("talk", str(tiny_base), device="cpu")), wait_quietly)
    assert uses_file()  # nobody spoke of this run
    report = embed_run(store, "tiny", wait_quietly, "cpu")
    assert not uses_file()
    assert embed_sentence(report).endswith("0 computed, 5 cached.")


def failing(*_: object) -> Iterator[BatchVectors]:
    raise JobFailed("There is no memory.")


class Killed(BaseException):
    """Ends a worker without a word, as SIGKILL does."""


def test_what_was_finished_when_a_worker_was_killed_is_not_computed_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOBASS_SHARD_SECONDS", "0")
    monkeypatch.setenv("LOBASS_CPU_BATCH_TOKENS", "60")
    seen: list[int] = []
    most = [2]

    def vectors(self: RowEmbedder, encoded: Sequence[Encoded], wanted: Sequence[int]) -> Iterator[BatchVectors]:
        for batch in given(self, encoded, wanted):
            if len(seen) >= most[0]:
                raise Killed
            seen.extend(batch.rows)
            yield batch

    given: Callable[..., Iterator[BatchVectors]] = RowEmbedder.vectors
    monkeypatch.setattr(embedding_work.RowEmbedder, "vectors", vectors)
    plan = plan_of_run(store, "tiny", "cpu")
    with pytest.raises(Killed):
        embed_dataset(store, plan, wait_quietly)
    most[0] = len(seen) + 1
    with pytest.raises(Killed):
        embedding_work.embed(all_jobs(store.workspace)[0])
    kept, most[0] = len(seen), 99
    assert 3 <= kept < 5
    report = embed_dataset(store, plan, wait_quietly)
    assert (report["computed"], report["cached"]) == (5 - kept, kept)
    assert len(seen) == 5
    assert len(dataset_ids(store, "talk")) == 5
    assert vectors_of(store, plan, TALKS).any(axis=1).all()


def test_a_workers_process_that_is_killed_is_followed_by_one_that_repeats_nothing(
    tmp_path: Path, tiny_base: Path, tiny_reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOBASS_SHARD_SECONDS", "0")
    monkeypatch.setenv("LOBASS_CPU_BATCH_TOKENS", "16")
    many = [example(("user", f"Count to {n}."), ("assistant", f"{n} " * (1 + n % 7))) for n in range(120)]
    with Store.open(tmp_path / "workspace", "a test") as store:
        score_examples(store, many, tiny_base, tiny_reference)
        plan = plan_of_run(store, "tiny", "cpu")
        job = begin_embedding_of_run(store, "tiny")
        assert job
        files = job.folder / EMBEDDED
        wait_for(lambda: vector_files(files), "the first vectors")
        os.kill(worker_of(job), signal.SIGKILL)
        wait_for(lambda: not job.is_alive, "the end of the worker")
        before = {path: path.read_bytes() for path in vector_files(files)}
        finished = len(ids_in(files, plan.spec.key))
        assert 0 < finished < 120
        assert job.outcome is None
        monkeypatch.delenv("LOBASS_SHARD_SECONDS")
        monkeypatch.delenv("LOBASS_CPU_BATCH_TOKENS")
        run_default_jobs_inline(monkeypatch)
        wait_quietly(store, begin_embedding_of_run(store, "tiny") or job)
        kept = embedding_folder(store.workspace, plan.spec.key)
        assert {path.name: (kept / path.name).read_bytes() for path in before} == {
            path.name: content for path, content in before.items()
        }
        assert sum(check_vectors(path, plan.spec.key) for path in vector_files(kept)) == 120  # each row once
        assert not lacks_embeddings(store, "talk", plan.spec)


def worker_of(job: Job) -> int:
    """The process that works on a job."""
    return int(json.loads((job.folder / "starting.json").read_text(encoding="utf-8"))["process"])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "it is damaged (its digest differs)": lambda path: path.write_bytes(b"x" + path.read_bytes()[1:]),
    "about.json cannot be read": lambda path: (path.parent / "about.json").unlink(),
    "is that of other embeddings": lambda path: path.parent.rename(path.parent.with_name("0" * 32)),
    "left from an interrupted write": lambda path: (path.parent / f".x.999999999.{'0' * 16}.tmp").touch(),
}


def test_check_finds_damaged_embeddings(store: Store, tmp_path: Path) -> None:
    plan = plan_of_run(store, "tiny", "cpu")
    embed_dataset(store, plan, wait_quietly)
    folder = embedding_folder(store.workspace, plan.spec.key)
    shutil.copytree(folder.parent, tmp_path / "whole")
    for sentence, damage in DAMAGES.items():
        shutil.rmtree(folder.parent)
        shutil.copytree(tmp_path / "whole", folder.parent)
        damage(vector_files(folder)[0])
        found = check_workspace(store, lambda _: None)
        assert [sentence in finding.sentence for finding in found] == [True], found
