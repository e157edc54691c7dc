"""Beginnings of texts in SQL: what a list shows of a prompt or response, so that no list sends whole ones."""

SNIPPET_CHARACTERS = 160


def snippet(column: str) -> str:
    """SQL of the column's beginning on one line, under the column's name."""
    return f"{beginning(column)} AS {column}"


def beginning(text: str, characters: int = SNIPPET_CHARACTERS) -> str:
    """SQL of a text's beginning on one line."""
    return f"regexp_replace(left({text}, {characters:d}), '\\s+', ' ', 'g')"


def snippet_ctes(rows: str) -> str:
    """SQL of the common table expressions `text_place` and `beginning` (example_id, prompt and response: their
    beginnings) of the few rows of another one, `rows`.

    First where the texts lie, then the texts there: a join reads a column of texts whole, a row number only its block.
    """
    return f"""
        text_place AS MATERIALIZED (
            SELECT rowid AS place FROM example WHERE example_id IN (SELECT example_id FROM {rows})
        ),
        beginning AS (
            SELECT example_id, {snippet("prompt")}, {snippet("response")} FROM example
            WHERE rowid IN (SELECT place FROM text_place)
        )
    """
