"""What rows are marked with: only what some row has, and which of the rows asked for have it."""

import pyarrow as pa

from core.exploring.row_flags import flagged, row_flags
from core.selection import Pick, scored_run
from core.store import ScoreOrigin, Store, save_imported_scores
from core.store.embedding_files import embeddings_of_run
from core.store.near_duplicates import GROUPS_SCHEMA, save_near_duplicates


def test_flags_searches_columns_of_0_and_1_and_picks_are_offered_if_some_row_has_them(embedded: Store) -> None:
    by_row = dict(embedded.rows("SELECT row_number, example_id::VARCHAR FROM scored_1"))
    bare = row_flags(embedded, scored_run(embedded, "planets"), ())
    assert "Duplicate" not in bare
    groups = pa.table({"example_id": [by_row[1], by_row[2]], "group_number": [1, 1]}, GROUPS_SCHEMA)
    save_near_duplicates(embedded, "space", 0.8, 20, groups)
    save_near_duplicates(embedded, "space", 0.98, 20, groups, embeddings_of_run(embedded.run("planets")).key)
    values = pa.table({"key": [1, 2, 3], "near": [0.0, 1.0, None], "much": [0.0, 2.0, 1.0], "none": [0.0, 0.0, 0.0]})
    values = values.rename_columns(["key", "imported_near", "imported_much", "imported_none"])
    columns = {name: name for name in values.column_names[1:]}
    save_imported_scores(embedded, "space", ScoreOrigin("f.csv", "hash", "row", columns), values)
    run = scored_run(embedded, "planets")
    flags = row_flags(embedded, run, (Pick(by_row[3]), Pick(by_row[4], keep=False)))
    assert list(flags)[len(bare) :] == [
        "Near-duplicate (0.8)", "Near-duplicate by embeddings (0.98)", "near (imported)",
        "Always selected by hand", "Never selected by hand",
    ]  # fmt: skip
    rows = [4, 3, 2, 1]
    has = {label: dict(zip(rows, flagged(embedded, run, flags[label], rows), strict=True)) for label in flags}
    found = {label: [row for row in rows if has[label][row]] for label in flags}
    assert found["Near-duplicate (0.8)"] == found["Near-duplicate by embeddings (0.98)"] == [2, 1]
    assert found["near (imported)"] == [2]
    assert (found["Always selected by hand"], found["Never selected by hand"]) == ([3], [4])
