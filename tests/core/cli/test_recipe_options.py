"""Options of the select command: what they say becomes a recipe; wrong usage is told from a recipe that cannot be."""

from dataclasses import replace

import pytest
import typer

from core.cli.recipe_options import RecipeOptions
from core.data.errors import SelectionInvalid
from core.data.filters import RowFilter
from core.data.text_search import TextSearch
from core.selection.recipe import Amount, Pick, Selection, Spread

EXAMPLES = ("11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222")
PLAIN = RecipeOptions(
    "planets", ["0.06"], None, None, [], "learnability", "domain", "highest", 0, False, None, "", "words", [], [], 0
)  # fmt: skip


def test_the_least_that_can_be_given_is_the_default_recipe() -> None:
    assert PLAIN.recipe() == Selection("planets")


def test_ratios_are_of_all_and_of_domains_whose_names_may_hold_an_equals_sign() -> None:
    found = replace(PLAIN, ratios=["0.1", "math=0.5", "a=b=1"]).recipe()
    assert found.amount == Amount("ratio", 0.1)
    assert found.domain_amounts == {"math": Amount("ratio", 0.5), "a=b": Amount("ratio", 1.0)}


def test_length_bands_are_part_of_the_recipe() -> None:
    assert replace(PLAIN, length_bands=4).recipe() == Selection("planets", length_bands=4)


def test_clusters_are_a_spread_of_their_own() -> None:
    found = replace(PLAIN, clusters=3, quota="proportional", candidates=50).recipe()
    assert found == Selection("planets", spread=Spread("clusters", candidates=50, clusters=3, quota="proportional"))
    for given, sentence in (
        ({"clusters": 3, "spread": "k_center"}, "--spread and --clusters order the same rows"),
        ({"spread": "clusters"}, "Give --clusters K"),
        ({"clusters": 3, "quota": "fair"}, "Unknown --cluster-quota 'fair'"),
    ):
        with pytest.raises(typer.BadParameter, match=sentence):
            replace(PLAIN, **given).recipe()  # type: ignore[arg-type]


def test_an_imported_score_and_weights_of_other_scores_are_part_of_the_recipe() -> None:
    found = replace(PLAIN, score="imported_pds", added=["learnability=2", "base_loss=-0.5"]).recipe()
    assert found == Selection("planets", "imported_pds", added={"learnability": 2.0, "base_loss": -0.5})
    with pytest.raises(typer.BadParameter, match="--add-score 'learnability' is not SCORE=W"):
        replace(PLAIN, added=["learnability"]).recipe()


def test_domains_alone_leave_the_others_out() -> None:
    assert replace(PLAIN, ratios=["math=0.5"]).recipe().amount == Amount("ratio", 0.0)


def test_a_mixture_of_a_total_of_rows_or_tokens() -> None:
    found = replace(PLAIN, ratios=[], rows=300, weights=["math=3", "chat=1.5"]).recipe()
    assert (found.amount, found.weights) == (Amount("rows", 300), {"math": 3.0, "chat": 1.5})
    assert replace(PLAIN, ratios=[], tokens=900).recipe().amount == Amount("tokens", 900)


def test_search_duplicates_and_picks_are_part_of_the_recipe() -> None:
    found = replace(
        PLAIN, search="red planet", search_kind="phrase", near_duplicates=0.8, kept=EXAMPLES[:1], left_out=EXAMPLES[1:]
    ).recipe()
    assert found == Selection(
        "planets",
        filter=RowFilter(search=TextSearch("red planet", "phrase")),
        near_duplicates=0.8,
        picks=(Pick(EXAMPLES[0], True), Pick(EXAMPLES[1], False)),
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"score": "beauty"}, "Unknown --score 'beauty'. Must be one of: learnability, loss_difference"),
        ({"scope": "planet"}, "Unknown --scope 'planet'. Must be one of: domain, pooled"),
        ({"order": "best"}, "Unknown --control 'best'. Must be one of: highest, lowest, random"),
        ({"search_kind": "guess"}, "Unknown --search-kind 'guess'. Must be one of: words, phrase, regex"),
        ({"ratios": []}, "how much to keep in all"),
        ({"ratios": ["math=0.5"], "weights": ["math=1"]}, "how much to keep in all"),
        ({"ratios": ["0.1", "0.9"]}, "--ratio '0.9' is a second ratio of the same rows"),
        ({"ratios": ["0.1", "math=0", "math=1"]}, "--ratio 'math=1' is a second ratio of the same rows"),
        ({"weights": ["math=1", "math=0"]}, "--weight 'math=0' is a second weight of the same domain"),
        ({"ratios": ["math=much"]}, "--ratio 'math=much'"),
        ({"rows": 5}, "exclude each other"),
        ({"ratios": [], "rows": 5, "tokens": 5}, "exclude each other"),
        ({"weights": ["math"]}, "--weight 'math' is not DOMAIN=W"),
        ({"weights": ["math=heavy"]}, "--weight 'math=heavy'"),
    ],
)
def test_wrong_usage_is_said_with_what_there_is(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(typer.BadParameter) as refusal:
        replace(PLAIN, **change).recipe()  # type: ignore[arg-type]
    assert sentence in refusal.value.message


@pytest.mark.parametrize(
    "change",
    [
        {"run": None},
        {"ratios": ["1.5"]},
        {"weights": ["math=-1"]},
        {"near_duplicates": 0.8, "keep_duplicates": True},
        {"kept": ["mars"]},
        {"kept": EXAMPLES, "left_out": EXAMPLES},
    ],
)
def test_a_recipe_that_cannot_be_is_an_error_of_its_own(change: dict[str, object]) -> None:
    with pytest.raises(SelectionInvalid):
        replace(PLAIN, **change).recipe()  # type: ignore[arg-type]
