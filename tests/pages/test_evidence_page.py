"""The Evidence page, run by Streamlit's own test harness against a real store."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core.exploring.compared_runs import other_runs
from core.jobs.job import all_jobs
from core.store import Store
from tests.core.scored_rows import ScoredRow, add_scored_run
from tests.cross_fitted import NAME
from tests.cross_fitted_rows import JudgedRow, add_judged_run, example_of, write_model
from tests.two_runs import TwiceScored, import_rows, score_rows
from tests.waiting import wait_for
from ui.evidence.evidence_view import DETAILS
from ui.shell.session import open_session

PAGE = Path(__file__).parents[2] / "pages" / "evidence_page.py"
HOSTILE = "![x](http://example.invalid/x.png)"
CHARTS = ("gap", "passes", "length", "agreement")


def opened(details: str = "Memory", **parameters: str) -> AppTest:
    """The page, with one of the tabs below the verdicts open."""
    page = AppTest.from_file(str(PAGE), default_timeout=60)
    for chart in CHARTS:
        page.session_state[f"{chart}_numbers"] = True  # the numbers lie open
    for name, value in {"details": details, **parameters}.items():
        page.query_params[name] = value
    return page.run()


def healthy(page: AppTest) -> AppTest:
    assert not page.exception
    assert not page.error
    return page


def text_of(page: AppTest) -> str:
    """Everything the page says in words, without the backslashes that keep markdown from reading it."""
    kinds = (page.markdown, page.caption, page.text, page.info, page.warning, page.success, page.error)
    return "\n".join(element.value for elements in kinds for element in elements).replace("\\", "")


def table_with(page: AppTest, column: str) -> pd.DataFrame:
    return next(table.value for table in page.dataframe if column in table.value)


@pytest.fixture
def cross(page_workspace: Path, tmp_path: Path) -> Path:
    """A cross-fitted run of three domains, one with a hostile name, with everything that training records."""
    rows = [
        JudgedRow(domain, 100.0, (90.0 - n, 89.0 - n - n % 3), 50.0 - n if n % 5 else None, tokens=10 + n)
        for n in range(40)
        for domain in ("chat", "math", HOSTILE)
    ]
    losses = {(rows, domain): [2.0, 1.5 if rows == "own" else 1.9, 1.0 if rows == "own" else 1.95]
              for rows in ("own", "held_out") for domain in ("chat", "math", HOSTILE)}  # fmt: skip
    ids = [str(example_of(number).example_id) for number in range(1, len(rows) + 1)]
    models = {
        f"fold-{fold}-seed-{seed}": write_model(
            tmp_path / f"m{fold}{seed}", losses, ids[:: 1 - 2 * seed], steps=7, epochs=2.0
        )
        for fold in (0, 1)
        for seed in (0, 1)
    }
    with Store.open(page_workspace, "a test") as store:
        add_judged_run(store, rows, models=models)
    return page_workspace


def test_an_empty_workspace_says_what_to_do_next(page_workspace: Path) -> None:
    assert "Import a dataset first" in healthy(opened()).info[0].value


def test_each_question_has_its_verdict_before_its_figures(cross: Path) -> None:
    page = healthy(opened(run="cross"))
    headings = [element.value.replace("\\", "") for element in page.markdown if element.value.startswith("#### ")]
    assert headings == [
        "#### Is it memory?",
        "#### Is it length or the end token?",
        "#### Is it stable?",
        "#### Does it beat random?",
    ]
    assert [box.value.replace("\\", "")[:58] for box in page.success] == [
        "No: each row was judged by models that never saw it. 56% o",
        "At 16.7 % two references agree on 86% of these rows; chanc",
    ]
    assert {box.icon for box in page.success} == {":material/check_circle:"}
    assert "more long rows than the data" in text_of(page)
    assert any("No trial has been run" in box.value for box in page.info)
    assert "7 steps: too little training to rank by." in text_of(page)
    assert "The held-out loss rose after pass 1: fewer passes would be better." in text_of(page)


def test_every_chart_has_its_numbers_below(cross: Path) -> None:
    page = healthy(opened(run="cross"))
    charts = len(page.get("plotly_chart"))
    gap = table_with(page, "Cross q25").set_index("Domain")
    assert gap.index.tolist() == ["All domains", HOSTILE, "chat", "math"]
    assert gap["Rows"].tolist() == [96, 32, 32, 32]
    passes = table_with(page, "Which rows")
    assert len(passes) == 4 * 2 * 3
    page = healthy(opened("Length", run="cross"))
    charts += len(page.get("plotly_chart"))
    assert table_with(page, "Implicit reward (sum)")["Rows"].tolist() == [120, 40, 40, 40]
    page = healthy(opened("Stability", run="cross"))
    charts += len(page.get("plotly_chart"))
    tops = table_with(page, "Share by chance")
    assert set(tops["Compared"]) == {"Two seeds", "Own and cross-fitted"}
    assert charts == len(CHARTS)


def test_a_domain_can_be_chosen_for_the_overlap(cross: Path) -> None:
    page = healthy(opened("Stability", run="cross"))
    box = page.selectbox(key="stability_domain")
    assert box.options == ["All domains, ranked within each", HOSTILE, "chat", "math"]
    healthy(box.set_value("chat").run())


def test_hostile_text_never_reaches_markdown(cross: Path) -> None:
    for details in DETAILS:
        page = healthy(opened(details, run="cross"))
        kinds = (page.markdown, page.caption, page.warning, page.info, page.success)
        assert not [element.value for elements in kinds for element in elements if "![x](" in element.value]


def test_an_in_sample_run_shows_what_its_top_was_trained_on(page_workspace: Path) -> None:
    with Store.open(page_workspace, "a test") as store:
        rows = [ScoredRow("chat", 100.0, 100.0 - n, tokens=10) for n in range(20)]
        table = add_scored_run(store, rows)
        ids = store.rows(f"SELECT example_id::VARCHAR FROM {table} WHERE row_number > 15")
        store.record_training("reference model", [example_id for (example_id,) in ids])
        store.save_run("again", "data", store.run("first")["loss_sets"], {})
    page = healthy(opened(run="again"))
    assert table_with(page, "Top 10% trained on")["Top 10% trained on"].tolist() == pytest.approx([1.0, 1.0])
    assert "The reference was trained on 25% of the rows with a score, and on 100% of the top 10% of them." in text_of(
        page
    )


def test_a_run_with_nothing_recorded_says_which_commands_bring_it(page_workspace: Path) -> None:
    with Store.open(page_workspace, "a test") as store:
        add_scored_run(store, [ScoredRow("chat", 10.0, None)])
    page = healthy(opened())
    assert "train --folds 2 --held-out 0.1" in text_of(page)
    assert "train --folds 2 --seeds 2" in text_of(page)
    assert not page.get("plotly_chart")


def test_another_run_of_the_dataset_is_compared_with(page_workspace: Path) -> None:
    with Store.open(page_workspace, "a test") as store:
        rows = [TwiceScored("chat", 100.0, float(n), 49.0 - n, f"row {n}") for n in range(50)]
        import_rows(store, rows)
        for reference in ("one", "two"):
            score_rows(store, rows, reference, reference)
    page = healthy(opened("Stability", run="one"))
    assert table_with(page, "Other run: two")["Other run: two"].tolist() == pytest.approx([-1.0, -1.0])


def test_one_click_trains_a_second_reference_and_scores_with_it(page_workspace: Path, cross_fitted: Path) -> None:
    shutil.copytree(cross_fitted / "workspace", page_workspace)
    page = healthy(opened("Stability", run=NAME))
    assert "Not measured: there is no second reference" in text_of(page)
    assert "another seed (1), then scores the dataset as run crossed-seed-1" in text_of(page)
    healthy(page.button(key="second_reference_brief").click().run())
    first, second = (job.request for job in all_jobs(page_workspace) if job.kind == "train")
    for name in ("method", "epochs", "learning_rate", "batch_tokens", "encoding", "folds_file"):
        assert second[name] == first[name]
    assert [one["seed"] for one in second["members"]] == [1, 1]
    assert [step["kind"] for step in second["then"]] == ["score"]
    session = open_session()
    wait_for(lambda: "crossed-seed-1" in other_runs(session.store, NAME), "a run with the second reference", 300)
    page = healthy(opened("Stability", run=NAME))
    assert "Other run: crossed-seed-1" in table_with(page, "Other run: crossed-seed-1")
    assert "second_reference" not in [button.key for button in page.button]
