"""Which formats the selected records have: a file of several formats cannot be read by most loaders."""

from ..selection import Selection, kept_rows, scored_run
from ..store import Store


def record_schemas(store: Store, selection: Selection) -> dict[str, int]:
    """Selected rows by the format of their file, the most frequent first. Raises as `kept_rows` does."""
    dataset_id = store.dataset_id(scored_run(store, selection.run).dataset)
    formats = store.rows("SELECT DISTINCT format FROM source WHERE dataset_id = ? AND row_count > 0", [dataset_id])
    if len(formats) < 2:  # nothing to count, which is quicker
        return {str(name): 0 for (name,) in formats}
    sql, values = kept_rows(store, selection)
    found = store.rows(
        f"""
        SELECT format, count(*) FROM ({sql}) k
        JOIN dataset_row r ON r.row_number = k.row_number AND r.dataset_id = ? JOIN source s USING (source_id)
        GROUP BY format ORDER BY count(*) DESC, format
        """,
        [*values, dataset_id],
    )
    return {str(name): int(rows) for name, rows in found}


def mixed_sentence(schemas: dict[str, int]) -> str | None:
    """That the selected rows have several formats, with their counts; None if they have one."""
    if len(schemas) < 2:
        return None
    counts = ", ".join(f"{name} {rows:,}" for name, rows in schemas.items())
    return (
        f"The selected rows have {len(schemas)} record formats ({counts} rows). Most trainers read one format per "
        "file; in a bundle all records have the same one."
    )
