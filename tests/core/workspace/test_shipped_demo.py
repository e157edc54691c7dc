"""The demo's shipped result opens at once and is what its dataset and base model make."""

import json

import pytest

from core.data.errors import TokensUnavailable
from core.jobs.job import all_jobs
from core.scoring.tokens.losses import TokenScorer
from core.selection import saved_selection_names
from core.store import Store
from core.workspace import demo
from core.workspace.shipped_demo import RUN, open_shipped_demo, shipped_points
from core.workspace.status import run_overview


@pytest.fixture
def opened(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store.open(tmp_path_factory.mktemp("shipped") / "workspace", "a test")
    open_shipped_demo(store)
    return store


def test_every_row_is_scored_and_selected_from_without_a_job(opened: Store) -> None:
    (run,) = run_overview(opened)
    assert (run["name"], run["rows"], run["scored"]) == (demo.NAME, 1_000, 1_000)
    assert run["reference_kind"]["kind"] == "cross_fitted"
    assert saved_selection_names(opened) == [demo.SELECTION]
    assert all_jobs(opened.workspace) == []
    opened.close()


def test_opening_it_again_changes_nothing(opened: Store) -> None:
    before = opened.rows("SELECT count(*) FROM loss")[0]
    open_shipped_demo(opened)
    assert opened.rows("SELECT count(*) FROM loss")[0] == before
    assert len(run_overview(opened)) == 1
    opened.close()


def test_the_points_of_the_first_page_are_the_rows_of_the_run(opened: Store) -> None:
    table = opened.run(demo.NAME)["table"]
    rows = opened.frame(f"SELECT row_number, domain, base_loss, reference_loss FROM {table}").set_index("row_number")
    points = shipped_points().set_index("row_number")
    assert len(points) == opened.rows("SELECT count(DISTINCT example_id) FROM dataset_row")[0][0] == 976
    of_points = rows.loc[points.index]
    assert (of_points["domain"] == points["domain"]).all()
    for column in ("base_loss", "reference_loss"):
        assert of_points[column].to_numpy() == pytest.approx(points[column].to_numpy(), rel=1e-9)
    opened.close()


def test_a_demo_that_is_trained_here_gets_a_run_of_its_own(opened: Store) -> None:
    assert demo.run_name(opened) != demo.NAME
    opened.close()


def test_losses_of_tokens_say_what_they_lack_and_ask_no_hub_for_it(opened: Store) -> None:
    tokens = TokenScorer(opened)
    with pytest.raises(TokensUnavailable, match="not part of the program"):
        tokens.token_losses(demo.NAME, 1)
    assert tokens.process_id is None
    opened.close()


def test_it_names_no_path_of_the_machine_that_made_it() -> None:
    models = json.loads(RUN.read_bytes())["description"]["models"]
    assert {model["path"] for model in models.values()} == {""}
