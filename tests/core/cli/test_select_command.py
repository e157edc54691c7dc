"""`python -m core select`, as a script would run it."""

from pathlib import Path

import pytest

from core.selection import Pick, Selection, saved_selection
from core.store import Store
from tests import command_line
from tests.fakes import ScoredRecord, build_scored_store

ROWS = [ScoredRecord(d, 1.0, n / 20, 10, f"{d} {n}") for d in ("chat", "math") for n in range(20)]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    build_scored_store(tmp_path / "workspace", ROWS).close()
    return tmp_path / "workspace"


def test_a_mixture_with_hand_picks_and_a_search_is_saved(workspace: Path) -> None:
    with Store.open(workspace, "a test") as store:
        last = str(store.rows("SELECT example_id FROM scored_1 WHERE row_number = 40")[0][0])
    found = command_line.result(
        workspace, "select", "--run", "planets", "--name", "mixed", "--rows", 8, "--weight", "chat=1",
        "--weight", "math=3", "--keep", last, "--search", "math|chat", "--search-kind", "regex",
    )  # fmt: skip
    assert {domain: part["kept"] for domain, part in found["by_domain"].items()} == {"chat": 2, "math": 6}
    with Store.open(workspace, "a test") as store:
        recipe = saved_selection(store, "mixed")
    assert recipe.picks == (Pick(last, True),)
    assert recipe.weights == {"chat": 1.0, "math": 3.0}


def test_length_bands_and_the_profile_of_the_selection(workspace: Path) -> None:
    recipe = ["select", "--run", "planets", "--name", "banded", "--ratio", 0.1, "--length-bands", 4]
    found = command_line.result(workspace, *recipe)["profile"]
    assert (found["row_share"], found["token_share"], found["median_tokens"]) == (0.1, 0.1, 10)
    assert found["flags"]["short_response"] == {"rows": 0, "share": 0.0, "data_share": 0.0}
    assert found["second_reference"] is None
    first, second = command_line.run(workspace, *recipe).stdout.splitlines()
    assert first == "Selection 'banded': 4 of 40 rows, 40 tokens."
    assert second.startswith("Selected 10.0% of the rows with 10.0% of the tokens; median response 10 tokens (data 10)")
    with Store.open(workspace, "a test") as store:
        assert saved_selection(store, "banded").length_bands == 4


def test_a_name_that_is_taken_is_replaced_as_scripts_expect(workspace: Path) -> None:
    for ratio in ("0.1", "0.2"):
        command_line.result(workspace, "select", "--run", "planets", "--name", "top", "--ratio", ratio)
    with Store.open(workspace, "a test") as store:
        assert saved_selection(store, "top").amount.value == 0.2
        assert saved_selection(store, "top") != Selection("planets")


def test_unknown_names_are_wrong_usage_and_a_search_never_made_is_an_error(workspace: Path) -> None:
    recipe = ["select", "--run", "planets", "--name", "x", "--ratio", "0.5"]
    done = command_line.run(workspace, *recipe, "--control", "best")
    assert done.returncode == 2
    assert "highest_base_loss" in done.stderr
    done = command_line.run(workspace, *recipe, "--near-duplicates", "0.8")
    assert done.returncode == 1
    assert "python -m core near-duplicates" in done.stderr
