"""Vectors from elsewhere become the embeddings of a run's rows; a file that does not fit changes nothing."""

import hashlib
import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from core.data.errors import NotFound, SelectionInvalid, SourceUnreadable, UserError
from core.exporting import export_selection
from core.importing.score_files import read_score_file
from core.importing.vector_files import read_vector_file
from core.scoring.embeddings.embedding_jobs import dataset_ids
from core.scoring.embeddings.projection import projection
from core.selection import Amount, Selection, kept_rows, save_selection, saved_selection
from core.selection.coverage import coverage_fields
from core.selection.recipe import Spread
from core.store import Store, near_duplicate_set
from core.store.embedding_files import embedding_folders, embeddings_of_run, read_embeddings
from core.workspace.embedding import group_semantic_duplicates
from core.workspace.like_jobs import begin_like
from core.workspace.like_these import LikeRequest, score_like
from core.workspace.maintenance.checking import check_workspace
from core.workspace.vector_imports import VectorRequest, import_vectors, vectors_sentence
from tests import command_line
from tests.fakes import ScoredRecord, add_scored_records
from tests.inline_executor import run_jobs_inline
from tests.trial_workspace import wait_quietly

DRAWN = np.random.default_rng(3).normal(size=(20, 5))


def texts(store: Store) -> list[tuple[str, str]]:
    """Example id and text hash of each row, as other programs compute it."""
    found = store.rows(
        "SELECT example_id::VARCHAR, prompt, response FROM dataset_row JOIN example USING (example_id) "
        "ORDER BY row_number"
    )
    return [(each, hashlib.sha256(f"{prompt}\n{response}".encode()).hexdigest()) for each, prompt, response in found]


def in_parquet(path: Path, keys: dict[str, list[Any]], vectors: NDArray[np.float64]) -> Path:
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1).astype(np.float32)), vectors.shape[1])
    path = path.with_suffix(".parquet")
    pq.write_table(pa.table({**keys, "vector": lists}), path)
    return path


def in_jsonl(path: Path, keys: dict[str, list[Any]], vectors: NDArray[np.float64]) -> Path:
    names = [*keys, "vector"]
    rows = zip(*keys.values(), vectors.tolist(), strict=True)
    return written(path.with_suffix(".jsonl"), [dict(zip(names, row, strict=True)) for row in rows])


def in_npy(path: Path, keys: dict[str, list[Any]], vectors: NDArray[np.float64]) -> Path:
    np.save(path.with_suffix(".npy"), vectors)
    return path.with_suffix(".npy")


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def vectors_of(store: Store) -> NDArray[np.float64]:
    """The vectors that the run uses, in the order of its rows."""
    spec, ids = embeddings_of_run(store.run("planets")), dataset_ids(store, "space")
    found = read_embeddings(store.workspace, spec, ids, "embed").vectors.astype(np.float64)
    order = {bytes(each): number for number, each in enumerate(ids)}
    rows = [bytes.fromhex(each.replace("-", "")) for each, _ in texts(store)]
    return np.stack([found[order[row]] for row in rows])


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def test_vectors_of_each_format_are_the_embeddings_of_the_runs_rows(scored_store: Store, tmp_path: Path) -> None:
    for write in (in_parquet, in_jsonl, in_npy):
        vectors = DRAWN[:, :4] if write is in_npy else DRAWN
        report = import_vectors(scored_store, VectorRequest("planets", write(tmp_path / "v", {}, vectors)))
        assert (report["embedded"], report["without"], report["width"]) == (20, 0, vectors.shape[1])
        assert vectors_of(scored_store) == pytest.approx(unit(vectors), abs=1e-3)
    assert check_workspace(scored_store, lambda _: None) == []


def test_rows_are_joined_by_what_scores_are_joined_by(scored_store: Store, tmp_path: Path) -> None:
    backwards = texts(scored_store)[::-1]
    keys: dict[str, list[Any]] = {
        "row": [*range(20, 0, -1)],
        "example-id": [each for each, _ in backwards],
        "text-hash": [text_hash for _, text_hash in backwards],
    }
    for write in (in_parquet, in_jsonl):
        for by, values in keys.items():
            file = write(tmp_path / by, {"named": values}, DRAWN[::-1])
            import_vectors(scored_store, VectorRequest("planets", file, joined_by=by, key="named"))
            assert vectors_of(scored_store) == pytest.approx(unit(DRAWN), abs=1e-3)
            scored_store.use_embeddings("planets", None)


