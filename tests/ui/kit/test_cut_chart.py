"""The cut chart: what it sends to the browser, and what it takes from it."""

import json
import math

import pandas as pd
import pytest

from core.exploring.distributions import Histogram
from ui.kit.cut_chart import MOST_DOMAINS, _binned, _event

DOMAINS = tuple(f"domain {number:02d}" for number in range(20))


def counted(domains: tuple[str, ...]) -> Histogram:
    bins = [(domain, bin / 60, (bin + 1) / 60, 123_456) for domain in domains for bin in range(60)]
    outside = [(domain, 7, 9, 1) for domain in domains]
    return Histogram(
        "learnability",
        0.0,
        1.0,
        pd.DataFrame(bins, columns=["domain", "bin_low", "bin_high", "rows"]),
        pd.DataFrame(outside, columns=["domain", "below", "above", "no_score"]),
    )


def test_of_many_domains_few_are_sent_and_little_data() -> None:
    data = _binned(counted(DOMAINS), dict.fromkeys(DOMAINS, 0.5), dict.fromkeys(DOMAINS, "#0072B2"))
    assert [domain["name"] for domain in data["domains"]] == list(DOMAINS[:MOST_DOMAINS])
    assert len(data["edges"]) == 61
    assert len(json.dumps(data)) < 30_000


def test_a_domain_without_a_finite_cut_or_without_a_colour_has_no_line() -> None:
    data = _binned(counted(DOMAINS[:3]), {DOMAINS[0]: math.inf}, dict.fromkeys(DOMAINS[:2], "#0072B2"))
    assert [(domain["name"], domain["cut"]) for domain in data["domains"]] == [(DOMAINS[0], None), (DOMAINS[1], None)]
    assert (data["domains"][0]["below"], data["domains"][0]["above"]) == (7, 9)
    assert _binned(counted(()), {}, {}) == {"edges": [0.0, 1.0], "domains": []}


@pytest.mark.parametrize(
    "given",
    [
        None,
        "chat",
        {"domain": "poetry", "score": 0.5, "turn": 1},
        {"domain": "chat", "score": None, "turn": 1},
        {"domain": "chat", "score": math.nan, "turn": 1},
        {"domain": "chat", "score": "0.5", "turn": 1},
        {"domain": "chat", "score": 0.5, "turn": "1"},
        {"domain": ["chat"], "score": 0.5, "turn": 1},
    ],
)
def test_what_the_chart_does_not_send_is_ignored(given: object) -> None:
    assert _event(given, {"chat": "#0072B2"}) is None


def test_a_release_has_a_domain_a_score_and_a_number() -> None:
    assert _event({"domain": "chat", "score": 1, "turn": 3}, {"chat": "#0072B2"}) == ("chat", 1.0, 3)
