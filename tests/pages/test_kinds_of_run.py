"""Runs of every kind on every page: a badge says which it is, and only scores that a run has are offered."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from core.exploring.run_comparison import RunPair, compared_counts
from core.exporting import export_selection
from core.jobs.shards import SHARD_SCHEMA
from core.selection import Amount, Selection, save_selection
from core.store import Store
from tests.fakes import ScoredRecord, add_losses_of_role, add_scored_records
from tests.pages.closed_parts import with_open_parts

PAGES = Path(__file__).parents[2] / "pages"
NEW_SCORES = ("own_learnability", "memory_gap", "learnability_spread")
RECORDS = [
    ScoredRecord(domain, 2.0, 1.0 + number / 20, response=f"{domain} {number}")
    for number in range(15)
    for domain in ("chat", "math")
]
CROSS: dict[str, Any] = {
    "name": "crossed",
    "folds": 2,
    "seeds": [0, 1],
    "own": True,
    "held_out": 0,
    "models": [{"role": f"fold-{fold}-seed-{seed}", "fold": fold, "seed": seed} for seed in (0, 1) for fold in (0, 1)],
}
MODELS = {role: {"label": role, "weights_hash": role} for role in ("base", *(one["role"] for one in CROSS["models"]))}
BADGES = {
    "planets": "In-sample: the reference was trained on 40% of these rows",
    "crossed": "Cross-fitted: 2 folds x 2 seeds",
    "again": "Cross-fitted: 2 folds x 2 seeds",
    "other": "Reference trained elsewhere: not known what it saw",
}


@pytest.fixture
def workspace(page_workspace: Path) -> Path:
    """An in-sample run "planets", two cross-fitted ones, and "other", whose reference nobody knows; and a saved
    selection of each. Half of the rows of the cross-fitted ones have an own loss."""
    with Store.open(page_workspace, "a test") as store:
        add_scored_records(store, RECORDS)
        base, reference = store.run("planets")["loss_sets"].values()
        seen = [str(id_) for (id_,) in store.rows("SELECT example_id FROM dataset_row WHERE row_number <= 12")]
        store.record_training("reference weights", seen)
        store.save_run("planets", "space", {"base": base, "reference": reference}, {})
        swapped = {"base": reference, "reference": base}
        store.save_run("other", "space", swapped, {})
        description = {"cross_fitted": CROSS, "models": MODELS, "dtype": "float32"}
        for name in ("crossed", "again"):
            store.save_run(name, "space", {"base": base, "reference": reference}, description)
            add_losses_of_role(store, "own", [0.5 + n / 60 if n % 2 else None for n in range(30)], name)
            add_losses_of_role(store, "seed_spread", [0.01 + n / 300 for n in range(30)], name)
        for name in BADGES:
            save_selection(store, f"best of {name}", Selection(name, amount=Amount("ratio", 0.5)))
    return page_workspace


def opened(page: str, **parameters: str) -> AppTest:
    if page == "compare":  # a view of the Evidence page
        page, parameters = "evidence", {"evidence": "Compare runs", **parameters}
    found = with_open_parts(AppTest.from_file(str(PAGES / f"{page}_page.py"), default_timeout=60))
    for name, value in parameters.items():
        found.query_params[name] = value
    return found.run()


def healthy(page: AppTest) -> AppTest:
    assert not page.exception
    assert not page.error, page.error[0].value
    return page


def text_of(page: AppTest) -> str:
    kinds = (page.markdown, page.caption, page.text, page.info, page.warning, page.error)
    return "\n".join(element.value for elements in kinds for element in elements).replace("\\", "")


@pytest.mark.parametrize(("run", "badge"), BADGES.items())
@pytest.mark.parametrize("page", ["curate", "compare", "export", "evidence"])
def test_every_page_that_shows_a_run_says_its_kind(workspace: Path, page: str, run: str, badge: str) -> None:
    if page == "export":
        found = AppTest.from_file(str(PAGES / "export_page.py"), default_timeout=60)
        found.session_state["export_selection"] = f"best of {run}"
        shown = healthy(found.run())
    else:
        shown = healthy(opened(page, run=run))
    badges = [item.value for item in shown.markdown if "-badge[" in item.value]
    assert badge in badges[0].replace("\\", "")
    assert len(badges) == (2 if page == "compare" else 1)


def test_a_run_trained_on_other_rows_is_out_of_sample(workspace: Path) -> None:
    with Store.open(workspace, "a test") as store:
        (elsewhere,) = store.rows("SELECT uuid()::VARCHAR")[0]
        store.record_training("base weights", [elsewhere])
        store.save_run("other", "space", store.run("other")["loss_sets"], {})
    page = healthy(opened("curate", run="other"))
    assert "Out of sample: the reference was trained on none of these rows" in text_of(page)


@pytest.mark.parametrize("score", NEW_SCORES)
def test_curate_draws_scores_of_the_new_roles(workspace: Path, score: str) -> None:
    page = opened("curate", run="crossed", score=score)
    for view in ("Overview", "Length", "Trust", "Near-duplicates", "Distribution"):
        page.session_state["view"] = view
        page = healthy(page.run())
        assert not page.warning
    for kind in ("Histogram", "Density", "ECDF", "Ridgeline"):
        page.session_state["kind"] = kind
        page = healthy(page.run())
        assert page.get("plotly_chart")


@pytest.mark.parametrize("score", NEW_SCORES)
def test_curate_filters_and_sorts_by_scores_of_the_new_roles(workspace: Path, score: str) -> None:
    page = healthy(opened("curate", run="crossed", score=score))
    page.selectbox(key="sort").set_value(score)
    page.selectbox(key="page_size").set_value(50)
    page = healthy(page.run())
    values = page.dataframe[-1].value[score].dropna()
    assert len(values) == (30 if score == "learnability_spread" else 15)
    assert values.is_monotonic_decreasing
    limit = round(float(values.median()), 4)
    page.number_input(key="filter_low").set_value(limit)
    page = healthy(page.run())
    assert f"**{(values >= limit).sum()}** of 30 rows" in text_of(page)


@pytest.mark.parametrize("score", NEW_SCORES)
def test_compare_takes_scores_that_both_runs_have(workspace: Path, score: str) -> None:
    page = opened("compare", run="crossed", score=score, **{"with": "again"})
    for view in ("Agreement", "Top rows", "Movers"):
        page.session_state["comparison"] = view
        page = healthy(page.run())
        assert "reference crossed" in text_of(page)
    page = healthy(opened("compare", run="crossed", score=score, **{"with": "planets"}))
    assert "Showing Learnability instead." in text_of(page)


@pytest.mark.parametrize("score", NEW_SCORES)
def test_curate_ranks_by_scores_of_the_new_roles(workspace: Path, score: str) -> None:
    page = opened("curate", run="crossed")
    page.selectbox(key="recipe_score").set_value(score)
    for part in ("Kept", "At the cut", "Dropped", "Picks"):
        page.session_state["shown"] = part
        page = healthy(page.run())
    page.session_state["view"] = "By domain"
    page = healthy(page.run())
    (selected,) = [metric.value for metric in page.metric if metric.label == "Rows selected"]
    assert int(selected) > 0


@pytest.mark.parametrize(
    ("score", "command"),
    [("own_learnability", "score --own"), ("memory_gap", "score --own"), ("learnability_spread", "--seeds 2")],
)
def test_a_score_that_a_run_lacks_is_not_offered_and_a_link_to_it_says_what_brings_it(
    workspace: Path, score: str, command: str
) -> None:
    page = healthy(opened("curate", run="planets", score=score))
    (warning,) = page.warning
    assert f"{command}. Showing Learnability instead." in warning.value.replace("\\", "")
    offered = {"score": page.selectbox(key="score_picker").options, "sort": page.selectbox(key="sort").options}
    assert not [label for labels in offered.values() for label in labels if "seen in training" in label]
    page = healthy(opened("curate", run="planets"))
    assert "Memory gap" not in page.selectbox(key="recipe_score").options
    page = AppTest.from_file(str(PAGES / "curate_page.py"), default_timeout=60)
    page.session_state["recipe_score"] = score  # as a loaded recipe leaves it
    page.query_params["run"] = "planets"
    page = page.run()
    assert not page.exception
    assert command in page.error[0].value.replace("\\", "")


def test_rows_within_noise_are_counted_by_the_losses_of_the_score(workspace: Path) -> None:
    with Store.open(workspace, "a test") as store:
        spread = store.ensure_loss_set("another spread", "plain text", "another")
        ids = [str(id_) for (id_,) in store.rows("SELECT example_id FROM dataset_row ORDER BY row_number")]
        shard = [{"example_id": id_, "nll_sum": 5.0, "token_count": 10, "truncated": False} for id_ in ids]
        store.ingest_shard("another spread", spread, pa.Table.from_pylist(shard, SHARD_SCHEMA))
        store.save_run("another", "space", store.run("crossed")["loss_sets"] | {"seed_spread": spread}, {})
        tables = [store.run(name)["table"] for name in ("crossed", "another")]
        counts = {score: compared_counts(store, RunPair(*tables, score)).sum() for score in NEW_SCORES}
    assert counts["memory_gap"]["within_noise"] == counts["memory_gap"]["compared"] == 15
    # Base losses are equal in both runs; the spread is not.
    assert counts["learnability_spread"]["compared"] == 30
    assert counts["learnability_spread"]["within_noise"] == 0


def test_a_manifest_says_the_kind_of_its_run(workspace: Path, tmp_path: Path) -> None:
    with Store.open(workspace, "a test") as store:
        report = export_selection(store, Selection("crossed", amount=Amount("ratio", 0.5)), tmp_path / "a.jsonl")
    fields = json.loads(report.manifest_path.read_text(encoding="utf-8"))["run"]["reference_kind"]
    assert (fields["kind"], fields["trained_rows"], fields["rows"]) == ("cross_fitted", 0, 30)
