"""Rows like a target set: copies and paraphrases rank first, in RDS+'s order, and become scores of the run."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from core.data.errors import (
    JobFailed,
    NameTaken,
    NotFound,
    NoUsableRows,
    SelectionInvalid,
    SourceUnreadable,
    UserError,
)
from core.data.examples import Example
from core.data.filters import Range, RowFilter
from core.exporting import export_selection
from core.importing import DataFile
from core.jobs.example_chunks import packed_ids
from core.jobs.job import all_jobs
from core.scoring.embeddings.embedding_jobs import dataset_ids, plan_of_run
from core.scoring.embeddings.likeness import likeness
from core.scoring.embeddings.projection import unit_vectors
from core.selection import Amount, Selection, kept_rows
from core.store import Store, imported_scores
from core.store.embedding_files import Embeddings, embeddings_of_run, read_embeddings
from core.workspace import like_file_work, like_jobs
from core.workspace.embedding import embed_dataset, embed_run
from core.workspace.like_file_jobs import begin_like_file
from core.workspace.like_jobs import begin_like, ingest_like
from core.workspace.like_these import LikeRequest, score_like
from core.workspace.maintenance.checking import check_workspace
from core.workspace.score_imports import remove_score
from core.workspace.target_copies import copies_of_targets
from core.workspace.vector_imports import VectorRequest, import_vectors
from tests.core.scored_models import score_examples
from tests.inline_executor import run_jobs_inline
from tests.tiny_models import example
from tests.trial_workspace import wait_quietly

FAR = [(f"Add {n} and {n + 1} in Python.", f"def add(): return {n} + {n + 1}") for n in range(12)]
TARGETS = [
    ("What is the capital of Iceland?", "The capital of Iceland is Reykjavik."),
    ("How many apples are green?", "There are 12 apples, and 7 of them are green."),
]
PARAPHRASES = [
    ("Tell me what the capital of Iceland is.", "Reykjavik is the capital of Iceland."),
    ("How many of the apples are green?", "7 of the 12 apples are green."),
]
ROWS = [*FAR[:6], *PARAPHRASES, *TARGETS, *FAR[6:], TARGETS[0]]
"""Rows 7 and 8 are paraphrases, 9 and 10 copies, and 17 a second copy."""


def talk(row: tuple[str, str]) -> Example:
    return example(("user", row[0]), ("assistant", row[1]))


def written(path: Path, rows: Sequence[tuple[str, str]]) -> str:
    path.write_text("".join(json.dumps({"prompt": prompt, "completion": reply}) + "\n" for prompt, reply in rows))
    return str(path)


def listed(file: str) -> list[DataFile]:
    return [DataFile(Path(file), Path(file).name)]


def embeddings(vectors: NDArray[np.float64]) -> Embeddings:
    ids = np.array([f"{number:016d}" for number in range(len(vectors))], "S16")
    return Embeddings(ids, unit_vectors(vectors.astype(np.float32), None))


def round_robin(cosines: NDArray[np.float64]) -> list[int]:
    """As the authors' program takes rows: every target in turn its next best row, which counts if it is new."""
    lists = [np.argsort(-mine, kind="stable").tolist() for mine in cosines]
    taken: list[int] = []
    while any(lists):
        for mine in lists:
            row = mine.pop(0)
            if row not in taken:
                taken.append(row)
    return taken


