"""A selection in the report of its run: recipe, what it selects of each domain, and what reproduces it."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from core.data.scores import FLAGS, score_named
from core.selection import KEPT, ORDERS, SCOPES, Amount, Selection, Summary, coverage_sentence
from core.selection.recipe import CLUSTERS, NEAR_BY
from core.workspace.run_report import ReportedSelection
from ui.charts import histogram_figure
from ui.charts.mixture_chart import mixture_figure, mixture_shares
from ui.report.figures import figure_html
from ui.report.markup import MISSING, Html, facts, folded, paragraphs, table, tag
from ui.report.scored_section import json_text


def selection_section(found: ReportedSelection, colours: Mapping[str, str], every_colour: Mapping[str, str]) -> Html:
    """`colours`: of the domains drawn; `every_colour`: of all."""
    recipe, summary = found.recipe, found.summary
    cuts = _cut_values(recipe, summary)
    parts = [
        tag("h2", "Selection: ", tag("bdi", found.name)),
        facts(_recipe_facts(recipe) | _size_facts(summary)),
        paragraphs(summary.notices),
    ]
    if len(found.scores.bins):
        figure = histogram_figure(found.scores, colours, one_above_another=True, cuts=cuts)
        note = "Dashed lines: the score of the last row selected." if cuts else ""
        parts += [figure_html(figure), *([tag("p", note, class_="note")] if note else [])]
    shares = mixture_shares(summary.domains)
    parts += [figure_html(mixture_figure(shares, every_colour)), _domains(summary, cuts, recipe)]
    parts.append(_profile(found.manifest["profile"]))
    if coverage := found.manifest["coverage"]:
        parts.append(paragraphs([coverage_sentence(coverage)]))
    left = summary.outcomes[summary.outcomes["outcome"] != KEPT]
    columns = {"domain": "Domain", "outcome": "Reason", "rows": "Rows", "tokens": "Tokens"}
    parts.append(folded(f"Why {summary.dropped_rows:,} rows are not selected", table(left, columns)))
    parts.append(folded("Recipe as JSON", json_text(recipe.to_fields())))
    parts.append(folded("Manifest: recipe, result and origin of the rows", json_text(found.manifest)))
    return tag("section", *parts)


def _recipe_facts(recipe: Selection) -> dict[str, str]:
    order = ORDERS[recipe.order]
    found = {
        "Score": f"{recipe.value_label}: {score_named(recipe.score).formula}"
        if not recipe.added
        else recipe.value_label,
        "Order": f"{order.label} ({order.help})",
        "Ranked": SCOPES[recipe.scope],
        "Amount": _amount(recipe.amount),
    }
    if recipe.domain_amounts:
        found["Amounts of domains"] = "; ".join(
            f"{name}: {_amount(amount)}" for name, amount in recipe.domain_amounts.items()
        )
    if recipe.weights:
        found["Domain weights"] = "; ".join(f"{name}: {weight:g}" for name, weight in recipe.weights.items())
    found["Exact duplicates"] = "one of each is kept" if recipe.collapse_duplicates else "all are kept"
    if recipe.near_duplicates is not None:
        compared = NEAR_BY[recipe.near_duplicates_by]
        found["Near-duplicates"] = (
            f"the best of each group, similarity at least {recipe.near_duplicates:g} ({compared})"
        )
    if recipe.length_bands > 1:
        found["Length bands"] = f"ranked within {recipe.length_bands:,} bands of response length"
    if recipe.spread:
        method = recipe.spread.method.replace("_", " ")
        best = f"the best {recipe.spread.candidates:,} rows of each pool"
        how = f"weight {recipe.spread.weight:g}"
        if recipe.spread.method == CLUSTERS:
            how = f"{recipe.spread.clusters:,} of them, {recipe.spread.quota} quotas"
        found["Spread"] = f"{best} by {method}, {how}"
    if recipe.picks:
        kept = sum(pick.keep for pick in recipe.picks)
        found["Picked by hand"] = f"{kept:,} always selected, {len(recipe.picks) - kept:,} never"
    if recipe.order == "random":
        found["Seed"] = str(recipe.seed)
    return found


def _size_facts(summary: Summary) -> dict[str, str]:
    return {
        "Rows selected": f"{summary.kept_rows:,} of {summary.rows:,}{_percent(summary.kept_rows, summary.rows)}",
        "Tokens selected": f"{summary.kept_tokens:,} of {summary.tokens:,}"
        f"{_percent(summary.kept_tokens, summary.tokens)}",
    }


def _domains(summary: Summary, cuts: Mapping[str, float], recipe: Selection) -> Html:
    frame = summary.domains.assign(
        cut=pd.Series([cuts.get(str(name)) for name in summary.domains["domain"]], dtype=float),
        share_kept=summary.domains["kept_rows"] / summary.domains["rows"].clip(lower=1),
    )
    columns = {"domain": "Domain", "rows": "Rows", "kept_rows": "Rows selected", "share_kept": "Share selected",
               "tokens": "Tokens", "kept_tokens": "Tokens selected",
               "cut": f"{score_named(recipe.score).label} at the cut-off"}  # fmt: skip
    return table(frame, columns)


def _profile(profile: Mapping[str, Any]) -> Html:
    """`profile`: JSON fields of `core.selection.profile.SelectionProfile`."""
    rows = [
        ("Share of rows", _share(profile["row_share"]), ""),
        ("Share of scored tokens", _share(profile["token_share"]), ""),
        ("Median response (tokens)", _count(profile["median_tokens"]), _count(profile["data_median_tokens"])),
    ]
    for flag, found in profile["flags"].items():
        meaning = f"Flagged {flag}: {FLAGS[flag]}" if flag in FLAGS else flag
        rows.append((meaning, _share(found["share"]), _share(found["data_share"])))
    if second := profile["second_reference"]:
        rows.append((f"Selected by the same recipe in the run {second['run']} too", _share(second["share"]), ""))
    columns = {"measure": "Measure", "selected": "Selected rows", "data": "All rows"}
    return table(pd.DataFrame(rows, columns=list(columns)), columns)


def _share(share: float | None) -> str:
    return MISSING if share is None else f"{share:.1%}"


def _count(count: float | None) -> str:
    return MISSING if count is None else f"{count:,.0f}"


def _cut_values(recipe: Selection, summary: Summary) -> dict[str, float]:
    """The score at the cut-off by domain; the same for all if pooled, none if the order does not use the score."""
    if recipe.scope == "pooled":
        cut = summary.pools[0].cut_value
        return {} if cut is None else dict.fromkeys(map(str, summary.domains["domain"]), cut)
    return {pool.pool: pool.cut_value for pool in summary.pools if pool.cut_value is not None}


def _amount(amount: Amount) -> str:
    return f"{100 * amount.value:.4g} % of the rows" if amount.kind == "ratio" else f"{amount.value:,.0f} {amount.kind}"


def _percent(part: int, whole: int) -> str:
    return f" ({part / whole:.1%})" if whole else ""
