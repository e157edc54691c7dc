"""Scores from elsewhere rank, filter, bin and export like ours; a file that does not fit changes nothing."""

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data.errors import NameTaken, NotFound, SelectionInvalid, SourceUnreadable, UserError
from core.data.filters import EVERYTHING, Range, RowFilter
from core.exploring.browsing import example, examples_page
from core.exploring.distributions import histogram, scored_rows, summary
from core.exporting import export_selection
from core.selection import Amount, Selection, kept_rows, save_selection, select_summary
from core.store import Store, imported_scores, remove_imported_score
from core.store.dataset_changes import merge_dataset, restore_dataset, set_dataset_aside
from core.workspace.loss_table import write_losses
from core.workspace.maintenance.checking import check_workspace
from core.workspace.score_imports import import_scores, score_sentence
from tests.fakes import ScoredRecord, add_scored_records

NAME = "imported_pds"


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    """The rows as a file of the path's kind."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def values(store: Store, column: str = NAME) -> list[float | None]:
    return [value for (value,) in store.rows(f"SELECT {column} FROM scored_1 ORDER BY row_number")]


def contents(store: Store) -> list[Any]:
    tables = ("imported_score", "imported_value", "scored_1")
    return [store.rows(f"SELECT COLUMNS(*)::VARCHAR FROM {table} ORDER BY ALL") for table in tables]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_scores_of_each_format_become_a_column_by_row_number(scored_store: Store, tmp_path: Path, suffix: str) -> None:
    rows = [{"row_number": 21 - n, "PDS": n / 4, "note": "x"} for n in range(1, 20)]
    (found,) = import_scores(scored_store, "space", written(tmp_path / f"pds{suffix}", rows), "row")
    assert values(scored_store) == [None, *(n / 4 for n in range(19, 0, -1))]
    assert (found.name, found.file_column, found.rows, found.rows_without) == (NAME, "PDS", 19, 1)
    assert found.sha256 == hashlib.sha256((tmp_path / f"pds{suffix}").read_bytes()).hexdigest()
    assert "19 rows have a value, 1 have none" in score_sentence(found)


def test_scores_are_joined_by_example_id_text_hash_and_the_files_order(scored_store: Store, tmp_path: Path) -> None:
    texts = scored_store.rows(
        "SELECT row_number, example_id::VARCHAR, prompt, response FROM dataset_row JOIN example USING (example_id)"
    )
    hashes = {n: hashlib.sha256(f"{prompt}\n{response}".encode()).hexdigest() for n, _, prompt, response in texts}
    by_id = [{"example_id": example_id, "a": float(n)} for n, example_id, *_ in texts]
    by_hash = [{"text_hash": hashes[n], "b": float(n)} for n, *_ in texts] + [{"text_hash": "another", "b": 1.0}]
    in_order = [{"c": float(n)} for n in range(1, 21)]
    import_scores(scored_store, "space", written(tmp_path / "a.jsonl", by_id), "example-id")
    (found,) = import_scores(scored_store, "space", written(tmp_path / "b.csv", by_hash), "text-hash")
    import_scores(scored_store, "space", written(tmp_path / "c.parquet", in_order), "row")
    for column in "abc":
        assert values(scored_store, f"imported_{column}") == [float(n) for n in range(1, 21)]
    assert (found.rows, found.unmatched) == (20, 1)


def test_an_imported_score_ranks_filters_and_is_drawn_like_ours(scored_store: Store, tmp_path: Path) -> None:
    rows = [{"row": n, "pds": (n * 7) % 20} for n in range(1, 19)]
    import_scores(scored_store, "space", written(tmp_path / "pds.jsonl", rows), "row")
    narrow = RowFilter(ranges=(Range(NAME, 5.0, 15.0),))
    selection = Selection("planets", NAME, scope="pooled", amount=Amount("rows", 3), filter=narrow)
    kept = scored_store.rows(*kept_rows(scored_store, selection))
    assert sorted(value for *_, value, _, _ in kept) == [12.0, 14.0, 15.0]
    outcomes = select_summary(scored_store, selection).outcomes
    assert outcomes.loc[outcomes["outcome"].str.startswith("no score"), "rows"].sum() == 2
    drawn = histogram(scored_store, "scored_1", NAME, EVERYTHING, bins=4, bounds=(0.0, 20.0))
    expected, _ = np.histogram([row["pds"] for row in rows], 4, (0, 20))
    assert drawn.bins.groupby("bin_low")["rows"].sum().tolist() == expected.tolist()
    assert sum(scored_rows(drawn).values()) == 18
    assert int(drawn.outside["no_score"].sum()) == 2
    overall = summary(scored_store, "scored_1", NAME, EVERYTHING).iloc[0]
    assert (overall["scored"], overall["max"], overall["ratio_of_means"]) == (18, 19.0, None)
    page, _ = examples_page(scored_store, "scored_1", EVERYTHING, NAME, True, 1, 2)
    assert page[NAME].tolist() == [19.0, 18.0]
    assert example(scored_store, "scored_1", 2)["scores"][NAME] == 14.0


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_an_export_has_the_score_and_its_manifest_the_origin(scored_store: Store, tmp_path: Path, suffix: str) -> None:
    file = written(tmp_path / "pds.csv", [{"row": n, "pds": n / 2} for n in range(1, 21)])
    import_scores(scored_store, "space", file, "row")
    selection = Selection("planets", NAME, scope="pooled", amount=Amount("rows", 2))
    save_selection(scored_store, "by pds", selection)
    export_selection(scored_store, selection, tmp_path / f"out{suffix}", with_scores=True)
    if suffix == ".jsonl":
        lines = (tmp_path / "out.jsonl").read_text().splitlines()
        found = [json.loads(line)["lobass"][NAME] for line in lines]
    elif suffix == ".csv":
        with open(tmp_path / "out.csv", newline="") as opened:
            found = [float(row[f"lobass_{NAME}"]) for row in csv.DictReader(opened)]
    else:
        found = pq.read_table(tmp_path / "out.parquet")[f"lobass_{NAME}"].to_pylist()
    assert found == [9.5, 10.0]
    (origin,) = json.loads((tmp_path / f"out{suffix}.manifest.json").read_text())["dataset"]["imported_scores"]
    assert origin["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (origin["file"], origin["file_column"], origin["joined_by"]) == ("pds.csv", "pds", "row")
    assert (origin["rows"], origin["rows_without"]) == (20, 0)


def test_scores_go_out_by_losses_and_come_back_by_text_hash(scored_store: Store, tmp_path: Path) -> None:
    write_losses(scored_store, "planets", tmp_path / "out.csv", all_scores=True)
    (back,) = import_scores(scored_store, "space", tmp_path / "out.csv", "text-hash", ["base_perplexity"])
    assert values(scored_store, back.name) == pytest.approx(values(scored_store, "base_perplexity"))
    write_losses(scored_store, "planets", tmp_path / "again.parquet", all_scores=True)
    assert pq.read_table(tmp_path / "again.parquet")[back.name].null_count == 0


GOOD = [{"row": n, "pds": 1.0} for n in range(1, 21)]
BAD = {
    "another dataset's rows": ([{"row": 21, "pds": 1.0}], "1 of the 1 rows of f.jsonl match no row"),
    "a row of no number": ([{"row": "x", "pds": 1.0}], "'x' as its row"),
    "half a row": ([{"row": 1.5, "pds": 1.0}], "'1.5' as its row"),
    "a row twice": ([*GOOD, GOOD[2]], "Row 21 of f.jsonl is a second one for 3"),
    "not a number": ([{"row": 1, "pds": 1.0}, {"row": 2, "pds": "NaN"}], "'NaN' in the column pds"),
    "too large": ([{"row": 1, "pds": 1.0}, {"row": 2, "pds": "1e999"}], "'1e999' in the column pds"),
    "true": ([{"row": 1, "pds": 1.0}, {"row": 2, "pds": True}], "True in the column pds"),
    "no value at all": ([{"row": 1, "pds": None}], "no value for any row"),
    "no row numbers, and another length": ([{"pds": 1.0}], "f.jsonl has 1 rows and no row numbers"),
    "no such column": ([{"row": 1, "lds": 1.0}], "has no column pds"),
    "no key": ([{"row": 1, "pds": 1.0}, {"row": None, "pds": 1.0}], "Row 2 of f.jsonl has no row"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_does_not_fit_is_refused_in_a_sentence_and_nothing_is_written(
    scored_store: Store, tmp_path: Path, case: str
) -> None:
    before = contents(scored_store)
    rows, sentence = BAD[case]
    with pytest.raises(UserError, match=sentence):
        import_scores(scored_store, "space", written(tmp_path / "f.jsonl", rows), "row", ["pds"])
    assert contents(scored_store) == before


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("f.parquet", [{"row": 1, "pds": float("nan")}], "nan in the column pds"),
        ("f.csv", [{"row": 1, "pds": "inf"}], "'inf' in the column pds"),
        ("f.jsonl", [{"row": 1, "pds": float("nan")}], "NaN or infinity"),
    ],
)
def test_a_number_that_is_not_finite_is_refused_in_each_format(
    scored_store: Store, tmp_path: Path, name: str, content: list[dict[str, Any]], sentence: str
) -> None:
    with pytest.raises(SourceUnreadable, match=sentence):
        import_scores(scored_store, "space", written(tmp_path / name, content), "row", ["pds"])


def test_ids_of_another_dataset_and_missing_files_are_refused(scored_store: Store, tmp_path: Path) -> None:
    other = written(tmp_path / "f.csv", [{"example_id": "00000000-0000-0000-0000-000000000000", "pds": 1}])
    with pytest.raises(SourceUnreadable, match="match no row of the dataset 'space' by example-id"):
        import_scores(scored_store, "space", other, "example-id")
    with pytest.raises(SourceUnreadable, match="no column text_hash to join by"):
        import_scores(scored_store, "space", other, "text-hash")
    with pytest.raises(SourceUnreadable, match="Must be one of: row, example-id, text-hash"):
        import_scores(scored_store, "space", other, "position")
    with pytest.raises(SourceUnreadable, match="There is no file"):
        import_scores(scored_store, "space", tmp_path / "absent.csv", "row")


def test_the_same_file_adds_nothing_and_another_one_replaces_only_when_asked(
    scored_store: Store, tmp_path: Path
) -> None:
    first = written(tmp_path / "f.jsonl", GOOD)
    import_scores(scored_store, "space", first, "row")
    changes = scored_store.changes
    import_scores(scored_store, "space", first, "row")
    assert scored_store.changes == changes
    second = written(tmp_path / "g.jsonl", [{"row": n, "pds": 2.0} for n in range(1, 21)])
    with pytest.raises(NameTaken, match="has a score imported_pds already"):
        import_scores(scored_store, "space", second, "row")
    import_scores(scored_store, "space", second, "row", replace=True)
    assert set(values(scored_store)) == {2.0}
    assert [score.file for score in imported_scores(scored_store, "space")] == ["g.jsonl"]


def test_a_removed_score_is_missed_by_name_and_not_by_a_failed_query(scored_store: Store, tmp_path: Path) -> None:
    import_scores(scored_store, "space", written(tmp_path / "f.jsonl", GOOD), "row")
    remove_imported_score(scored_store, "space", "pds")
    for selection in (
        Selection("planets", NAME),
        Selection("planets", NAME, order="random"),
        Selection("planets", filter=RowFilter(ranges=(Range(NAME, 0.0, 1.0),))),
    ):
        with pytest.raises(SelectionInvalid, match="scores import FILE --run RUN"):
            select_summary(scored_store, selection)
    with pytest.raises(NotFound, match="It has none"):
        remove_imported_score(scored_store, "space", "pds")


def test_imported_scores_outlive_removal_merging_and_a_check(scored_store: Store, tmp_path: Path) -> None:
    import_scores(scored_store, "space", written(tmp_path / "f.jsonl", GOOD), "row")
    dataset_id = set_dataset_aside(scored_store, "space")
    restore_dataset(scored_store, dataset_id)
    add_scored_records(scored_store, [ScoredRecord("chat", 2.0, 1.0, response="new")], "other", "more", "more.jsonl")
    merged = merge_dataset(scored_store, "more", "space")
    assert values(scored_store) == [*[1.0] * 20, None]
    rows = [{"row": n, "lds": 3.0} for n in range(1, 22)]
    import_scores(scored_store, "space", written(tmp_path / "g.jsonl", rows), "row")
    restore_dataset(scored_store, merged)
    assert [score.rows for score in imported_scores(scored_store, "space")] == [20, 20]
    assert [finding.sentence for finding in check_workspace(scored_store, lambda _: None)] == []
