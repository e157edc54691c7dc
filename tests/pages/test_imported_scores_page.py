"""Scores from elsewhere on the pages: imported on Data, ranked and filtered on Curate."""

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.selection import Selection, save_selection
from core.store import Store, imported_scores
from core.workspace.score_imports import import_scores
from tests.fakes import ScoredRecord, build_scored_store
from tests.pages.closed_parts import with_open_parts

PAGES = Path(__file__).parents[2] / "pages"
ROWS = [ScoredRecord(domain, 2.0, n / 10, 10) for domain in ("chat", "math") for n in range(1, 11)]


@pytest.fixture
def scores_file(page_workspace: Path) -> Path:
    """A scored workspace, and a file in it with a score of 19 of its 20 rows."""
    build_scored_store(page_workspace, ROWS).close()
    path = page_workspace / "judge.jsonl"
    path.write_text("".join(json.dumps({"row": n, "judge": n % 7}) + "\n" for n in range(1, 20)))
    return path


def opened(name: str, query: dict[str, str] | None = None) -> AppTest:
    page = with_open_parts(AppTest.from_file(str(PAGES / f"{name}_page.py"), default_timeout=90))
    page.query_params.update(query or {})
    page.run()
    assert not page.exception
    return page


def import_it(page: AppTest, path: Path) -> AppTest:
    field = next(item for item in page.text_input if item.label == "Or a path on this server")
    field.set_value(str(path)).run()
    next(item for item in page.button if item.label == "Import scores").click().run()
    assert not page.exception
    return page


def test_a_file_becomes_a_score_on_data_and_a_wrong_one_a_sentence(scores_file: Path) -> None:
    page = import_it(opened("data"), scores_file)
    assert any("19 rows have a value, 1 have none" in text.value for text in page.text)
    scores_file.write_text('{"row": 900, "other": 1}\n')
    page = import_it(page, scores_file)
    assert "match no row" in page.error[0].value
    assert any("imported_judge" in str(frame.value) for frame in page.dataframe)


def test_curate_ranks_draws_and_filters_by_an_imported_score(scores_file: Path, page_workspace: Path) -> None:
    with Store.open(page_workspace, "a test") as store:
        import_scores(store, "space", scores_file, "row")
        assert [score.name for score in imported_scores(store, "space")] == ["imported_judge"]
    page = opened("curate", {"score": "imported_judge"})
    assert not page.error
    picker = next(item for item in page.selectbox if item.label == "Rank by")
    assert "judge (imported)" in picker.options
    picker.select("imported_judge").run()
    assert not page.exception
    assert not page.error


def test_a_link_to_a_score_that_was_not_imported_says_how_to_import_it(scores_file: Path) -> None:
    page = opened("curate", {"score": "imported_absent"})
    assert any("scores import FILE" in warning.value.replace("\\", "") for warning in page.warning)


def test_a_second_score_is_added_by_a_weight_and_the_plane_of_both_is_drawn(
    scores_file: Path, page_workspace: Path
) -> None:
    with Store.open(page_workspace, "a test") as store:
        import_scores(store, "space", scores_file, "row")
    page = opened("curate")
    next(item for item in page.multiselect if item.label == "Add scores").select("imported_judge").run()
    assert not page.exception
    assert not page.error
    weight = next(item for item in page.slider if item.label == "Weight of judge (imported)")
    assert weight.value > 0
    weight.set_value(0.0).run()
    assert not page.exception
    weight = next(item for item in page.slider if item.label == "Weight of judge (imported)")
    weight.set_value(weight.max).run()
    assert not page.exception
    assert any("judge" in caption.value for caption in page.caption)


def test_a_loaded_selection_brings_the_weights_of_its_added_scores(scores_file: Path, page_workspace: Path) -> None:
    with Store.open(page_workspace, "a test") as store:
        import_scores(store, "space", scores_file, "row")
        save_selection(store, "judged", Selection("planets", added={"imported_judge": 0.0123}))
    page = opened("curate")
    page.button(key="load_selection").click().run()
    assert not page.exception
    weight = next(item for item in page.slider if item.label == "Weight of judge (imported)")
    assert weight.value == 0.0123
