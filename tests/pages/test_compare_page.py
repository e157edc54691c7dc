"""Compare runs on the Evidence page, run by Streamlit's own test harness against a real store."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core.store import Store
from tests.two_runs import TwiceScored, import_rows, score_rows

PAGE = Path(__file__).parents[2] / "pages" / "evidence_page.py"
HOSTILE = "![x](http://example.invalid/x.png)"
ROWS = [
    *(TwiceScored("chat", 20.0, 20.0 - number, 18.0 - number, f"chat {number}") for number in range(12)),
    *(TwiceScored("math", 20.0, 20.0 - number, 10.0 + number, f"math {number}") for number in range(8)),
    TwiceScored("songs", 10.0, None, 5.0, "unscored by one"),
    TwiceScored(HOSTILE, 10.0, 12.0, 6.0, HOSTILE),
]


def opened(**parameters: str | list[str]) -> AppTest:
    page = AppTest.from_file(str(PAGE), default_timeout=30)
    page.session_state["overlap_numbers"] = page.session_state["scores_numbers"] = True  # the numbers lie open
    for name, value in {"evidence": "Compare runs", **parameters}.items():
        page.query_params[name] = value
    return page.run()


@pytest.fixture
def compare(page_workspace: Path) -> Callable[..., AppTest]:
    """Opens the page on two runs of one dataset, "two" the newer, with the given query parameters."""
    with Store.open(page_workspace, "a test") as store:
        import_rows(store, ROWS)
        for reference in ("one", "two"):
            score_rows(store, ROWS, reference, reference)
    return opened


def text_of(page: AppTest) -> str:
    """Everything the page says in words, without the backslashes that keep markdown from reading it."""
    kinds = (page.markdown, page.caption, page.text, page.info, page.warning, page.error)
    return "\n".join(element.value for elements in kinds for element in elements).replace("\\", "")


def healthy(page: AppTest) -> AppTest:
    assert not page.exception
    assert not page.error
    return page


def table_with(page: AppTest, column: str) -> pd.DataFrame:
    return next(table.value for table in page.dataframe if column in table.value)


def test_an_empty_workspace_says_what_to_do_next(page_workspace: Path) -> None:
    assert "Import a dataset first" in healthy(opened()).info[0].value


def test_a_run_without_another_of_its_dataset_points_to_scoring(page_workspace: Path) -> None:
    with Store.open(page_workspace, "a test") as store:
        for dataset in ("data", "other"):
            import_rows(store, ROWS, dataset=dataset)
            score_rows(store, ROWS, f"run of {dataset}", "one", dataset=dataset)
    page = healthy(opened(run="run of data"))
    assert "run of data is the only run of dataset data" in text_of(page)
    assert "Score a dataset: open the Score page." in text_of(page)
    assert len(page.selectbox) == 1


def test_both_runs_are_said_in_words_and_named_in_the_address(compare: Callable[..., AppTest]) -> None:
    page = healthy(compare())
    assert "**One base, two references.**" in text_of(page)
    assert "**A** two: base base, reference reference two; template chat, at most 512 tokens; float32" in text_of(page)
    assert "**B** one: base base, reference reference one" in text_of(page)
    named = {name: page.query_params[name] for name in ("run", "with", "score")}
    assert named == {"run": "two", "with": "one", "score": "learnability"}
    assert not page.warning


def test_a_link_opens_cold_on_the_same_view(compare: Callable[..., AppTest]) -> None:
    page = healthy(
        compare(
            **{
                "run": "one",
                "with": "two",
                "score": "reference_loss",
                "domain": ["chat", "math"],
                "comparison": "Top rows",
            }
        )
    )
    assert [box.value for box in page.selectbox] == ["one", "two", "reference_loss"]
    assert page.multiselect(key="domain").value == ["chat", "math"]
    assert next(tab for tab in page.tabs if tab.label == "Top rows").children
    assert "**20** of 22 rows compared; 2 excluded by the filters" in text_of(page)


@pytest.mark.parametrize("score", ["learnability", "base_perplexity"])
@pytest.mark.parametrize("view", ["Agreement", "Top rows", "Movers"])
def test_every_section_opens_from_a_link(compare: Callable[..., AppTest], view: str, score: str) -> None:
    page = healthy(compare(**{"run": "one", "with": "two", "score": score, "comparison": view}))
    assert next(tab for tab in page.tabs if tab.label == view).children


def test_the_correlation_is_shown_overall_and_by_domain(compare: Callable[..., AppTest]) -> None:
    table = table_with(healthy(compare(run="one")), "Spearman").set_index("Domain")
    assert table["Rows"].to_dict() == {"All domains": 21, HOSTILE: 1, "chat": 12, "math": 8}
    assert table.loc[["chat", "math"], "Spearman"].tolist() == pytest.approx([1.0, -1.0])
    assert pd.isna(table.loc[HOSTILE, "Spearman"])


def test_the_overlap_of_the_tops_is_in_words_and_numbers(compare: Callable[..., AppTest]) -> None:
    page = healthy(compare(run="one", comparison="Top rows"))
    assert (
        "Top rows shared by both runs, all domains ranked together: at 6 % **1 of 1** (100%; by chance 4.8%)"
        in text_of(page)
    )
    table = table_with(page, "Selected by both")
    math = table[(table["Domain"] == "math") & (table["Share selected"] == 0.5)]
    assert math[["Rows selected", "Selected by both"]].values.tolist() == [[4, 0]]


def test_the_movers_are_listed_by_direction(compare: Callable[..., AppTest]) -> None:
    page = healthy(compare(**{"run": "one", "with": "two", "comparison": "Movers"}))
    rise, fall = (table.value for table in page.dataframe)
    assert (rise["Row"].iloc[0], fall["Row"].iloc[0]) == (13, 20)
    assert (rise["Moved (points)"].iloc[0], fall["Moved (points)"].iloc[0]) == (87.5, -87.5)
    assert rise.iloc[0][["Rank in A", "Rank in B", "Rows in domain", "Response"]].tolist() == [8, 1, 8, "math 0"]


def test_a_link_to_a_row_opens_it_with_its_losses_in_both_runs(compare: Callable[..., AppTest]) -> None:
    page = healthy(compare(**{"run": "one", "with": "two", "row": "22"}))
    assert HOSTILE in [block.value for block in page.code]
    table = table_with(page, "B − A").set_index("Measure")
    assert table.loc["Reference NLL sum", ["A", "B", "B − A"]].tolist() == ["12", "6", "-6"]
    assert table.loc["Base NLL sum", ["A", "B", "B − A"]].tolist() == ["10", "10", "0"]


def test_a_row_that_one_run_did_not_score_opens_all_the_same(compare: Callable[..., AppTest]) -> None:
    table = table_with(healthy(compare(**{"run": "one", "with": "two", "row": "21"})), "B − A").set_index("Measure")
    assert table.loc["Reference NLL sum", ["A", "B", "B − A"]].tolist() == ["none", "5", "none"]


def test_a_row_that_is_not_there_is_one_sentence(compare: Callable[..., AppTest]) -> None:
    page = compare(run="one", row="999")
    assert not page.exception
    assert page.error[0].value.startswith("This run has no row 999")


def test_filters_change_every_number(compare: Callable[..., AppTest]) -> None:
    page = compare(run="one")
    healthy(page.multiselect(key="domain").select("math").run())
    assert "**8** of 22 rows compared; 14 excluded by the filters" in text_of(page)
    assert table_with(page, "Spearman")["Rows"].tolist() == [8, 8]


def test_filters_that_no_row_passes_say_so(compare: Callable[..., AppTest]) -> None:
    page = healthy(compare(run="one", domain="songs"))
    assert "**0** of 22 rows compared; 21 excluded by the filters; 1 without this score" in text_of(page)
    assert page.info[0].value.startswith("None of these rows has this score in both runs.")
    page = healthy(compare(run="one", domain="songs", without_flag="not_scored"))
    assert "**0** of 22 rows compared; 22 excluded by the filters" in text_of(page)
    assert page.info[0].value.startswith("No row passes these filters.")


def test_choosing_the_other_run_for_a_turns_the_comparison_round(compare: Callable[..., AppTest]) -> None:
    page = compare(**{"run": "one", "with": "two"})
    healthy(page.selectbox(key="run_picker").set_value("two").run())
    assert page.selectbox(key="with_picker").value == "one"
    assert page.query_params["with"] == "one"
    assert not page.warning


def test_a_run_of_another_dataset_in_the_link_is_said_and_another_shown(compare: Callable[..., AppTest]) -> None:
    page = healthy(compare(**{"run": "one", "with": HOSTILE}))
    assert "is not a run of the same dataset" in text_of(page)
    assert page.selectbox(key="with_picker").value == "two"


def test_text_from_data_never_reaches_markdown(compare: Callable[..., AppTest]) -> None:
    page = healthy(compare(**{"run": "one", "with": HOSTILE, "row": "22"}))
    for elements in (page.markdown, page.caption, page.warning, page.info, page.subheader):
        assert not [element.value for element in elements if "![x](" in element.value]


def test_other_text_and_losses_that_are_the_same_are_warned_about(page_workspace: Path) -> None:
    with Store.open(page_workspace, "a test") as store:
        import_rows(store, ROWS)
        score_rows(store, ROWS, "one", "one")
        other = {"template": "alpaca", "max_length": 512, "tokenizer_fingerprint": "tokenizer", "version": 1}
        score_rows(store, ROWS, "two", "two", encoding=other)
    page = healthy(opened(score="base_loss"))
    assert "The encodings differ (A: template alpaca" in text_of(page)
    assert "22 of 22 rows have the same losses in both runs" in text_of(page)


def test_rows_of_a_grown_dataset_are_counted_and_lead_to_scoring(page_workspace: Path) -> None:
    with Store.open(page_workspace, "a test") as store:
        import_rows(store, ROWS)
        score_rows(store, ROWS, "one", "one")
        later = [TwiceScored("poems", 9.0, 4.0, 3.0, f"poem {number}") for number in range(5)]
        import_rows(store, later, "later.jsonl")
        score_rows(store, [*ROWS, *later], "two", "two")
    page = healthy(opened(**{"run": "one", "with": "two"}))
    assert "**21** of 27 rows compared; 1 without this score in one or both runs; 5 only in B" in text_of(page)
    assert "Score the dataset again: open the Score page." in text_of(page)
    assert "poems" in page.multiselect(key="domain").options


def test_a_domain_of_another_dataset_is_forgotten_with_its_run(
    compare: Callable[..., AppTest], page_workspace: Path
) -> None:
    with Store.open(page_workspace, "a test") as store:
        rows = [TwiceScored("poems", 9.0, 4.0, 3.0, f"poem {number}") for number in range(5)]
        import_rows(store, rows, dataset="poetry")
        for reference in ("one", "two"):
            score_rows(store, rows, f"poems by {reference}", reference, dataset="poetry")
    page = healthy(compare(run="one", domain="math"))
    healthy(page.selectbox(key="run_picker").set_value("poems by one").run())
    assert page.selectbox(key="with_picker").value == "poems by two"
    assert "**5** of 5 rows compared" in text_of(page)


def test_many_rows_are_drawn_as_a_density_and_still_all_counted(page_workspace: Path) -> None:
    rows = [TwiceScored("chat", 20.0, 19.0 - n / 400, 15.0 + n / 1000, f"row {n}") for n in range(3_200)]
    with Store.open(page_workspace, "a test") as store:
        import_rows(store, rows)
        for reference in ("one", "two"):
            score_rows(store, rows, reference, reference)
    page = healthy(opened(**{"run": "one", "with": "two"}))
    cells = next(
        table.value for table in page.dataframe if len(table.value.columns) == 3 and "Domain" not in table.value
    )
    assert 0 < cells["Rows"].sum() <= 3_200
    assert len(cells) < 3_200
    assert table_with(page, "Spearman")["Spearman"].tolist() == pytest.approx([-1.0, -1.0])
