"""Text from data or errors, made safe for the elements that read markdown."""

_MARKDOWN = "\\`*_{}[]()<>#+-.!|~$:&"


def escaped(text: str) -> str:
    """Text that markdown shows as it is: no image, formula, colour or heading comes of it.

    A bare web address still becomes a link, which fetches nothing until somebody follows it.
    """
    return "".join(f"\\{character}" if character in _MARKDOWN else character for character in text)
