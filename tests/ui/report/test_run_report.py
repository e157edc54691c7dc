"""The report as HTML: what it says, that it loads nothing, and that no text becomes markup."""

import base64
import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.data.scores import FLAGS
from core.evidence.trial_folder import trial_folder
from core.evidence.verdicts import trial_verdict
from core.selection import Amount, Selection, save_selection
from core.selection.recipe import Spread
from core.store import Store
from core.workspace.run_report import run_report, trials_of_run
from tests.core.embedded_rows import give_embeddings
from tests.fakes import ScoredRecord, build_scored_store
from tests.hostile_text import ELSEWHERE, HOSTILE
from tests.reported_run import add_reported_run
from tests.two_runs import TwiceScored, import_rows, score_rows
from ui.report.markup import markup, table, tag
from ui.report.run_report import report_html
from ui.report.trials_section import trials_section

LIMIT = 10_000_000
SCRIPT = re.compile(r"<script>(.*?)</script>", flags=re.S)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("reported")
    with Store.open(folder / "workspace", "a test") as opened:
        add_reported_run(opened, folder / "models")
        yield opened


@pytest.fixture(scope="module")
def html(store: Store) -> str:
    return report_html(run_report(store, "first", "curated"))


@pytest.fixture
def trial_copy(store: Store, tmp_path: Path) -> Path:
    """A workspace with a copy of the trial alone."""
    shutil.copytree(store.workspace / "trials", tmp_path / "trials")
    return tmp_path


def without_scripts(html: str) -> str:
    """The document without its scripts and the data of its figures."""
    return re.sub(r"<script.*?</script>", "", html, flags=re.S)


def test_a_report_has_facts_evidence_trial_and_selection(store: Store, html: str) -> None:
    found = run_report(store, "first", "curated")
    text = without_scripts(html)
    for sentence in (*found.evidence.memory_details, *found.evidence.stability_details):
        assert markup(sentence).text in text
    (trial,) = found.trials
    assert trial.plan is not None
    assert trial.results is not None
    for sentence in trial.results.sentences:
        assert markup(sentence).text in text
    assert trial.plan.fingerprint in text
    assert "42 models, about 2 minutes." in text
    assert "24 of 240 (10.0%)" in text
    assert html.count('class="chart"') == 9
    assert len(html.encode()) < LIMIT


def test_a_report_of_a_run_with_embeddings_has_the_coverage_and_the_clusters(tmp_path: Path) -> None:
    with build_scored_store(
        tmp_path / "one", [ScoredRecord("chat", 2.0, 1 + number / 9) for number in range(4)]
    ) as store:
        give_embeddings(store, "planets", np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]]))
        recipe = Selection("planets", amount=Amount("rows", 1), spread=Spread("clusters", clusters=2))
        save_selection(store, "one", recipe)
        html = report_html(run_report(store, "planets", "one"))
    assert "Coverage 0.500, as many random rows 0.500 (1 of 4 sampled rows are selected)." in html
    assert "by clusters, 2 of them, equal quotas" in html


def test_a_report_counts_rows_without_a_score_and_skipped_records_by_reason(tmp_path: Path) -> None:
    rows = [TwiceScored("chat", 20.0, 10.0 if number else None, None, f"answer {number}") for number in range(5)]
    with Store.open(tmp_path / "one", "a test") as store:
        import_rows(store, rows)
        score_rows(store, rows, "only", "one")
        found = run_report(store, "only")
        text = without_scripts(report_html(found))
    assert found.rows == 5
    assert found.left_out.to_dict("records") == [{"reason": FLAGS["not_scored"], "rows": 1}]
    assert "5, of which 4 have a score (" in text
    assert found.selection is None
    assert "No trial has been run" in text
    assert "reference one" in text


def test_a_report_of_a_run_without_any_score_is_made(tmp_path: Path) -> None:
    rows = [TwiceScored("chat", 20.0, None, None, f"answer {number}") for number in range(3)]
    with Store.open(tmp_path / "none", "a test") as store:
        import_rows(store, rows)
        score_rows(store, rows, "only", "one")
        assert "3, of which 0 have a score" in report_html(run_report(store, "only"))


def test_a_damaged_trial_is_said_and_does_not_stop_the_report(trial_copy: Path) -> None:
    (trial_folder(trial_copy, "tenth") / "trial.json").write_text("{", encoding="utf-8")
    (trial,) = trials_of_run(trial_copy, "first")
    assert "is damaged" in trial.objection
    assert markup(trial.objection).text in trials_section([trial], trial_verdict(None, "first")).text


def test_a_trial_that_has_begun_is_shown_as_far_as_it_is(trial_copy: Path) -> None:
    for path in (trial_folder(trial_copy, "tenth") / "cells").glob("top.*"):
        path.unlink()
    text = trials_section(trials_of_run(trial_copy, "first"), trial_verdict(None, "first")).text
    assert "Incomplete: 6 of 42 runs are missing." in text
    assert "no runs of top yet" in text
    assert trials_of_run(trial_copy, "another run") == []


def test_the_policy_allows_the_reports_own_scripts_and_nothing_else(html: str) -> None:
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', html)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in SCRIPT.findall(html)]
    assert len(hashes) == 2
    assert policy.startswith("default-src 'none'; script-src " + " ".join(f"'sha256-{one}'" for one in hashes) + ";")
    assert re.findall(r"(?:src|href|action)=[^ >]*", without_scripts(html)) == ['href="data:,"']


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    with Store.open(tmp_path / "hostile", "a test") as store:
        add_reported_run(store, tmp_path / "hostile models", HOSTILE, HOSTILE[1], rows=len(HOSTILE) * 6)
        html = report_html(run_report(store, HOSTILE[1], HOSTILE[1]))
    text = without_scripts(html)
    tags = set(re.findall(r"<([a-zA-Z!/]+)", text))
    assert not tags & {"script", "img", "iframe", "svg", "style2", "object", "base", "form", "a", "video"}
    assert text.count("<style>") == text.count("<meta http-equiv") == 1
    assert not re.search(rf"<[^>]*{ELSEWHERE}", text)
    assert "\x00" not in html
    data = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', html, flags=re.S)
    assert len(data) == html.count('class="chart"') + 1
    assert not any("<" in one for one in data)


def test_text_is_escaped_and_control_characters_are_replaced() -> None:
    assert markup('<b>&"', tag("i", "<")).text == "&lt;b&gt;&amp;&quot;<i>&lt;</i>"
    assert tag("p", "x", aria_label='"><script>').text == '<p aria-label="&quot;&gt;&lt;script&gt;">x</p>'
    assert markup("nul\x00 \x1b[31m \ud800").text == "nul� �[31m �"


def test_a_table_formats_counts_shares_and_what_is_missing_and_says_what_it_cuts() -> None:
    frame = pd.DataFrame({"rows": [1234] * 250, "share_kept": 0.125, "loss": [None] + [1.5] * 249, "name": "x" * 400})
    text = table(frame, {"rows": "Rows", "share_kept": "Kept", "loss": "Loss", "name": "Name"}).text
    assert '<td class="number">1,234</td><td class="number">12.5%</td><td class="number">–</td>' in text
    assert '<td class="number">1.5000</td>' in text
    assert "x" * 299 + "…" in text
    assert "50 more rows are not shown." in text
