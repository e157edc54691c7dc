"""What the pages say agrees with the figures beside it, and what they recommend they take."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from streamlit.testing.v1 import AppTest

from core.data.examples import DatasetRow, Example, Message
from core.jobs.job import create_job
from core.store import Store
from core.training.checkpoints import CHECKPOINT_COMPLETE
from tests.core.scored_rows import ScoredRow, add_scored_run
from tests.pages.closed_parts import with_open_parts
from ui.shell.session import close_sessions

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "pages"
UNUSUAL = (
    "left out", "leaves out", "trained just so", "have not been looked for", "has been looked for", "take them away",
    "take one of them away", "all there is to", "proves itself", "says of itself", "begins anew", "goes on from",
    "let in", "of its own accord", "Which first", "may be kept", "asks nothing of", "as it is there",
    "are alike", "takes it back", "by which it", "stands beside", "and no other", "without a word",
)  # fmt: skip
"""Phrases that are hard to read for people who are not native speakers; each has a common alternative."""
TWICE = [ScoredRow("chat", 10.0, 5.0, 10, "Say it", "again") for _ in range(6)]
ROWS = [*TWICE, *(ScoredRow("math", 20.0, 18.0 - number, 10 + number, "Add", f"{number}") for number in range(8))]
"""14 rows, of which 5 say what an earlier one says: 35.71 %."""


@pytest.fixture
def opened(page_workspace: Path) -> Callable[..., AppTest]:
    """Opens a page, by its name and query parameters, on a run of the rows given."""

    def page(name: str, rows: list[ScoredRow] | None = None, **parameters: str) -> AppTest:
        close_sessions()
        if rows:
            with Store.open(page_workspace, "a test") as store:
                add_scored_run(store, rows)
        found = with_open_parts(AppTest.from_file(str(PAGES / f"{name}_page.py"), default_timeout=60))
        for key, value in parameters.items():
            found.query_params[key] = value
        found.run()
        assert not found.exception
        return found

    return page


def text_of(page: AppTest) -> str:
    """Everything the page says, markdown unescaped."""
    kinds = (page.markdown, page.caption, page.text, page.info, page.warning, page.error)
    return "\n".join(element.value for elements in kinds for element in elements).replace("\\", "")


def table_with(page: AppTest, column: str) -> pd.DataFrame:
    return next(table.value for table in page.dataframe if column in table.value)


# Flags


@pytest.mark.parametrize(("cut_off", "share"), [(0, "0 of 14 rows (0.00%)"), (2, "2 of 14 rows (14.29%)")])
def test_the_share_of_rows_with_a_quality_flag_is_one_figure_wherever_it_is_shown(
    opened: Callable[..., AppTest], cut_off: int, share: str
) -> None:
    rows = [ScoredRow("code", 9.0, 4.0, truncated=True) for _ in range(cut_off)] + ROWS[: 14 - cut_off]
    summary = table_with(opened("curate", rows, view="Distribution"), "With a quality flag")
    assert summary["With a quality flag"].tolist()[0] == pytest.approx(cut_off / 14)
    assert "Flagged" not in summary
    trust = opened("curate", view="Trust")
    assert f"With a quality flag: {share}" in text_of(trust)
    flags = table_with(trust, "Meaning").set_index("Flag")
    assert flags.loc["duplicate", ["Rows", "Quality flag"]].tolist() == [5, "no"]
    assert flags.loc["duplicate", "Share"] == pytest.approx(5 / 14)
    assert ("truncated" in flags.index) == bool(cut_off)
    if cut_off:
        assert flags.loc["truncated", ["Rows", "Quality flag"]].tolist() == [cut_off, "yes"]


# Length


def test_the_trust_panel_says_of_length_what_its_figures_say(opened: Callable[..., AppTest]) -> None:
    # Longer rows lose more in all, less a token, and a smaller share: learnability is strictly falling with length.
    tokens, base = np.array([10, 20, 40, 80]), np.array([50.0, 95.0, 180.0, 340.0])
    reference = base - np.array([20.0, 30.0, 45.0, 50.0])
    rows = [ScoredRow("chat", *line[1:], int(line[0])) for line in zip(tokens, base, reference, strict=True)]
    page = opened("curate", rows, view="Trust")
    found = table_with(page, "Implicit reward (sum)").set_index("Domain").loc["chat"]
    for column, score in (
        ("Implicit reward (sum)", base - reference),
        ("Loss difference (mean)", (base - reference) / tokens),
        ("Learnability (ratio)", 1 - reference / base),
    ):
        assert found[column] == pytest.approx(spearmanr(tokens, score).statistic)
    assert [found["Implicit reward (sum)"], found["Learnability (ratio)"]] == pytest.approx([1.0, -1.0])
    assert (
        "Within 1 domain: implicit reward (sum) +1.00; loss difference (mean) −1.00; learnability (ratio) −1.00."
        in text_of(page)
    )
    assert "ormalis" not in text_of(page)
    assert "Published for other data (arXiv 2310.13008v2); its raw form is almost certainly the sum" in text_of(page)


# Tokens


def test_tokens_are_called_scored_and_are_not_said_to_be_what_training_costs(opened: Callable[..., AppTest]) -> None:
    page = opened("curate", ROWS)
    unit = page.segmented_control(key="recipe_unit")
    assert [option.content for option in unit.proto.options] == ["Share of rows", "Rows", "Scored tokens"]
    assert "the prompts, which are not counted here" in unit.proto.help
    assert "costs" not in unit.proto.help
    assert [metric.label for metric in page.metric][:2] == ["Rows selected", "Scored tokens selected"]
    # 6 x 10 of chat, and 10 to 17 of math.
    assert "**168** of 168 scored tokens" in text_of(opened("curate"))


# What is kept of a job


def test_the_guide_tells_a_cancelled_scoring_from_a_cancelled_training(opened: Callable[..., AppTest]) -> None:
    said = text_of(opened("score", ROWS))
    assert "If you cancel scoring, computed losses are kept" in said
    assert "if you cancel training, nothing is kept" in said
    assert "nothing is lost" not in said


@pytest.mark.parametrize(
    ("kind", "checkpoint", "sentence"),
    [
        ("score", False, "Computed losses are kept; Resume computes the rest."),
        ("train", True, "Resume continues from the last checkpoint; Discard deletes it."),
        ("train", False, "There is no checkpoint yet; Resume restarts the training."),
        ("near_duplicates", False, "Resume restarts the search."),
    ],
)
def test_an_interrupted_job_says_what_resuming_goes_on_from(
    opened: Callable[..., AppTest], page_workspace: Path, kind: str, checkpoint: bool, sentence: str
) -> None:
    request = {"kind": kind, "dataset": "data", "name": "taught", "run": "second", "parts": [], "threshold": 0.8}
    job = create_job(page_workspace, request, {})
    if checkpoint:
        folder = job.folder / "checkpoints" / "checkpoint-20"
        folder.mkdir(parents=True)
        (folder / CHECKPOINT_COMPLETE).touch()
    assert f"The worker stopped before it finished. {sentence}" in text_of(opened("score", ROWS))


# Plain English


def _literals(path: Path) -> Iterator[tuple[int, str]]:
    """Every text literal of a file, docstrings included, with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def test_pages_use_common_phrases() -> None:
    files = [ROOT / "app.py", *PAGES.glob("*.py"), *(ROOT / "ui").rglob("*.py")]
    found = [
        f"{path.relative_to(ROOT)}:{line}: {phrase}"
        for path in files
        for line, text in _literals(path)
        for phrase in UNUSUAL
        if phrase.lower() in " ".join(text.lower().split())
    ]
    assert found == []


