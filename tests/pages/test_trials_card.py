"""The card "Does it beat random?" of the Evidence page, and the evidence on Select and Export, with trials whose
results are given by hand."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core.evidence import Arm
from core.evidence.trial_state import (
    Begun,
    Running,
    mark_running,
    mark_stopped,
    requested_trials,
    running_trial,
    save_request,
    save_running,
)
from core.exporting import exports_folder
from core.jobs.job import create_job
from core.jobs.job_progress import Progress
from core.selection import Amount, Selection, save_selection
from core.store import Store
from tests.core.scored_rows import ScoredRow, add_scored_run
from tests.cross_fitted_rows import JudgedRow, add_judged_run, write_model
from tests.trial_files import plan_of, write_trial
from tests.trial_workspace import trial_request
from ui.shell.session import open_session

PAGES = Path(__file__).parents[2] / "pages"
TENTH = Selection("first", amount=Amount("ratio", 0.1))
BETTER = {"top": -0.3}


@pytest.fixture
def workspace(page_workspace: Path) -> Path:
    """A run of two domains, and saved selections of it."""
    with Store.open(page_workspace, "a test") as store:
        rows = [ScoredRow(domain, 20.0, 2.0 + number, 5 + number % 9) for number in range(30) for domain in ("a", "b")]
        add_scored_run(store, rows, run="first")
        save_selection(store, "top", TENTH)
    return page_workspace


def written(workspace: Path, *plans: object, done: int | None = None, **effects: float) -> None:
    with Store.open(workspace, "a test") as store:
        for plan in plans or (plan_of("first"),):
            write_trial(store, plan, effects or BETTER, done)  # type: ignore[arg-type]


def opened(page: str = "evidence") -> AppTest:
    found = AppTest.from_file(str(PAGES / f"{page}_page.py"), default_timeout=120)
    for chart in ("trial_forest", "trial_curve", "amount_trial"):
        found.session_state[f"{chart}_numbers"] = True  # the numbers lie open
    if page == "evidence":
        found.query_params["details"] = "Trial"
    return healthy(found.run())


def healthy(page: AppTest) -> AppTest:
    assert not page.exception, [error.value for error in page.exception]
    assert not page.error, [error.value for error in page.error]
    return page


def text_of(page: AppTest) -> str:
    kinds = (page.markdown, page.caption, page.text, page.info, page.warning, page.success, page.error)
    return "\n".join(element.value for elements in kinds for element in elements).replace("\\", "")


def labels(page: AppTest) -> list[str]:
    return [button.label for button in page.button]


def table_with(page: AppTest, column: str) -> pd.DataFrame:
    return next(table.value for table in page.dataframe if column in table.value)


def test_without_a_trial_the_card_says_so_and_offers_to_plan_one(workspace: Path) -> None:
    page = opened()
    assert "No trial has been run" in text_of(page)
    assert "Measure the cost" in labels(page)
    assert page.multiselect(key="trial_selections").value == ["top"]
    assert page.slider(key="trial_held_out").value == 10  # the reference held out none


def test_a_complete_trial_shows_its_verdict_and_all_arms(workspace: Path) -> None:
    written(workspace)
    page = opened()
    said = text_of(page)
    assert "top: better than random, for this base, budget and held-out set: 3 runs against 15" in said
    assert "better data" not in said
    table = table_with(page, "p (Holm)").set_index("Arm")
    assert list(table.index) == ["random-by-domain", "top", "longest"]
    assert table.loc["top", "Verdict"] == "better than random"
    assert table.loc["longest", "Verdict"] == "not distinguishable from random"
    assert float(table.loc["top", "Difference"]) == pytest.approx(-0.3, abs=0.05)
    assert table.loc["top", "95 % interval"].startswith("-0.")
    assert float(table.loc["top", "Smallest visible"]) > 0
    assert table.loc["top", "Runs"] == 3
    assert "Start" not in labels(page)


def test_a_part_of_the_held_out_rows_has_an_interval_and_no_verdict(workspace: Path) -> None:
    written(workspace)
    page = opened()
    page = healthy(page.selectbox(key="trial_slice").set_value(("domain", "a")).run())
    table = next(t.value for t in page.dataframe if "95 % interval" in t.value)
    assert "Verdict" not in table
    assert "Parts and other metrics have no verdict" in text_of(page)
    page = healthy(page.selectbox(key="trial_slice").set_value(("overall", "")).run())
    page = healthy(page.selectbox(key="trial_metric").set_value("row_weighted").run())
    assert "Parts and other metrics have no verdict" in text_of(page)


def test_a_planned_trial_shows_its_cost_before_start_and_can_be_discarded(workspace: Path) -> None:
    written(workspace, done=0)
    page = opened()
    assert "18 runs take about 2 h 5 min (2.1 GPU-hours)." in text_of(page)
    assert {"Start", "Discard"} <= set(labels(page))
    assert page.number_input(key="at_once_tenth").value == 1
    healthy(page.button(key="discard_trial_tenth").click().run())
    assert not (workspace / "trials" / "tenth").exists()


def test_a_trial_in_progress_says_how_far_it_is_and_can_be_stopped(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.workspace.supervisor_thread.advance_trials", lambda store: None)
    written(workspace, done=4)
    page = opened()
    assert "17 models left" in text_of(page)
    mark_running(workspace, "tenth")
    page = opened()
    assert "Model 5 of 21" in text_of(page)
    jobs = [create_job(workspace, {"kind": "trial_cell", "trial": "tenth", "cell": cell}, {}) for cell in ("a", "b")]
    jobs[0].report(Progress("Training", 1, 4, "steps"))
    begun = tuple(Begun(job.job_id, str(job.request["cell"])) for job in jobs)
    save_running(workspace, Running("tenth", "2026-12-01", 2, begun))
    said = text_of(opened())
    assert "4 of 21 models done; 2 at work:\na. Training" in said
    assert "\nb. " in said
    save_running(workspace, Running("tenth", "2026-12-01", 2, begun, "c: the disk is full."))
    failing = AppTest.from_file(str(PAGES / "evidence_page.py"), default_timeout=120)
    failing.query_params["details"] = "Trial"
    assert "c: the disk is full. The trial stops when the models at work have ended." in text_of(failing.run())
    assert "Stop" in labels(failing)
    save_running(workspace, Running("tenth", "2026-12-01", 2, begun))
    healthy(page.button(key="stop_trial_tenth").click().run())
    assert running_trial(workspace, "tenth") is None
    mark_stopped(workspace, "tenth", "The disk is full.")
    page = AppTest.from_file(str(PAGES / "evidence_page.py"), default_timeout=120)
    page.query_params["details"] = "Trial"
    page.run()
    assert "The disk is full." in text_of(page)
    assert "Continue" in labels(page)


def test_a_request_is_shown_while_it_is_planned(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.workspace.supervisor_thread.advance_trials", lambda store: None)
    save_request(workspace, "asked", trial_request(name="asked").to_fields())
    mark_running(workspace, "asked")
    page = opened()
    assert "asked" in text_of(page)
    page = healthy(page.button(key="stop_trial_asked").click().run())
    healthy(page.button(key="discard_trial_asked").click().run())
    assert requested_trials(workspace) == []


def test_a_form_that_cannot_be_planned_says_why(workspace: Path) -> None:
    page = opened()
    page = page.button(key="request_trial").click().run()
    assert not page.exception
    assert "does not record its base" in page.error[0].value


def test_several_shares_give_a_curve_on_both_pages(workspace: Path) -> None:
    written(workspace, plan_of("first", ratios=(0.06, 0.167)))
    page = opened()
    curve = table_with(page, "Share of rows")
    assert set(curve["Arm"]) == {"top", "random-by-domain", "longest"}
    assert "top at 6 %: better than random" in text_of(page)
    select = opened("curate")
    assert "the line marks the share chosen above" in text_of(select)
    assert set(table_with(select, "Share of rows")["Arm"]) == {"top", "random-by-domain"}


def test_select_and_export_say_what_a_trial_found_and_the_manifest_keeps_it(workspace: Path) -> None:
    assert "No trial has compared this selection with random yet." in text_of(opened("curate"))
    opened_session = open_session()
    write_trial(opened_session.store, plan_of("first"), BETTER)
    page = opened("curate")
    assert "Trial 'tenth' compared a recipe of the same score and order (top): better than random" in text_of(page)
    page = healthy(page.slider(key="recipe_all_ratio").set_value(10.0).run())
    assert "Trial 'tenth' compared this recipe (top): better than random" in text_of(page)
    page = opened("export")
    assert "Trial 'tenth' compared this recipe (top): better than random" in text_of(page)
    healthy(page.button(key="write_export").click().run())
    manifest = json.loads((exports_folder(workspace) / "top.jsonl.manifest.json").read_text(encoding="utf-8"))
    assert manifest["evidence"]["trial"] == "tenth"
    assert manifest["evidence"]["verdict"] == "better than random"


def test_other_scores_and_orders_have_no_evidence(workspace: Path) -> None:
    longest = Arm("top", "selection", Selection("first", order="longest", amount=Amount("ratio", 0.1)))
    written(workspace, plan_of("first", arms=(longest, Arm("random-by-domain", "random-by-domain"))))
    assert "No trial has compared this selection with random yet." in text_of(opened("curate"))


@pytest.mark.parametrize(
    ("recorded", "rate", "tokens"),
    [
        ({"learning_rate": 5.0, "batch_tokens": 512}, 5.0, 512),
        ({"learning_rate": 1e300, "batch_tokens": -1}, 2e-4, 4096),
        ({"learning_rate": "high", "batch_tokens": [1]}, 2e-4, 4096),
    ],
)
def test_the_form_opens_whatever_the_reference_records(
    page_workspace: Path, tmp_path: Path, recorded: dict[str, Any], rate: float, tokens: int
) -> None:
    rows = [JudgedRow("chat", 100.0, (90.0 - n,)) for n in range(20)]
    models = {f"fold-{fold}-seed-0": write_model(tmp_path / f"m{fold}", method="lora", **recorded) for fold in (0, 1)}
    with Store.open(page_workspace, "a test") as store:
        add_judged_run(store, rows, models=models)
        save_selection(store, "top", Selection("cross", amount=Amount("ratio", 0.1)))
    page = opened()
    assert page.number_input(key="trial_rate_lora").value == rate
    assert page.number_input(key="trial_batch").value == tokens
