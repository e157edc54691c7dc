"""Escapes text from data or errors for elements that render markdown."""

_MARKDOWN = "\\`*_{}[]()<>#+-.!|~$:&"


def escaped(text: str) -> str:
    """Text that markdown shows verbatim: no image, formula, colour or heading.

    A bare URL still becomes a link, which fetches nothing until it is clicked.
    """
    return "".join(f"\\{character}" if character in _MARKDOWN else character for character in text)
