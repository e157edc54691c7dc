"""What names domains on a terminal names the first ones, and says how many more there are."""

from typing import Any

from core.cli.trial_commands import _evaluation_sentence
from core.data.listing import MOST_NAMED, first_sentences, listed
from core.workspace.status import status_text

MANY = {f"domain {number:04d}": number + 1 for number in range(5_000)}


def test_the_first_names_and_how_many_more() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed("abcde", 2) == "a, b and 3 more"
    assert first_sentences(["A.", "B.", "C."], "domains", 2) == ["A.", "B.", "And 1 more domains."]
    assert first_sentences(["A."], "domains") == ["A."]


def status_of(domains: dict[str, int]) -> str:
    dataset = {"name": "data", "rows": sum(domains.values()), "domains": domains, "rejected": 0}
    fields: dict[str, Any] = dict.fromkeys(("models", "runs", "jobs", "selections"), ())
    return status_text({"workspace": "here", "datasets": [dataset], **fields})


def test_a_name_as_long_as_a_book_does_not_fill_a_terminal() -> None:
    assert listed(["a", "b" * 1_000_000]) == f"a, {'b' * 200}..."


def test_status_names_the_largest_domains_of_thousands() -> None:
    found = status_of(MANY)
    assert len(found) < 1_000
    assert "(domain 4999 5,000, domain 4998 4,999" in found
    assert f"and {len(MANY) - MOST_NAMED:,} more)" in found
    assert "(b 1, a 2)" in status_of({"b": 1, "a": 2})


def test_an_evaluation_prints_the_largest_domains_of_thousands() -> None:
    means = {"loss": 1.0, "row_weighted_loss": 1.0, "tokens": 10}
    domains = {name: {**means, "rows": rows} for name, rows in MANY.items()}
    report = {"model": "m", "dataset": "data", "rows": 1, "unscored": 0, **means, "domains": domains}
    lines = _evaluation_sentence(report).splitlines()
    assert len(lines) == 2 + MOST_NAMED + 1
    assert lines[-1] == f"and {len(MANY) - MOST_NAMED:,} smaller domains; --json has all."
