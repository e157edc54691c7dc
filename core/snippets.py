"""Beginnings of texts in SQL: what a list shows of a prompt or response, so that no list sends whole ones."""

SNIPPET_CHARACTERS = 160


def snippet(column: str) -> str:
    """SQL of the column's beginning on one line, under the column's name."""
    return f"{beginning(column)} AS {column}"


def beginning(text: str, characters: int = SNIPPET_CHARACTERS) -> str:
    """SQL of a text's beginning on one line."""
    return f"regexp_replace(left({text}, {characters:d}), '\\s+', ' ', 'g')"
