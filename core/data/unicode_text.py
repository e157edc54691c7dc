"""Tells texts from bytes that only look like one: names of files and arguments that are not valid in this encoding."""


def is_unicode(text: str) -> bool:
    """Whether a text can be stored and printed. Python gives bytes that it cannot decode as lone surrogates, which
    nothing else takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