@pytest.mark.parametrize("targets", [1, 3, 7])
def test_the_order_is_round_robin_over_the_targets_and_the_maximum_the_nearest_ones(
    targets: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.scoring.embeddings.likeness._CELLS", 100)
    random = np.random.default_rng(targets)
    rows, aims = embeddings(random.normal(size=(40, 6))), embeddings(random.normal(size=(targets, 6)))
    rows.vectors[5] = 0
    found = likeness(rows, aims)
    one, other = aims.vectors.astype(np.float64), rows.vectors.astype(np.float64)
    lengths = np.linalg.norm(one, axis=1)[:, None] * np.linalg.norm(other, axis=1)
    cosines = np.divide(one @ other.T, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    others = [row for row in range(40) if row != 5]
    expected = [others[row] for row in round_robin(cosines[:, others])]
    assert np.argsort(-np.nan_to_num(found.order, nan=-1.0)).tolist() == [*expected, 5]
    assert (np.nanmin(found.order), np.nanmax(found.order)) == (0, 1)
    assert np.isnan(found.order[5])
    assert found.highest[others] == pytest.approx(cosines.max(0)[others], abs=1e-6)
    assert found.nearest[others].tolist() == cosines.argmax(0)[others].tolist()
    assert found.nearest[5] == -1


def test_a_copy_is_a_row_with_a_targets_prompt_or_nearly_its_text() -> None:
    rows = [
        talk(("what is the  CAPITAL of iceland?", "I do not know.")),
        talk((TARGETS[1][0], TARGETS[1][1])),
        talk((f"Please: {TARGETS[1][0]}", f"{TARGETS[1][1]} Yes.")),
        talk(PARAPHRASES[0]),
        talk(FAR[0]),
    ]
    batch = pa.record_batch(
        {"example_id": [str(row.example_id) for row in rows], "conversation": [row.to_json() for row in rows]}
    )
    ids = packed_ids(batch["example_id"])
    order = np.argsort(ids)
    parts, nearest = [batch.slice(0, 2), batch.slice(2)], np.array([1, 1, 1, 0, -1])
    found = copies_of_targets(parts, ids[order], nearest[order], [talk(row) for row in TARGETS])
    assert found[np.argsort(order)].tolist() == [True, True, True, False, False]


@pytest.fixture(scope="module")
def made(made_once: Callable[[str, Callable[[Path], object]], Path], tiny_base: Path, tiny_reference: Path) -> Path:
    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch, Store.open(folder, "a test") as store:
            run_jobs_inline(patch)
            score_examples(store, [talk(row) for row in ROWS], tiny_base, tiny_reference)
            embed_dataset(store, plan_of_run(store, "tiny", "cpu"), wait_quietly)

    return made_once("embedded", make)


def test_copies_and_paraphrases_rank_first_and_the_scores_select_filter_and_are_exported(
    store: Store, tmp_path: Path
) -> None:
    file = written(tmp_path / "Ice-apples.jsonl", [*TARGETS, TARGETS[0]])
    scores, fields = score_like(store, LikeRequest("tiny", file, device="cpu"), wait_quietly)
    order, highest, copy = (score.name for score in scores)
    assert (order, highest, copy) == (
        "imported_like_ice_apples", "imported_like_ice_apples_max", "imported_like_ice_apples_copy",
    )  # fmt: skip
    assert (fields["targets"], fields["copies"], fields["notices"]) == (2, 3, [])
    values = store.rows(f"SELECT row_number, {order}, {highest}, {copy} FROM scored_1 ORDER BY {order} DESC, 1")
    # The targets take turns, by their ids; rows 9 and 17 are one conversation.
    turns = sorted(range(2), key=lambda target: str(talk(TARGETS[target]).example_id))
    assert [row for row, *_ in values[:5]] == [
        *(row for target in turns for row in ([9, 17], [10])[target]), *((7, 8)[target] for target in turns)
    ]  # fmt: skip
    assert [highest for *_, highest, _ in values[:3]] == pytest.approx([1, 1, 1], abs=1e-3)
    assert sorted(row for row, *_, is_copy in values if is_copy) == [9, 10, 17]
    clean = RowFilter(ranges=(Range(copy, 0.0, 0.0),))
    selection = Selection("tiny", order, scope="pooled", amount=Amount("rows", 2), filter=clean)
    assert sorted(row for row, *_ in store.rows(*kept_rows(store, selection))) == [7, 8]
    export_selection(store, selection, tmp_path / "out.jsonl", with_scores=True)
    origins = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())["dataset"]["imported_scores"]
    assert [origin["file"] for origin in origins] == ["Ice-apples.jsonl"] * 3
    assert origins[0]["file_column"].startswith("RDS+ round-robin order of 16 unique rows, embedded with ")
    assert origins[0]["file_column"].endswith(", seed 0)")
    again, _ = score_like(store, LikeRequest("tiny", file, device="cpu"), wait_quietly)
    assert again == scores
    other = written(tmp_path / "ice apples.jsonl", PARAPHRASES[:1])
    with pytest.raises(NameTaken, match="has a score imported_like_ice_apples"):
        score_like(store, LikeRequest("tiny", other, device="cpu"), wait_quietly)
    named = LikeRequest("tiny", other, "one", device="cpu")
    assert score_like(store, named, wait_quietly)[1]["notices"] == [
        "The target has one row: both scores rank by the likeness to that row alone."
    ]


def test_bad_input_is_refused_in_a_sentence_and_nothing_is_written(store: Store, tmp_path: Path) -> None:
    file = written(tmp_path / "t.jsonl", TARGETS)
    with pytest.raises(NotFound, match=r"16 of 16 rows have no embedding yet.*embed --run tiny --seed 3$"):
        score_like(store, LikeRequest("tiny", file, seed=3), wait_quietly)
    with pytest.raises(SourceUnreadable, match="There is no file"):
        score_like(store, LikeRequest("tiny", str(tmp_path / "none.jsonl")), wait_quietly)
    with pytest.raises(NoUsableRows, match=r"has no row that can be read \(empty response: 1\)"):
        score_like(store, LikeRequest("tiny", written(tmp_path / "e.jsonl", [("What?", "")])), wait_quietly)
    assert store.rows("SELECT count(*) FROM imported_score") == [(0,)]


def test_rows_that_are_all_one_point_are_reported() -> None:
    rows = embeddings(np.ones((4, 3)))
    found = likeness(rows, embeddings(np.eye(3)[:2]))
    assert found.order.tolist() == pytest.approx([1, 2 / 3, 1 / 3, 0])
    assert np.ptp(found.highest) == 0


def test_rows_of_the_dataset_are_a_target_set_too_and_give_the_scores_of_such_a_file(
    store: Store, tmp_path: Path
) -> None:
    file = written(tmp_path / "file.jsonl", TARGETS)
    score_like(store, LikeRequest("tiny", file, device="cpu"), wait_quietly)
    picked = [str(talk(row).example_id) for row in TARGETS]
    outcome = wait_quietly(store, begin_like(store, "tiny", [*picked, str(talk(("No", "row")).example_id)], "picks"))
    assert (outcome["targets"], outcome["copies"], outcome["notices"]) == (2, 0, [])  # of others than the picked ones
    (job,) = (job for job in all_jobs(store.workspace) if job.kind == "like")
    assert not {"examples.parquet", "vectors.parquet"} & {path.name for path in job.folder.iterdir()}
    names = [f"imported_like_{name}{ending}" for name in ("file", "picks") for ending in ("", "_max", "_copy")]
    values = store.rows(f"SELECT {', '.join(names)} FROM scored_1 ORDER BY row_number")
    assert [row[:3] for row in values] == [pytest.approx(row[3:], abs=1e-3) for row in values]
    best = store.rows("SELECT row_number FROM scored_1 ORDER BY imported_like_picks DESC, 1 LIMIT 5")
    assert sorted(row for (row,) in best) == [7, 8, 9, 10, 17]
    origin = imported_scores(store, "talk")[-1]
    assert (origin.file, origin.rows) == ("2 rows of the dataset", 17)
    one = wait_quietly(store, begin_like(store, "tiny", picked[:1], "one"))
    assert one["notices"] == ["The target has one row: both scores rank by the likeness to that row alone."]


def test_rows_of_a_file_are_embedded_once_by_a_job_that_gives_the_scores_of_the_command(
    store: Store, tmp_path: Path
) -> None:
    file = written(tmp_path / "Ice.jsonl", [*TARGETS, ("What?", "")])
    outcome = wait_quietly(store, begin_like_file(store, "tiny", listed(file), "job"))
    assert (outcome["targets"], outcome["copies"], outcome["tokens"]) == (2, 2, 0)  # the dataset has these very rows
    assert outcome["notices"] == ["Records of the target that were skipped: empty response: 1."]
    assert imported_scores(store, "talk")[0].file == "Ice.jsonl"
    score_like(store, LikeRequest("tiny", file, "command", device="cpu"), wait_quietly)
    names = [f"imported_like_{name}{ending}" for name in ("job", "command") for ending in ("", "_max", "_copy")]
    values = store.rows(f"SELECT {', '.join(names)} FROM scored_1 ORDER BY row_number")
    assert [row[:3] for row in values] == [row[3:] for row in values]
    others = listed(written(tmp_path / "o.jsonl", [*FAR[:2], ("Name a river.", "The Rhine.")]))
    assert wait_quietly(store, begin_like_file(store, "tiny", others, "others"))["tokens"] > 0
    assert wait_quietly(store, begin_like_file(store, "tiny", others, "again"))["tokens"] == 0
    new = listed(written(tmp_path / "new.jsonl", [("Name a town.", "Bergen.")]))
    assert wait_quietly(store, begin_like_file(store, "tiny", new, "new"))["targets"] == 1
    jobs = [job for job in all_jobs(store.workspace) if job.kind == "like_file"]
    assert not [path for job in jobs for path in job.folder.glob("*.parquet") if path.stem in ("rows", "vectors")]
    assert check_workspace(store, lambda _: None) == []


def test_a_target_that_is_left_without_a_vector_ends_the_job(store: Store, tmp_path: Path) -> None:
    target = listed(written(tmp_path / "t.jsonl", TARGETS))
    job = begin_like_file(store, "tiny", target, "x")
    known = pq.read_table(job.folder / "known.parquet")
    assert len(known) == 2
    pq.write_table(known[:1], job.folder / "known.parquet")
    with pytest.raises(JobFailed, match=r"1 of 2 rows of t\.jsonl have no vector"):
        like_file_work.score_rows(job)


def test_a_file_that_no_job_can_compare_is_refused_before_it_starts(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = listed(written(tmp_path / "t.jsonl", TARGETS))
    with monkeypatch.context() as patch:
        patch.setattr("core.workspace.like_file_jobs.MOST_TARGETS", 1)
        with pytest.raises(SelectionInvalid, match=r"t\.jsonl has more than 1 unique rows"):
            begin_like_file(store, "tiny", target, "x")
    wait_quietly(store, begin_like_file(store, "tiny", target, "x"))
    with pytest.raises(NameTaken, match="has a score imported_like_x"):
        begin_like_file(store, "tiny", target, "x")
    np.save(tmp_path / "v.npy", np.ones((17, 3)))
    import_vectors(store, VectorRequest("tiny", tmp_path / "v.npy"))
    with pytest.raises(SelectionInvalid, match=r"uses vectors of v\.npy, and the rows of t\.jsonl have none"):
        begin_like_file(store, "tiny", target, "y")
    embed_run(store, "tiny", wait_quietly, "cpu")
    shutil.rmtree(store.workspace / "embeddings")
    with pytest.raises(NotFound, match=r"16 of 16 rows have no embedding yet.*embed --run tiny$"):
        begin_like_file(store, "tiny", target, "y")
    assert [job.kind for job in all_jobs(store.workspace) if not job.is_settled] == []


def test_targets_that_cannot_be_are_refused_in_a_sentence(store: Store) -> None:
    there, away = (str(talk(row).example_id) for row in (TARGETS[0], ("No", "row")))
    for targets, sentence in (
        ([], "No rows were chosen"),
        ([there] * 1001, "More than 1,000 rows were chosen"),
        ([away], "None of these rows is in the dataset 'talk'"),
    ):
        with pytest.raises(UserError, match=sentence):
            begin_like(store, "tiny", targets, "x")
    wait_quietly(store, begin_like(store, "tiny", [there], "x"))
    with pytest.raises(NameTaken, match="has a score imported_like_x"):
        begin_like(store, "tiny", [there], "x")
    spec = embeddings_of_run(store.run("tiny"))
    rows = read_embeddings(store.workspace, spec, dataset_ids(store, "talk"), "embed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(like_jobs, "read_embeddings", lambda *_: Embeddings(rows.ids, np.zeros_like(rows.vectors)))
        with pytest.raises(NoUsableRows, match="None of these rows has an embedding"):
            begin_like(store, "tiny", [there], "z")
    shutil.rmtree(store.workspace / "embeddings")
    with pytest.raises(NotFound, match=r"16 of 16 rows have no embedding yet.*embed --run tiny$"):
        begin_like(store, "tiny", [there], "y")
    assert len(store.rows("SELECT name FROM imported_score")) == 3


def test_a_result_without_any_value_ends_its_job(store: Store) -> None:
    """As when the rows that it scored were removed: it would else be taken in again and again, and block new ones."""
    there = str(talk(TARGETS[0]).example_id)
    job = begin_like(store, "tiny", [there], "x")
    wait_quietly(store, job)
    for score in imported_scores(store, "talk"):
        remove_score(store, "talk", score.name)
    table = pq.read_table(job.folder / "scores.parquet")
    pq.write_table(table.set_column(0, "key", [[str(UUID(int=number)) for number in range(len(table))]]),
                   job.folder / "scores.parquet")  # fmt: skip
    with pytest.raises(NotFound, match=r"."):
        ingest_like(store, job)
