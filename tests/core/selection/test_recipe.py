"""The recipe: it survives JSON, and says in a sentence what is wrong with one that cannot be."""

import json
from typing import Any

import pytest

from core.data.errors import SelectionInvalid
from core.data.filters import Range, Region, RowFilter
from core.data.text_search import TextSearch
from core.selection.recipe import Amount, Pick, Selection

EXAMPLE = "11111111-1111-1111-1111-111111111111"
EVERY_FIELD = Selection(
    run="planets",
    score="loss_difference",
    order="random",
    amount=Amount("tokens", 1000),
    domain_amounts={"math": Amount("ratio", 0.167), "chat": Amount("rows", 3)},
    filter=RowFilter(
        ("chat", "math"),
        (Range("token_count", 1, None),),
        ("truncated",),
        (),
        TextSearch("mars", "words", "prompt"),
        (Region("base_loss", "reference_loss", ((0.0, 0.0), (4.0, 0.0), (2.0, 3.5))),),
    ),
    seed=7,
    weights={"math": 3.0, "chat": 1.0},
    near_duplicates=0.8,
    picks=(Pick(EXAMPLE, True, "the best one"), Pick(EXAMPLE.replace("1", "2"), False)),
)


def test_a_recipe_comes_back_from_json_as_it_was() -> None:
    assert Selection.from_fields(json.loads(json.dumps(EVERY_FIELD.to_fields()))) == EVERY_FIELD


def test_a_recipe_of_the_first_version_is_read_with_its_text_as_a_phrase() -> None:
    first = {"version": 1, "run": "planets", "filter": {"text": "red planet", "domains": ["chat"]}}
    assert Selection.from_fields(first) == Selection(
        "planets", filter=RowFilter(("chat",), search=TextSearch("red planet"))
    )


def test_what_a_recipe_leaves_out_takes_its_default() -> None:
    assert Selection.from_fields({"run": "planets"}) == Selection("planets")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"taste": 1}, "unknown fields: taste"),
        ({"version": 3}, "version 3"),
        ({"order": "best"}, "Unknown order 'best'. Must be one of: highest"),
        ({"scope": "planet"}, "Unknown scope"),
        ({"score": "beauty"}, "Unknown score"),
        ({"run": 3}, "run is 3"),
        ({"seed": True}, "seed is True"),
        ({"amount": 0.06}, "amount is 0.06. It should be an object"),
        ({"amount": {"kind": "share", "value": 1}}, "Unknown amount 'share'"),
        ({"amount": {"kind": "ratio", "value": "6%"}}, "'6%'"),
        ({"domain_amounts": [1]}, "domain_amounts is"),
        ({"filter": {"planet": "mars"}}, "unknown fields: planet"),
        ({"filter": "mars"}, "filter is 'mars'"),
        ({"filter": {"ranges": [["token_count"], 3]}}, "ranges.0.1 is missing"),
        ({"filter": {"regions": [["base_loss", "reference_loss", [[0, 0], [1, 1]]]]}}, "has 2 corners"),
        ({"filter": {"regions": [["beauty", "reference_loss", []]]}}, "Unknown column 'beauty'"),
        ({"filter": {"search": {"query": "mars", "kind": "guess"}}}, "Unknown search 'guess'"),
        ({"filter": {"search": "mars"}}, "The search is 'mars'. Give a JSON object"),
        ({"weights": {"math": -1}}, "The weight of 'math' is -1"),
        ({"weights": {"math": 0}}, "All weights are 0"),
        ({"weights": [1]}, "weights is [1]"),
        ({"scope": "pooled", "weights": {"math": 1}}, "weights were given for math"),
        ({"near_duplicates": "much"}, "near_duplicates is 'much'"),
        ({"near_duplicates": 0.8, "collapse_duplicates": False}, "Remove exact duplicates too"),
        ({"picks": [{"keep": True}]}, "picks.0.example_id is missing"),
        ({"picks": [{"example_id": "mars"}]}, "has 'mars', which is not an example_id"),
        ({"picks": [{"example_id": EXAMPLE, "keep": "yes"}]}, "picks.0.keep is 'yes'. It should be a valid boolean"),
        ({"picks": [{"example_id": EXAMPLE, "why": ""}]}, "picks.0.why is not a known field"),
        ({"picks": [{"example_id": EXAMPLE}] * 2}, "has more than one hand pick"),
    ],
)
def test_a_recipe_with_something_unknown_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SelectionInvalid) as refusal:
        Selection.from_fields({"run": "planets"} | change)
    assert sentence in str(refusal.value)


def test_a_recipe_without_a_run_is_refused() -> None:
    with pytest.raises(SelectionInvalid, match="lacks: run"):
        Selection.from_fields({})


@pytest.mark.parametrize(
    ("kind", "value"),
    [("ratio", 1.01), ("ratio", -0.1), ("ratio", float("nan")), ("rows", 2.5), ("tokens", -1), ("rows", float("inf"))],
)
def test_an_amount_that_cannot_be_kept_is_refused(kind: str, value: float) -> None:
    with pytest.raises(SelectionInvalid):
        Amount(kind, value)


def test_pooled_ranking_refuses_amounts_by_domain() -> None:
    with pytest.raises(SelectionInvalid, match="math"):
        Selection("planets", scope="pooled", domain_amounts={"math": Amount("rows", 1)})