def test_wider_vectors_are_projected_with_the_seed_and_huge_and_tiny_ones_keep_their_direction(
    scored_store: Store, tmp_path: Path
) -> None:
    wide = np.random.default_rng(5).normal(size=(20, 300))
    matrix = projection(300, 8, 7)
    assert matrix is not None
    wide[1], wide[2] = wide[1] * 1e300, wide[2] * 1e-300
    file = in_npy(tmp_path / "v", {}, wide)
    report = import_vectors(scored_store, VectorRequest("planets", file, dimensions=8, seed=7))
    expected = unit(wide / np.abs(wide).max(axis=1, keepdims=True) @ matrix)
    assert vectors_of(scored_store) == pytest.approx(expected, abs=2e-3)
    assert (report["width"], report["dimensions"], report["seed"]) == (300, 8, 7)
    import_vectors(scored_store, VectorRequest("planets", file, dimensions=300 - 44))
    assert vectors_of(scored_store).shape == (20, 256)


def test_rows_without_a_vector_and_rows_of_the_file_that_are_not_used_are_counted(
    scored_store: Store, tmp_path: Path
) -> None:
    twice = [ScoredRecord("chat", 2.0, 1.0, response="answer 1")] * 2
    add_scored_records(scored_store, twice, "planets", "space", "again.jsonl")
    keys = [*texts(scored_store)[:19], ("another", "another")]
    rows: list[dict[str, Any]] = [
        {"text_hash": text_hash, "vector": vector} for (_, text_hash), vector in zip(keys, DRAWN.tolist(), strict=True)
    ]
    rows[3]["vector"], rows[4]["vector"] = [0, 0, 0, 0, 0], None
    file = written(tmp_path / "v.jsonl", rows)
    report = import_vectors(scored_store, VectorRequest("planets", file, joined_by="text-hash"))
    assert {name: report[name] for name in ("examples", "embedded", "without", "unmatched", "repeated")} == {
        "examples": 20, "embedded": 17, "without": 3, "unmatched": 1, "repeated": 0,
    }  # fmt: skip
    expected = np.concatenate([unit(DRAWN[:19]), np.zeros((1, 5)), unit(DRAWN[:1]), unit(DRAWN[:1])])
    expected[[3, 4]] = 0
    assert vectors_of(scored_store) == pytest.approx(expected, abs=1e-3)
    in_order = in_npy(tmp_path / "w", {}, np.concatenate([DRAWN, DRAWN[5:7]]))
    report = import_vectors(scored_store, VectorRequest("planets", in_order))
    assert report["repeated"] == 2
    assert vectors_of(scored_store)[-2:] == pytest.approx(np.repeat(unit(DRAWN[:1]), 2, 0), abs=1e-3)
    assert "2 rows of the file have the text of an earlier one" in vectors_sentence(report)
    rows_of_one_text = [{"row": 1, "vector": None}, {"row": 21, "vector": [0, 3]}, {"row": 22, "vector": [1, 0]}]
    found = import_vectors(scored_store, VectorRequest("planets", written(tmp_path / "u.jsonl", rows_of_one_text)))
    assert (found["embedded"], found["without"], found["repeated"]) == (1, 19, 1)
    assert vectors_of(scored_store)[[0, 20, 21]].tolist() == [[0, 1]] * 3


