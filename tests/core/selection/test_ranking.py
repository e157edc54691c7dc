"""Rankings: what is looked up in them is what deciding every row gives, for any recipe."""

import random
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from core.data.filters import Range, RowFilter
from core.data.scores import scores_of
from core.data.text_search import TextSearch
from core.selection import Amount, Pick, Selection, near_the_cut, row_decisions, select_summary
from core.selection.recipe import ORDERS
from core.store import Store
from core.store.near_duplicates import save_near_duplicates
from tests.fakes import ScoredRecord, add_scored_records

# The empty name is a domain like any other.
DOMAINS = ("", "chat", "math", "code")
RECIPES = 150


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """240 rows of four domains: equal scores, equal conversations, losses missing, and near duplicates."""
    draw = random.Random(3)
    records = [
        ScoredRecord(
            draw.choice(DOMAINS),
            draw.choice([None, 0.0, 0.5, 1.0, 2.0, 3.0]),
            draw.choice([0.25, 0.5, 1.0, 1.5]),
            draw.randrange(1, 9),
            f"answer {number // 4 if number % 5 == 0 else number} {draw.choice(['red', 'blue'])}",
            truncated=draw.random() < 0.2,
        )
        for number in range(240)
    ]
    with Store.open(tmp_path_factory.mktemp("ranking") / "workspace", "a test") as opened:
        add_scored_records(opened, records)
        ids = [str(row) for (row,) in opened.rows("SELECT DISTINCT example_id FROM scored_1 ORDER BY 1 LIMIT 40")]
        groups = {"example_id": ids, "group_number": [number // 4 + 1 for number in range(40)]}
        save_near_duplicates(opened, "space", 0.8, 200, pa.table(groups))
        yield opened


def amount(draw: random.Random) -> Amount:
    kind = draw.choice(["ratio", "rows", "tokens"])
    return Amount(kind, draw.choice([0.0, 1.0, round(draw.random(), 3)]) if kind == "ratio" else draw.randrange(400))


def row_filter(draw: random.Random) -> RowFilter:
    return RowFilter(
        domains=tuple(draw.sample(DOMAINS, draw.randrange(3))),
        ranges=tuple(draw.sample([Range("token_count", 3, 7), Range("base_loss", None, 1.5)], draw.randrange(2))),
        without_flags=tuple(draw.sample(["truncated", "low_base_loss"], draw.randrange(2))),
        with_flags=draw.choice([(), (), ("duplicate",)]),
        search=TextSearch(draw.choice(["", "", "red"])),
    )


def recipe(draw: random.Random, ids: list[str]) -> Selection:
    chosen, scope = row_filter(draw), draw.choice(["domain", "pooled"])
    own = draw.random() < 0.5 and scope == "domain"
    collapse = draw.random() < 0.7
    picks = draw.sample(ids, draw.choice([0, 0, 3]))
    return Selection(
        "planets",
        score=draw.choice(scores_of(("base", "reference"))),
        order=draw.choice(list(ORDERS)),
        scope=scope,
        amount=amount(draw),
        domain_amounts={domain: amount(draw) for domain in draw.sample(DOMAINS, 2)} if own else {},
        weights={"chat": 2.0, "math": 1.0} if scope == "domain" and draw.random() < 0.2 else {},
        collapse_duplicates=collapse,
        filter=chosen,
        seed=draw.randrange(3),
        near_duplicates=0.8 if collapse and draw.random() < 0.3 else None,
        picks=tuple(Pick(example_id, draw.random() < 0.7) for example_id in picks),
        length_bands=draw.choice([0, 0, 1, 2, 5]),
    )


def decided(store: Store, selection: Selection) -> pd.DataFrame:
    """Every row's decision, the long way."""
    sql, values = row_decisions(store, selection)
    return store.frame(f"SELECT * FROM ({sql})", values)


@pytest.mark.parametrize("part", range(5))
def test_a_summary_agrees_with_the_decision_on_every_row(store: Store, part: int) -> None:
    draw = random.Random(part)
    ids = [str(row) for (row,) in store.rows("SELECT DISTINCT example_id FROM scored_1 ORDER BY 1")]
    for _ in range(RECIPES // 5):
        selection = recipe(draw, ids)
        summary, rows = select_summary(store, selection), decided(store, selection)
        counted = rows.groupby(["domain", "outcome"])["token_count"].agg(["size", "sum"])
        expected = {key: tuple(map(int, pair)) for key, pair in zip(counted.index, counted.to_numpy(), strict=True)}
        found = {(row.domain, row.outcome): (row.rows, row.tokens) for row in summary.outcomes.itertuples()}
        assert found == expected, selection
        kept = rows[rows["outcome"] == "kept"]
        assert summary.picked_rows == int(kept["picked"].sum()), selection
        for pool in summary.pools:
            mine = kept if selection.scope == "pooled" else kept[kept["domain"] == pool.pool]
            assert (pool.kept_rows, pool.kept_tokens) == (len(mine), int(mine["token_count"].sum())), selection
            by_rank = mine[~mine["picked"]].sort_values("rank")["value"].tolist()
            cut = by_rank[-1] if by_rank and selection.has_score_cut else None
            assert pool.cut_value == cut, selection


def test_the_rows_beside_the_cut_are_the_last_kept_and_the_first_left_out(store: Store) -> None:
    draw = random.Random(9)
    ids = [str(row) for (row,) in store.rows("SELECT DISTINCT example_id FROM scored_1 ORDER BY 1")]
    for _ in range(40):
        selection, domain = recipe(draw, ids), draw.choice(DOMAINS)
        rows = decided(store, selection)
        ranked = rows[(rows["domain"] == domain) & rows["rank"].notna()].sort_values("rank")
        kept, out = ranked[ranked["outcome"] == "kept"], ranked[ranked["outcome"] != "kept"]
        expected = [*kept["row_number"].tail(3), *out["row_number"].head(3)]
        assert near_the_cut(store, selection, domain, 3)["row_number"].tolist() == expected, selection


def cached_tables(store: Store) -> list[str]:
    """Names of the tables that rankings are cached in; each table that is made gets a new name."""
    sql = "SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'cached_%' ORDER BY 1"
    return store.arrow(sql)["table_name"].to_pylist()


def test_an_amount_that_moves_ranks_nothing_anew(store: Store) -> None:
    selection = Selection("planets", score="base_loss", seed=77, order="random")
    select_summary(store, selection)
    ranked = cached_tables(store)
    assert ranked
    for share in (0.1, 0.5, 0.9):
        select_summary(store, Selection("planets", "base_loss", "random", amount=Amount("ratio", share), seed=77))
    assert cached_tables(store) == ranked


def test_a_scored_table_that_was_made_anew_is_ranked_anew(tmp_path: Path) -> None:
    domains = ["chat"] * 4 + ["math"] * 2
    records = [ScoredRecord(domain, 1.0, 0.5, 10, f"answer {number}") for number, domain in enumerate(domains)]
    with Store.open(tmp_path / "workspace", "a test") as opened:
        add_scored_records(opened, records)
        everything = Selection("planets", amount=Amount("ratio", 1.0))
        assert [(pool.pool, pool.kept_rows) for pool in select_summary(opened, everything).pools] == [
            ("chat", 4),
            ("math", 2),
        ]
        for old, new in (("chat", "other"), ("math", "chat"), ("other", "math")):
            opened.relabel_domain("space", old, new)
        assert [(pool.pool, pool.kept_rows) for pool in select_summary(opened, everything).pools] == [
            ("chat", 2),
            ("math", 4),
        ]
