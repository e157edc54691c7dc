"""Names and counts in a sentence, and sentences in a list: the first few, and how many more there are."""

from collections.abc import Iterable, Mapping, Sequence

MOST_NAMED = 20
"""A sentence names no more; thousands of domains would fill a terminal."""
_LONGEST_NAME = 200


def listed(names: Iterable[str], most: int = MOST_NAMED) -> str:
    """ "a, b and 3 more": at most `most` names, in their order, each cut at 200 characters."""
    found = list(names)
    more = f" and {len(found) - most:,} more" if len(found) > most else ""
    short = [name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..." for name in found[:most]]
    return ", ".join(short) + more


def counted(counts: Mapping[str, int]) -> str:
    """ "empty response: 3, no reply: 1": reasons with their counts, in their order."""
    return ", ".join(f"{reason}: {count:,}" for reason, count in counts.items())


def first_sentences(sentences: Sequence[str], what: str, most: int = MOST_NAMED) -> list[str]:
    """At most `most` sentences, and one that says of how many more `what` there are some."""
    more = [f"And {len(sentences) - most:,} more {what}."] if len(sentences) > most else []
    return [*sentences[:most], *more]
