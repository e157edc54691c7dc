"""Hostile values in every field of a recipe, filter, manifest, trial plan and folds file: a user's error or success."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from core.data.errors import FoldsUnusable, JsonInvalid, NotFound, SelectionInvalid, TrialInvalid
from core.data.filters import Range, RowFilter
from core.evidence.trial import TrialPlan
from core.evidence.trial_folder import load_trial, save_trial
from core.evidence.trial_results import trial_results
from core.exporting.manifest import selection_from_manifest
from core.models.folds_file import read_folds
from core.selection import Selection, select_summary
from core.store import Store
from core.system.untrusted_json import parse_json_object
from tests.core.scored_rows import ScoredRow, add_scored_run
from tests.hostile_values import HOSTILE_VALUES, as_link

REFUSALS = (SelectionInvalid, TrialInvalid, JsonInvalid, NotFound)
EXAMPLE = "11111111-1111-1111-1111-111111111111"
FILTER: dict[str, Any] = {
    "domains": ["chat"],
    "ranges": [["token_count", 1, None]],
    "regions": [["base_loss", "reference_loss", [[0.0, 0.0], [4.0, 0.0], [2.0, 3.5]]]],
    "without_flags": ["truncated"],
    "with_flags": [],
    "search": {"query": "mars", "kind": "words", "place": "prompt"},
}
RECIPE: dict[str, Any] = {
    "version": 2,
    "run": "planets",
    "score": "loss_difference",
    "order": "random",
    "scope": "domain",
    "amount": {"kind": "ratio", "value": 0.5},
    "domain_amounts": {"chat": {"kind": "rows", "value": 3}},
    "collapse_duplicates": True,
    "filter": FILTER,
    "seed": 7,
    "weights": {"chat": 1.0},
    "near_duplicates": None,
    "picks": [{"example_id": EXAMPLE, "keep": True, "note": ""}],
    "length_bands": 2,
}
PLAN: dict[str, Any] = {
    "version": 1,
    "name": "t",
    "run": "planets",
    "arms": [
        {"name": "top", "kind": "selection", "recipe": {"run": "planets"}, "draws": 1, "models": []},
        {"name": "random", "kind": "random", "exploratory": False},
    ],
    "budget": {"kind": "input_tokens", "value": 100},
    "seeds": [1, 2, 3],
    "training": {"method": "lora", "learning_rate": 1e-4, "batch_tokens": 64, "epochs": 1.0},
    "metric": "token_weighted",
    "ratios": [0.5],
    "minimum_runs": 3,
    "created_at": "2026-01-01",
    "fingerprint": None,
}


def with_value(fields: Any, value: Any) -> Iterator[Any]:
    """The fields with the value in place of each part of them, at any depth, and with one more of it in each object."""
    yield value
    if isinstance(fields, dict):
        for name, inner in fields.items():
            yield from ({**fields, name: changed} for changed in with_value(inner, value))
        yield {**fields, "unknown": value}
    elif isinstance(fields, list):
        for place, inner in enumerate(fields):
            yield from ([*fields[:place], changed, *fields[place + 1 :]] for changed in with_value(inner, value))


def read_all(read: Callable[[Any], Any], fields: Any, value: Any) -> list[Any]:
    """What was read of all these; a refusal has one printable sentence."""
    found = []
    for given in with_value(fields, value):
        try:
            found.append(read(given))
        except REFUSALS as refusal:
            sentence = str(refusal).encode()
            if len(sentence) > 2_000:
                pytest.fail(f"too long to show: {sentence[:200]!r}")
    return found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(tmp_path_factory.mktemp("hostile"), "a test") as opened:
        add_scored_run(opened, [ScoredRow("chat", 10.0, 2.0), ScoredRow("math", 8.0, 3.0)], run="planets")
        yield opened


@pytest.mark.parametrize("value", HOSTILE_VALUES.values(), ids=HOSTILE_VALUES.keys())
def test_a_filter_with_a_hostile_value_is_refused_or_can_be_asked_for(store: Store, value: Any) -> None:
    table = store.run("planets")["table"]
    for row_filter in read_all(RowFilter.from_fields, FILTER, value):
        with suppress(SelectionInvalid):  # a regular expression that DuckDB refuses
            condition, values = store.searched(row_filter).where()
            store.rows(f"SELECT count(*) FROM {table} WHERE {condition}", values)
        assert RowFilter.from_fields(row_filter.to_fields()).to_fields() == row_filter.to_fields()


@pytest.mark.parametrize("value", HOSTILE_VALUES.values(), ids=HOSTILE_VALUES.keys())
def test_a_recipe_with_a_hostile_value_is_refused_or_selects(store: Store, value: Any) -> None:
    for selection in read_all(Selection.from_fields, RECIPE, value):
        assert Selection.from_fields(selection.to_fields()).to_fields() == selection.to_fields()
        with suppress(*REFUSALS):  # domains, runs and searches that the store does not have
            select_summary(store, selection)


@pytest.mark.parametrize("value", HOSTILE_VALUES.values(), ids=HOSTILE_VALUES.keys())
def test_a_trial_plan_with_a_hostile_value_is_refused_or_read(value: Any) -> None:
    for plan in read_all(TrialPlan.from_fields, PLAN, value):
        assert TrialPlan.from_fields(plan.to_fields()).fingerprint == plan.fingerprint


@pytest.mark.parametrize("value", HOSTILE_VALUES.values(), ids=HOSTILE_VALUES.keys())
def test_a_link_a_manifest_and_a_plans_file_with_a_hostile_value_are_refused_or_read(
    tmp_path: Path, value: Any
) -> None:
    held_out = pd.DataFrame({"example_id": [EXAMPLE], "domain": ["chat"], "group": [0]})
    trial = save_trial(tmp_path, TrialPlan.from_fields(PLAN), {"dataset": "d"}, held_out)
    path = tmp_path / "out.jsonl.manifest.json"
    text = as_link(value)
    for given in (text, f'{{"domains": {text}}}', f'{{"recipe": {text}}}', f'{{"plan": {text}}}', text[:-1]):
        for read in (
            lambda given: RowFilter.from_fields(parse_json_object(given, "The link")),
            lambda _: selection_from_manifest(path),
            lambda _: load_trial(tmp_path, "t"),
        ):
            path.write_bytes(given.encode("utf-8", "surrogatepass"))
            (trial.folder / "trial.json").write_bytes(path.read_bytes())
            with suppress(*REFUSALS):
                read(given)


@pytest.mark.parametrize("value", HOSTILE_VALUES.values(), ids=HOSTILE_VALUES.keys())
def test_a_cells_result_with_a_hostile_value_is_refused_or_read(tmp_path: Path, value: Any) -> None:
    held_out = pd.DataFrame({"example_id": [EXAMPLE], "domain": ["chat"], "group": [0]})
    plan = TrialPlan.from_fields(PLAN)
    trial = save_trial(tmp_path, plan, {"dataset": "d"}, held_out)
    losses = pd.DataFrame({"example_id": [EXAMPLE], "nll_sum": [1.0], "token_count": [1]})
    (trial.folder / "cells").mkdir()
    cell = trial.missing()[0]
    losses.assign(end_nll_sum=0.5, end_token_count=1).to_parquet(trial.result_path(cell, "parquet"))
    text = as_link(value)
    for fields in (text, f'{{"arm": "top", "ratio": 0.5, "draw": 1, "seed": 1, "steps": {text}}}'):
        trial.result_path(cell, "json").write_bytes(fields.encode("utf-8", "surrogatepass"))
        with suppress(TrialInvalid):
            trial_results(plan, trial.folder, held_out)


@pytest.mark.parametrize("value", HOSTILE_VALUES.values(), ids=HOSTILE_VALUES.keys())
def test_a_file_of_folds_with_a_hostile_value_is_refused_or_read(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "folds.csv"
    text = as_link(value)
    for line in (f"{EXAMPLE},{text},0", f"{text},0,0", f"{EXAMPLE},0,{text}", text):
        path.write_bytes(f"example_id,fold,held_out\n{line}\n".encode("utf-8", "surrogatepass"))
        with suppress(FoldsUnusable):
            read_folds(path)


@pytest.mark.parametrize("end", [float("nan"), float("inf"), 1e300, -1e300])
def test_a_range_has_ends_that_pages_can_show_as_whole_numbers(end: float) -> None:
    with pytest.raises(SelectionInvalid, match="an end that no row can have"):
        Range("token_count", None, end)
    assert Range("base_perplexity", None, 1e300).high == 1e300


def test_a_recipe_keeps_whole_numbers_whole_because_fingerprints_are_over_its_text() -> None:
    fields = RECIPE | {"amount": {"kind": "ratio", "value": 1}, "weights": {"chat": 3}, "near_duplicates": 1}
    assert json.dumps(Selection.from_fields(fields).to_fields()).count("1.0") == 1  # a range's end is a float
    assert '"weights": {"chat": 3}' in json.dumps(Selection.from_fields(fields).to_fields())
