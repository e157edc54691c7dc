"""The rows of each arm: as many tokens as the selection, no held-out row, the same rows for the same draw."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.data.errors import TrialInvalid
from core.data.filters import Range, RowFilter
from core.evidence.arm_kinds import ARMS
from core.evidence.arms import arm_rows
from core.evidence.trial import Arm, TrialBudget, TrialPlan
from core.selection import Amount, Pick, Selection
from core.store import Store
from core.workspace.score_imports import import_scores
from tests.fakes import ScoredRecord, build_scored_store

SELECTION = Selection("planets", amount=Amount("ratio", 0.2))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Two domains; in chat, rows of 1 to 97 tokens, the short ones with the higher scores."""
    rows = [
        ScoredRecord("chat", 2.0, 0.5 + length / 97 + (i % 7) / 20, length, response=f"c{i}")
        for i, length in enumerate(1 + (i * 37) % 97 for i in range(400))
    ]
    rows += [ScoredRecord("math", 1 + (i * 11 % 7) / 10, 0.5, 1 + (i * 5) % 7, response=f"m{i}") for i in range(100)]
    with build_scored_store(tmp_path / "workspace", rows) as opened:
        yield opened


def plan_of(selection: Selection = SELECTION) -> TrialPlan:
    arms = [Arm(kind, kind, selection if kind == "selection" else None) for kind in ARMS if kind != "outside"]
    return TrialPlan("fifth", "planets", tuple(arms), TrialBudget(1000))


def every(store: Store) -> dict[str, tuple[str, int]]:
    """Domain and tokens of every row of the dataset, by example_id."""
    sql = f"SELECT example_id, domain, token_count FROM {store.run('planets')['table']}"
    return {str(example_id): (domain, tokens) for example_id, domain, tokens in store.rows(sql)}


def rows_of(store: Store, kind: str, draw: int = 1, held_out: set[str] | None = None, **other: object) -> list[str]:
    plan = plan_of(other.get("selection", SELECTION))  # type: ignore[arg-type]
    return arm_rows(store, plan, plan.arm(kind), other.get("ratio"), draw, held_out or set())  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [kind for kind in ARMS if kind not in ("all", "outside")])
def test_no_arm_has_a_held_out_row_and_all_have_the_selections_tokens(store: Store, kind: str) -> None:
    known = every(store)
    held_out = set(rows_of(store, "selection")[::3]) | set(list(known)[::5])
    wanted = sum(known[row][1] for row in rows_of(store, "selection", held_out=held_out))
    rows = rows_of(store, kind, held_out=held_out)
    assert not held_out & set(rows)
    assert len(rows) == len(set(rows))
    within = 0.1 * wanted if kind == "length-matched-random" else 97
    assert abs(sum(known[row][1] for row in rows) - wanted) < within


def test_an_imported_score_and_a_sum_of_scores_are_arms_with_the_controls_of_any_other(
    store: Store, tmp_path: Path
) -> None:
    lines = "".join(f"{number},{number % 13}\n" for number in range(1, 501))
    (tmp_path / "judge.csv").write_text(f"row,judge\n{lines}")
    import_scores(store, "space", tmp_path / "judge.csv", "row")
    judged = Selection("planets", "imported_judge", amount=Amount("ratio", 0.2), added={"learnability": 0.01})
    known = every(store)
    rows = rows_of(store, "selection", selection=judged)
    best = store.rows("SELECT min(imported_judge) FROM scored_1 WHERE example_id IN (SELECT unnest(?::UUID[]))", [rows])
    assert best == [(10.0,)]  # 12, 11 and 10 are three of thirteen values, more than a fifth of the rows
    random = rows_of(store, "random-by-domain", selection=judged)
    assert abs(sum(known[row][1] for row in rows) - sum(known[row][1] for row in random)) < 97


def test_all_has_every_scored_row_but_the_held_out_whatever_the_recipe_filters(store: Store) -> None:
    short = Selection("planets", filter=RowFilter(ranges=(Range("token_count", None, 20),)))
    known = every(store)
    held_out = set(list(known)[:10])
    assert set(rows_of(store, "all", held_out=held_out, selection=short)) == known.keys() - held_out


def test_a_held_out_row_is_out_even_if_the_recipe_picked_it(store: Store) -> None:
    last = rows_of(store, "lowest-score")[0]
    picked = Selection("planets", amount=Amount("ratio", 0.2), picks=(Pick(last, keep=True),))
    assert last in rows_of(store, "selection", selection=picked)
    assert last not in rows_of(store, "selection", selection=picked, held_out={last})


@pytest.mark.parametrize("kind", [kind.name for kind in ARMS.values() if kind.random])
def test_a_draw_gives_the_same_rows_again_and_another_draw_others(store: Store, kind: str) -> None:
    assert rows_of(store, kind, 1) == rows_of(store, kind, 1)
    assert set(rows_of(store, kind, 1)) != set(rows_of(store, kind, 2))


def test_length_matched_rows_have_the_selections_domains_and_deciles_of_length(store: Store) -> None:
    known = every(store)
    lengths = {d: sorted(tokens for domain, tokens in known.values() if domain == d) for d in ("chat", "math")}

    def deciles(rows: list[str]) -> Counter[tuple[str, int]]:
        """As `percent_rank` says: the share of the domain's other rows that are shorter."""
        found: Counter[tuple[str, int]] = Counter()
        for domain, tokens in (known[row] for row in rows):
            shorter = sum(length < tokens for length in lengths[domain])
            found[domain, min(9, 10 * shorter // (len(lengths[domain]) - 1))] += 1
        return found

    selected = rows_of(store, "selection")
    for draw in (1, 2):
        assert deciles(rows_of(store, "length-matched-random", draw)) == deciles(selected)
    assert deciles(rows_of(store, "random-by-domain")) != deciles(selected)


def test_ratios_replace_the_recipes_amount(store: Store) -> None:
    assert len(rows_of(store, "selection", ratio=0.5)) == 250
    assert len(rows_of(store, "selection")) == 100
    by_domain = Selection("planets", domain_amounts={"math": Amount("rows", 1)})
    assert len(rows_of(store, "selection", ratio=0.1, selection=by_domain)) == 50


def test_an_arm_without_rows_is_refused_in_one_sentence(store: Store) -> None:
    with pytest.raises(TrialInvalid, match="has no rows"):
        rows_of(store, "selection", selection=Selection("planets", amount=Amount("rows", 0)))
    outside = Arm("theirs", "outside", models=("m",))
    with pytest.raises(TrialInvalid, match="trained elsewhere"):
        arm_rows(store, plan_of(), outside, None, 1, set())
