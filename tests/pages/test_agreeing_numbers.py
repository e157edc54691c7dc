"""Views of one run agree: a share is one figure wherever its population is the same, and each names its population."""

import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.data.filters import EVERYTHING
from core.exploring.trust import flag_effects
from core.selection import Amount, Selection, kept_rows, save_selection, selection_profile
from core.store import Store
from core.workspace.run_report import run_report
from tests.core.scored_rows import ScoredRow, add_scored_run
from ui.report.run_report import report_html
from ui.shell.session import open_session

PAGE = Path(__file__).parents[2] / "pages" / "evidence_page.py"
ROWS, SCORED = 25, 20
TRAINED, TRAINED_AND_SCORED = 10, 5
HALF = Selection("told", amount=Amount("ratio", 0.5))


@pytest.fixture
def workspace(page_workspace: Path) -> Path:
    """A run of 25 rows, of which 5 have no score; its reference was trained on these and on 5 with a score."""
    with Store.open(page_workspace, "a test") as store:
        rows = [ScoredRow("chat", 100.0, 100.0 - n if n < SCORED else None, tokens=10 + n) for n in range(ROWS)]
        table = add_scored_run(store, rows)
        trained = f"SELECT example_id::VARCHAR FROM {table} WHERE row_number > {ROWS - TRAINED}"
        store.record_training("reference model", [found for (found,) in store.rows(trained)])
        store.save_run("told", "data", store.run("first")["loss_sets"], {})
        save_selection(store, "half", HALF)
    return page_workspace


def text_of(page: AppTest) -> str:
    kinds = (page.markdown, page.caption, page.text, page.info, page.warning, page.success)
    return "\n".join(element.value for elements in kinds for element in elements).replace("\\", "")


def test_the_share_of_trained_rows_is_one_figure_for_each_population(workspace: Path) -> None:
    page = AppTest.from_file(str(PAGE), default_timeout=60)
    page.query_params.update({"run": "told", "details": "Memory"})
    page.run()
    assert not page.exception
    store = open_session().store
    table = str(store.run("told")["table"])

    of_all, of_scored = TRAINED / ROWS, TRAINED_AND_SCORED / SCORED
    profile = selection_profile(store, HALF).flags["trained_on"]
    trust = flag_effects(store, table, EVERYTHING)
    assert trust.loc[trust["flag"] == "trained_on", "rows"].sum() == TRAINED
    assert profile.data_share == of_all
    assert f"the reference was trained on {of_all:.0%} of these rows" in text_of(page)  # the badge: all rows of the run
    assert f"The reference was trained on {of_scored:.0%} of the rows with a score" in text_of(page)
    shown = next(found.value for found in page.dataframe if "Rows with a score" in found.value)
    assert shown["Rows with a score"].tolist() == [SCORED, SCORED]
    assert shown["Trained on"].tolist() == [of_scored, of_scored]
    report = re.sub(r"<[^>]*>|\s", " ", report_html(run_report(store, "told", "half")))
    assert f"the reference was trained on {of_all:.0%} of these rows" in report
    assert f"The reference was trained on {of_scored:.0%} of the rows with a score" in report
    assert re.search(rf"Flagged trained_on: [^%]*? {profile.share:.1%} +{profile.data_share:.1%}", report)


def test_flagged_rows_of_a_selection_are_the_same_in_the_profile_and_the_table_of_flags(workspace: Path) -> None:
    with Store.open(workspace, "a test") as store:
        table = str(store.run("told")["table"])
        effects = flag_effects(store, table, EVERYTHING, kept_rows(store, HALF))
        of_flag = effects.groupby("flag")[["rows", "kept_rows"]].sum()
        profile = selection_profile(store, HALF)
        (kept,) = store.rows(f"SELECT count(*) FROM ({kept_rows(store, HALF)[0]})", kept_rows(store, HALF)[1])[0]
    assert of_flag.loc["trained_on"].tolist() == [TRAINED, profile.flags["trained_on"].rows]
    for flag, found in profile.flags.items():
        in_table = of_flag.loc[flag].tolist() if flag in of_flag.index else [0, 0]
        assert [found.data_share, found.share] == [in_table[0] / ROWS, in_table[1] / kept]