def test_spread_coverage_duplicates_and_likeness_use_the_vectors_that_came_last_and_a_manifest_names_them(
    embedded: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_jobs_inline(monkeypatch)
    spread = Selection("planets", scope="pooled", amount=Amount("rows", 2), spread=Spread("k_center", 1.0))
    before = embedded.rows(*kept_rows(embedded, spread)), coverage_fields(embedded, spread)
    save_selection(embedded, "spread", spread)
    saved = saved_selection(embedded, "spread")
    assert saved == spread  # apart from the key of the embeddings
    # Rows 1 to 19 on one point, 20 alone: a spread takes 20 second, whatever its rank.
    file = in_npy(tmp_path / "v", {}, np.array([[1.0, 0.0]] * 19 + [[0.0, 1.0]]))
    import_vectors(embedded, VectorRequest("planets", file))
    assert 20 in [row for row, *_ in embedded.rows(*kept_rows(embedded, spread))]
    with pytest.raises(SelectionInvalid, match=r"by other embeddings than those of 'v\.npy', which the run 'planets'"):
        kept_rows(embedded, saved)
    found = coverage_fields(embedded, spread)
    assert found is not None
    assert (found["value"], found["embeddings"]) == (pytest.approx(1, abs=1e-3), "v.npy")
    group_semantic_duplicates(embedded, "space", "planets", 0.98, wait_quietly)
    key = embeddings_of_run(embedded.run("planets")).key
    assert near_duplicate_set(embedded, "space", 0.98, key).group_count == 1
    wait_quietly(embedded, begin_like(embedded, "planets", [texts(embedded)[19][0]], "last"))
    likeness = embedded.rows("SELECT imported_like_last_max FROM scored_1 ORDER BY row_number")
    assert [value for (value,) in likeness] == pytest.approx([0] * 19 + [1], abs=1e-3)
    export_selection(embedded, spread, tmp_path / "out.jsonl")
    said = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())["run"]["embeddings"]
    assert said["label"] == "v.npy"
    assert said["model"] == f"file:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    folders = {folder: sorted(folder.iterdir()) for folder in embedding_folders(embedded.workspace)}
    embedded.use_embeddings("planets", None)
    assert (embedded.rows(*kept_rows(embedded, saved)), coverage_fields(embedded, saved)) == before
    import_vectors(embedded, VectorRequest("planets", file))
    assert {folder: sorted(folder.iterdir()) for folder in embedding_folders(embedded.workspace)} == folders
    assert embeddings_of_run(embedded.run("planets")).key == key


def test_what_needs_vectors_of_other_rows_says_that_a_file_has_none(scored_store: Store, tmp_path: Path) -> None:
    import_vectors(scored_store, VectorRequest("planets", in_npy(tmp_path / "v", {}, DRAWN)))
    with pytest.raises(SelectionInvalid, match=r"uses vectors of v\.npy, and the rows of t\.jsonl have none"):
        score_like(scored_store, LikeRequest("planets", "t.jsonl"), wait_quietly)
    new = [ScoredRecord("chat", 2.0, 1.0, response="new")]
    add_scored_records(scored_store, new, "planets", "space", "new.jsonl")
    with pytest.raises(NotFound, match=r"1 of 21 rows have no vector from v\.npy.*embed --run planets$"):
        group_semantic_duplicates(scored_store, "space", "planets", 0.98, wait_quietly)


VECTORS = [{"row": n, "vector": [float(n), 1.0]} for n in range(1, 21)]
BAD = {
    "another length": ([*VECTORS[:2], {"row": 3, "vector": [1.0]}], "Row 3 of f.jsonl has a vector of 1 numbers, not"),
    "an empty one": ([{"row": 1, "vector": []}], "Row 1 of f.jsonl has a vector of 0 numbers. Give"),
    "NaN": ([*VECTORS[:1], {"row": 2, "vector": [1.0, math.nan]}], "Row 2 of f.jsonl cannot be read .NaN or infinity"),
    "a missing number": ([{"row": 1, "vector": [1.0, None]}], "Row 1 of f.jsonl has a vector with NaN, infinity or a"),
    "text": ([*VECTORS[:1], {"row": 2, "vector": "[1, 2]"}], "Row 2 of f.jsonl has '.1, 2.' in the column vector"),
    "true": ([{"row": 1, "vector": [True, False]}], "Give a list of numbers"),
    "a list of lists": ([{"row": 1, "vector": [[1.0, 2.0]]}], "Give a list of numbers"),
    "a row number that no row can have": ([{"row": 1e19, "vector": [1.0]}], "Row 1 of f.jsonl has '1e.19' as its row"),
    "a huge row number": ([{"row": 1e300, "vector": [1.0]}], "Give a row number, from 1"),
    "a row twice": ([*VECTORS, VECTORS[2]], "Row 21 of f.jsonl is a second one for 3"),
    "another dataset's row": ([{"row": 21, "vector": [1.0, 2.0]}], "1 of the 1 rows of f.jsonl match no row"),
    "no key, and another length": ([{"vector": [1.0]}], "f.jsonl has 1 rows and no row numbers"),
    "no such column": ([{"row": 1, "embedding": [1.0]}], "has no column vector. Its columns are row, embedding"),
    "only zeros": ([{"row": 1, "vector": [0.0, 0.0]}], "f.jsonl has only zeros or no vector for the rows of 'space'"),
    "only none": ([{"row": 1, "vector": None}], "f.jsonl has no vectors"),
    "no rows": ([], "f.jsonl has no rows"),
}  # fmt: skip


