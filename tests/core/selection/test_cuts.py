"""Cuts: the amount of a cut selects the rows that plain SQL finds at or beyond its score."""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from core.data.errors import SelectionInvalid
from core.data.filters import EVERYTHING, Range, RowFilter
from core.selection import Amount, Pick, Selection, amount_at_cut, kept_rows, scored_run, select_summary
from core.selection.budgets import POOL, budgets, ratio_of_rows
from core.store import Store
from tests.fakes import ScoredRecord, build_scored_store

DOMAINS = ("", "chat", "math")
LONGEST = Range("token_count", None, 7)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """300 rows of three domains with many equal scores, scores missing, negative scores and exact duplicates."""
    draw = random.Random(5)
    records = [
        ScoredRecord(
            draw.choice(DOMAINS),
            draw.choice([None, 0.5, 1.0, 2.0, 3.0]),
            draw.choice([0.25, 0.5, 1.0, 1.5, round(draw.random(), 3)]),
            draw.randrange(1, 9),
            f"answer {number % 240}",
        )
        for number in range(300)
    ]
    with build_scored_store(tmp_path_factory.mktemp("cuts") / "workspace", records) as opened:
        yield opened


def beyond(store: Store, selection: Selection, domain: str | None, score: float) -> set[int]:
    """Row numbers at or beyond a score, in plain SQL: the first of identical conversations, with the filter applied."""
    side = "<=" if selection.order == "lowest" else ">="
    conditions = [f"{selection.score} {side} {score!r}::DOUBLE", "duplicate_of IS NULL"]
    if selection.filter != EVERYTHING:
        conditions.append("token_count <= 7")
    if domain is not None:
        conditions.append(f"domain = '{domain}'")
    sql = f"SELECT row_number FROM scored_1 WHERE {' AND '.join(conditions)}"
    return {number for (number,) in store.rows(sql)}


def kept(store: Store, selection: Selection, domain: str | None = None) -> set[int]:
    sql, values = kept_rows(store, selection)
    found = store.rows(f"SELECT row_number, domain FROM ({sql})", values)
    return {number for number, mine in found if domain in (None, mine)}


def a_score(draw: random.Random, store: Store, column: str) -> float:
    """One that rows have, one between, or one beyond all."""
    values = [value for (value,) in store.rows(f"SELECT DISTINCT {column} FROM scored_1 WHERE {column} IS NOT NULL")]
    between = draw.uniform(min(values) - 0.1, max(values) + 0.1)
    return float(draw.choice([draw.choice(values), between, 1.7976931348623157e308, -1.7976931348623157e308]))


@pytest.mark.parametrize("order", ["highest", "lowest"])
@pytest.mark.parametrize("kind", ["ratio", "rows", "tokens"])
def test_the_amount_of_a_cut_keeps_what_plain_sql_finds(store: Store, order: str, kind: str) -> None:
    draw, run = random.Random(f"{order} {kind}"), scored_run(store, "planets")
    for _ in range(25):
        score = draw.choice(["learnability", "base_loss", "reference_loss"])
        row_filter = draw.choice([EVERYTHING, RowFilter(ranges=(LONGEST,))])
        recipe = Selection("planets", score=score, order=order, filter=row_filter)
        domain, cut = draw.choice(DOMAINS), a_score(draw, store, score)
        amount = amount_at_cut(store, recipe, run, domain, cut, kind)
        assert amount.kind == kind
        applied = replace(recipe, domain_amounts={domain: amount})
        assert kept(store, applied, domain) == beyond(store, recipe, domain, cut), (applied, cut)
        last = next(pool.cut_value for pool in select_summary(store, applied, run).pools if pool.pool == domain)
        if last is not None:
            assert amount_at_cut(store, applied, run, domain, last, kind) == amount


@pytest.mark.parametrize("order", ["highest", "lowest"])
@pytest.mark.parametrize("kind", ["ratio", "rows", "tokens"])
def test_a_cut_of_all_domains_together_does_too(store: Store, order: str, kind: str) -> None:
    draw, run = random.Random(f"{kind} {order}"), scored_run(store, "planets")
    for _ in range(15):
        recipe = Selection("planets", order=order, scope="pooled")
        cut = a_score(draw, store, recipe.score)
        amount = amount_at_cut(store, recipe, run, POOL, cut, kind)
        assert kept(store, replace(recipe, amount=amount)) == beyond(store, recipe, None, cut)


def test_hand_picks_are_kept_besides_the_rows_at_the_cut(store: Store) -> None:
    run = scored_run(store, "planets")
    sql = """SELECT example_id::VARCHAR, row_number FROM scored_1
        WHERE domain = 'chat' AND duplicate_of IS NULL ORDER BY learnability {} NULLS LAST LIMIT 1"""
    (worst, worst_row), (best, best_row) = (store.rows(sql.format(way))[0] for way in ("", "DESC"))
    recipe = Selection("planets", picks=(Pick(worst), Pick(best, keep=False)))
    amount = amount_at_cut(store, recipe, run, "chat", 0.5, "rows")
    expected = beyond(store, recipe, "chat", 0.5) - {best_row} | {worst_row}
    assert kept(store, replace(recipe, domain_amounts={"chat": amount}), "chat") == expected


def test_a_ratio_has_the_fewest_decimals_that_give_its_rows() -> None:
    assert ratio_of_rows(6, 100) == Amount("ratio", 0.06)
    assert ratio_of_rows(1, 3) == Amount("ratio", 0.333)
    assert ratio_of_rows(0, 0) == Amount("ratio", 0.0)
    draw = random.Random(1)
    for _ in range(200):
        rows = draw.randrange(1, 200_000_000)
        count = draw.randrange(rows + 1)
        assert budgets(Selection("run", amount=ratio_of_rows(count, rows)), {"a": (rows, 0)})["a"].wanted == count


@pytest.mark.parametrize(
    ("recipe", "pool", "kind", "reason"),
    [
        (Selection("planets", order="random"), "chat", "rows", "no score cut-off"),
        (Selection("planets", length_bands=4), "chat", "rows", "no score cut-off"),
        (Selection("planets"), "poetry", "rows", "no domain 'poetry'"),
        (Selection("planets", scope="pooled"), "chat", "rows", "no domain 'chat'"),
        (Selection("planets"), "chat", "bytes", "Unknown amount 'bytes'"),
    ],
)
def test_what_has_no_cut_is_refused(store: Store, recipe: Selection, pool: str, kind: str, reason: str) -> None:
    with pytest.raises(SelectionInvalid, match=reason):
        amount_at_cut(store, recipe, scored_run(store, "planets"), pool, 0.5, kind)
