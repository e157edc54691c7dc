"""Controls: as many tokens as the selection, the same filter, each with its manifest, one index that lists them."""

import hashlib
import json
from pathlib import Path

import pytest

from core.data.errors import ExportFailed
from core.data.filters import Range, RowFilter
from core.exporting import CONTROLS, control_selections, export_controls, selection_from_manifest
from core.selection import Amount, Selection, select_summary
from core.store import Store
from tests.fakes import ScoredRecord, build_scored_store

QUARTER = Selection("planets", amount=Amount("ratio", 0.25))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two domains of very uneven rows: 1 to 97 tokens, and 1 to 7."""
    rows = [
        ScoredRecord("chat", 2 + (i * 31 % 17) / 10, 1 + (i * 7 % 13) / 10, 1 + (i * 37) % 97, response=f"c{i}")
        for i in range(120)
    ]
    rows += [ScoredRecord("math", 1 + (i * 11 % 7) / 10, 0.5, 1 + (i * 5) % 7, response=f"m{i}") for i in range(60)]
    return build_scored_store(tmp_path / "workspace", rows)


@pytest.mark.parametrize("scope", ["domain", "pooled"])
def test_every_control_has_the_selections_tokens_to_within_one_row(store: Store, scope: str) -> None:
    selection = Selection("planets", amount=Amount("ratio", 0.25), scope=scope)
    with store:
        summary = select_summary(store, selection)
        wanted = summary.domains.set_index("domain")["kept_tokens"]
        longest = {"chat": 97, "math": 7}
        for name, (control, recipe) in control_selections(store, selection, summary).items():
            kept = select_summary(store, recipe)
            assert abs(kept.kept_tokens - summary.kept_tokens) < 97, name
            assert kept.kept_tokens != 0
            if control.matched:
                tokens = kept.domains.set_index("domain")["kept_tokens"]
                assert all(abs(tokens[domain] - wanted[domain]) < longest[domain] for domain in longest), name


def test_what_is_missing_in_one_domain_does_not_add_up_over_many(tmp_path: Path) -> None:
    rows = [
        ScoredRecord(f"d{domain:02}", 2.0, 1 + i / 100, tokens, response=f"{domain}/{i}")
        for domain in range(40)
        for i, tokens in enumerate([10, 10, 10, 19, 19, 19])
    ]
    with build_scored_store(tmp_path / "workspace", rows) as store:
        selection = Selection("planets", amount=Amount("ratio", 0.5))
        summary = select_summary(store, selection)
        for _, recipe in control_selections(store, selection, summary).values():
            assert abs(select_summary(store, recipe).kept_tokens - summary.kept_tokens) < 19


def test_random_is_drawn_from_all_alike_and_once_for_every_seed(store: Store) -> None:
    with store:
        summary = select_summary(store, QUARTER)
        chosen = control_selections(store, QUARTER, summary, seeds=2)
    assert list(chosen) == [
        "random-1",
        "random-2",
        "random-by-domain-1",
        "random-by-domain-2",
        "longest",
        "highest-base-loss",
        "lowest-score",
    ]
    recipes = {name: recipe for name, (_, recipe) in chosen.items()}
    assert (recipes["random-2"].scope, recipes["random-2"].seed, recipes["random-2"].order) == ("pooled", 2, "random")
    assert recipes["random-by-domain-1"].scope == "domain"
    assert [recipes[name].order for name in list(recipes)[4:]] == ["longest", "highest_base_loss", "lowest"]


def test_controls_keep_the_selections_filter(store: Store) -> None:
    short = RowFilter(domains=("chat",), ranges=(Range("token_count", None, 20),))
    selection = Selection("planets", amount=Amount("ratio", 0.05), filter=short)
    with store:
        for _, recipe in control_selections(store, selection, select_summary(store, selection)).values():
            assert recipe.filter == short
            kept = select_summary(store, recipe).domains.set_index("domain")["kept_rows"]
            assert (kept["chat"] > 0, kept["math"]) == (True, 0)


@pytest.mark.parametrize(("form", "bundle"), [("jsonl", None), ("parquet", None), ("jsonl", "axolotl")])
def test_every_control_is_a_file_with_its_manifest_and_the_index_lists_them(
    store: Store, tmp_path: Path, form: str, bundle: str | None
) -> None:
    folder = tmp_path / "controls"
    with store:
        report = export_controls(store, QUARTER, folder, form, seeds=1, bundle=bundle, name="quarter")
        index = json.loads((folder / "controls.json").read_text())
        assert index["selection"]["name"] == "quarter"
        assert index["selection"]["tokens"] == select_summary(store, QUARTER).kept_tokens
        assert [control["control"] for control in index["controls"]] == list(CONTROLS)
        for control in index["controls"]:
            data = (folder / control["file"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == control["sha256"]
            kept = select_summary(store, selection_from_manifest(folder / control["manifest"]))
            assert (control["rows"], control["tokens"]) == (kept.kept_rows, kept.kept_tokens)
    assert len(list(folder.iterdir())) == 2 * len(CONTROLS) + 1
    assert report.index_path == folder / "controls.json"


def test_a_control_whose_first_row_is_too_long_is_listed_without_a_file(tmp_path: Path) -> None:
    rows = [ScoredRecord("chat", 2.0, 0.1, 10, response="short"), ScoredRecord("chat", 2.0, 1.9, 1000, response="long")]
    with build_scored_store(tmp_path / "workspace", rows) as store:
        selection = Selection("planets", amount=Amount("rows", 1))
        report = export_controls(store, selection, tmp_path / "controls", kinds=("longest",))
    (control,) = report.controls
    assert (control.path, control.rows, control.tokens) == (None, 0, 0)
    assert "more tokens than the budget" in control.notices[0]


def test_what_cannot_be_a_control_is_refused_in_one_sentence(store: Store, tmp_path: Path) -> None:
    with store:
        with pytest.raises(ExportFailed, match="Must be one of: random, random-by-domain, longest"):
            export_controls(store, QUARTER, tmp_path / "c", kinds=("best",))
        with pytest.raises(ExportFailed, match="No control was chosen"):
            export_controls(store, QUARTER, tmp_path / "c", kinds=("random",), seeds=0)
        with pytest.raises(ExportFailed, match="is empty"):
            export_controls(store, Selection("planets", amount=Amount("rows", 0)), tmp_path / "c")
    assert not (tmp_path / "c").exists()