def test_a_file_that_does_not_fit_is_refused_in_a_sentence_and_nothing_is_kept(
    scored_store: Store, tmp_path: Path
) -> None:
    for rows, sentence in BAD.values():
        with pytest.raises(UserError, match=sentence):
            import_vectors(scored_store, VectorRequest("planets", written(tmp_path / "f.jsonl", rows)))
    assert scored_store.run("planets")["embeddings"] is None
    assert embedding_folders(scored_store.workspace) == []


def test_bad_files_of_numbers_and_of_columns_are_refused_in_a_sentence(scored_store: Store, tmp_path: Path) -> None:
    def refused(path: Path, sentence: str, **options: Any) -> None:
        with pytest.raises(UserError, match=sentence):
            import_vectors(scored_store, VectorRequest("planets", path, **options))

    path = tmp_path / "f.npy"
    np.save(path, np.ones(20))
    refused(path, r"f\.npy has numbers of type float64 in the shape \(20,\)")
    np.save(path, np.array([["a"]]))
    refused(path, r"f\.npy has numbers of type <U1")
    np.save(path, np.array([[None]]), allow_pickle=True)
    refused(path, r"f\.npy is not a complete \.npy file")
    np.save(path, np.ones((1, 70_000), np.int8))
    refused(path, r"f\.npy has vectors of 70,000 numbers\. Give at most 65,536")
    np.save(path, DRAWN)
    refused(path, "f.npy has no keys", joined_by="example-id")
    path.write_bytes(path.read_bytes()[:-8])
    refused(path, r"f\.npy is not a complete \.npy file")
    np.save(path, np.where(DRAWN > 1, np.inf, DRAWN))
    refused(path, r"Row \d+ of f\.npy has a vector with NaN, infinity")
    np.save(path, DRAWN[:19])
    refused(path, r"f\.npy has 19 rows and no row numbers")
    pq.write_table(pa.table({"vector": ["[1, 2]"]}), tmp_path / "f.parquet")
    refused(tmp_path / "f.parquet", r"The column vector of f\.parquet is string")
    refused(tmp_path / "f.parquet", r"f\.parquet has no column v\. Its columns are vector", column="v")
    refused(tmp_path / "none.npy", "There is no file")
    refused(path, "Vectors cannot be joined by 'place'", joined_by="place")
    refused(path, "300 dimensions were requested", dimensions=300)


HEADERS = (
    *(
        f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}"
        for shape in ("(10**21, 3)", f"({10**21}, 3)", f"({4 * 10**18}, 3)", "(True, 3)", "(-1, 3)")
    ),
    "[" * 5_000, "-" * 9_000 + "1", "\t\n  x\n y", "{'descr': ',f8', 'fortran_order': False, 'shape': (1, 3)}",
)  # fmt: skip


def test_headers_of_numpy_files_that_no_program_writes_are_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "f.npy"
    for header in HEADERS:
        path.write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + bytes(64))
        with pytest.raises(SourceUnreadable, match=r"f\.npy is not a complete \.npy file"):
            read_vector_file(path, "", "row", lambda rows: rows.astype(np.float16))


def test_columns_that_the_first_record_lacks_are_found(scored_store: Store, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"note": "none", "row": 1}, {"row": 2, "vector": [0, 2], "rated": 0.5}]
    file = written(tmp_path / "v.jsonl", rows)
    assert import_vectors(scored_store, VectorRequest("planets", file))["embedded"] == 1
    found = read_score_file(file, "row")
    assert (dict(found.columns), found.table["imported_rated"].to_pylist()) == (
        {"imported_rated": "rated"},
        [None, 0.5],
    )


def test_the_command_takes_a_file_and_refuses_what_does_not_belong_together(
    scored_store: Store, tmp_path: Path
) -> None:
    file = in_parquet(tmp_path / "v", {"id": [each for each, _ in texts(scored_store)]}, DRAWN)
    workspace = scored_store.workspace
    scored_store.close()
    found = command_line.result(workspace, "embed", "--run", "planets", "--from", file, "--by", "example-id")
    assert (found["embedded"], found["file"]) == (20, "v.parquet, column vector")
    done = command_line.run(workspace, "embed", "--dataset", "space", "--base", "b", "--from", file)
    assert done.returncode == 2
    assert "Vectors of a file are those of a run" in done.stderr