# What is recommended is taken


def test_a_folder_is_refused_and_a_pattern_of_its_files_is_taken(
    opened: Callable[..., AppTest], tmp_path: Path
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"instruction": "a", "output": "b"}\n', encoding="utf-8")
    page = opened("data")
    page.segmented_control(key="file_place").set_value("Path on this server").run()

    def given(path: Path) -> str:
        page.text_input[0].set_value(str(path)).run()
        return text_of(page)

    assert "is a folder. Give a data file in it." in given(tmp_path)
    for taken in ("*.jsonl", "rows.jsonl"):
        given(tmp_path / taken)
        assert not page.error


@pytest.mark.parametrize(
    ("pattern", "rows"),
    [
        ("SAY.IT", 1),  # in any case
        ("first.second", 1),  # . matches line breaks too
        (r"^first$", 0),
        (r"first[^\n]*$", 0),
        ("(?<=a)b", None),  # no look-around
        ("a(?!b)", None),
        (r"(.)\1", None),  # no back-references
    ],
)
def test_the_search_takes_and_refuses_the_patterns_that_its_help_says(
    opened: Callable[..., AppTest], pattern: str, rows: int | None
) -> None:
    texts = [("Say it", "once"), ("Tell", "first\nsecond")]
    page = opened("curate", [ScoredRow("chat", 10.0, 5.0, 10, *text) for text in texts])
    kind = page.selectbox(key="filter_search_kind")
    assert "(RE2: no look-around or back-references); case is ignored; . matches line breaks too" in kind.proto.help
    kind.set_value("regex").run()
    page.text_input(key="filter_text").set_value(pattern).run()
    assert not page.exception
    if rows is None:
        assert "is invalid" in page.error[0].value
    else:
        assert f"**{rows}** of 2 rows" in text_of(page)


# Empty views


@pytest.mark.parametrize("view", ["Overview", "Distribution", "Length", "Trust"])
def test_a_filter_that_matches_nothing_offers_to_remove_it_and_not_to_score(
    opened: Callable[..., AppTest], view: str
) -> None:
    page = opened("curate", ROWS, view=view, filter='{"search":{"query":"nowhere in them","kind":"phrase"}}')
    assert {info.value for info in page.info} == {"No row passes these filters. Remove a filter above."}
    assert "Score" not in text_of(page).partition("Remove a filter above")[2]
    page.button(key="remove_filters").click().run()
    assert "**14** of 14 rows" in text_of(page)
    assert not page.info


def test_only_rows_that_were_never_scored_are_said_to_want_scoring(
    opened: Callable[..., AppTest], page_workspace: Path
) -> None:
    later = DatasetRow(1, "later", Example((Message("user", "And?"), Message("assistant", "A new one."))), b"{}")
    with Store.open(page_workspace, "a test") as store:
        add_scored_run(store, [*ROWS, ScoredRow("broken", 10.0, None)])
        store.add_source("data", "more.jsonl", "jsonl", "more", {}, [later])
        loss_sets = dict(store.rows("SELECT role, loss_set_id FROM run_loss"))
        store.save_run("grown", "data", loss_sets, {})
    of_later, of_broken = ('{"domains":["' + name + '"]}' for name in ("later", "broken"))
    page = opened("curate", run="grown", filter=of_later)
    assert "None of these rows has both losses. Not scored yet: 1. Score the dataset again." in text_of(page)
    page = opened("curate", run="grown", filter=of_broken)
    assert "None of these rows has both losses, although all were scored." in text_of(page)
