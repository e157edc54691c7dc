"""The accuracy of the implicit reward by domain, counted by hand, with Wilson's interval from tables."""

import json
from pathlib import Path

import pytest

from core.exploring.pair_accuracy import pair_accuracies
from tests import command_line
from tests.fakes import ScoredRecord, build_scored_store


def records(domain: str, gains: list[float | None]) -> list[ScoredRecord]:
    """Pairs whose chosen side gains this much per token, and the rejected one nothing; None: it was not scored."""
    return [
        record
        for gain in gains
        for record in (
            ScoredRecord(domain, 5.0, None if gain is None else 5.0 - gain, is_chosen=True),
            ScoredRecord(domain, 1.0, 1.0),
        )
    ]


def test_the_accuracy_is_counted_by_domain_and_a_tie_is_not_preferred(tmp_path: Path) -> None:
    rows = [*records("chat", [1.0] * 8 + [0.0, -1.0, None]), *records("math", [None]), ScoredRecord("chat", 2.0, 1.0)]
    with build_scored_store(tmp_path / "workspace", rows) as store:
        chat, math = pair_accuracies(store, store.run("planets")["table"])
    assert (chat.domain, chat.pairs, chat.scored, chat.preferred, chat.share) == ("chat", 11, 10, 8, 0.8)
    assert (chat.low, chat.high) == (pytest.approx(0.4901625), pytest.approx(0.9433178))  # Wilson's for 8 of 10
    assert (math.scored, math.low, math.share) == (0, None, None)

    answer = command_line.run(tmp_path / "workspace", "pairs", "--run", "planets")
    assert answer.stdout.splitlines() == [
        "chat: 80.0% of 10 pairs have a margin above 0 (49.0% to 94.3%); not scored on both sides: 1 more.",
        "math: no pair of 1 is scored on both sides.",
        "Rows in no pair: 1.",
    ]
    fields = json.loads(command_line.run(tmp_path / "workspace", "pairs", "--run", "planets", "--json").stdout)
    assert fields["domains"][0]["preferred"] == 8
    assert fields["rows_without_pair"] == 1


def test_a_run_without_pairs_is_answered_in_a_sentence(tmp_path: Path) -> None:
    build_scored_store(tmp_path / "workspace", [ScoredRecord("chat", 2.0, 1.0)]).close()
    answer = command_line.run(tmp_path / "workspace", "pairs", "--run", "planets")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "has no preference pairs" in answer.stderr
