"""Preference pairs on Curate: ranked as pairs, both sides of the open row beside each other, the accuracy by domain."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.fakes import ScoredRecord, build_scored_store
from tests.pages.closed_parts import with_open_parts

PAGE = Path(__file__).parents[2] / "pages" / "curate_page.py"


@pytest.fixture
def curate(page_workspace: Path) -> AppTest:
    """Curate on ten pairs, of which the reference prefers nine; row 2, a rejected one, is open."""
    records = [
        record
        for n in range(10)
        for record in (
            ScoredRecord("chat", 2.0, 2.1 - n / 10, 10, f"good {n}", is_chosen=True),
            ScoredRecord("chat", 1.0, 1.0, 10, f"bad {n}"),
        )
    ]
    build_scored_store(page_workspace, records).close()
    page = with_open_parts(AppTest.from_file(str(PAGE), default_timeout=120))
    page.query_params.update({"score": "preference_margin", "example": "2", "view": "Distribution"})
    return page.run()


def test_the_open_row_stands_beside_its_partner_and_the_accuracy_is_said(curate: AppTest) -> None:
    assert not curate.exception
    assert not curate.error
    sides = [text.value for text in curate.markdown if text.value.startswith(("**Chosen**", "**Rejected**"))]
    assert sides == ["**Chosen** · row 1", "**Rejected** · row 2"] * 2  # texts, then tokens
    texts = [code.value for code in curate.code]
    assert texts.index("good 0") < texts.index("bad 0")
    assert "chat: 80.0% of 10 pairs have a margin above 0 (49.0% to 94.3%)." in [text.value for text in curate.text]


def test_what_orders_single_rows_is_off_while_pairs_are_ranked(curate: AppTest) -> None:
    page = curate.number_input(key="recipe_length_bands").set_value(4).run()
    picker = next(item for item in page.selectbox if item.label == "Rank by")
    page = picker.select("preference_margin").run()
    assert not page.exception
    assert not page.error
    assert page.number_input(key="recipe_length_bands").disabled
    assert page.multiselect(key="recipe_added").options == ["Normalised margin", "DPO loss"]
