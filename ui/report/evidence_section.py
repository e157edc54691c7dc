"""The evidence about a run in its report: for each question the verdict, figures, and what the verdict rests on."""

from collections.abc import Mapping

import pandas as pd

from core.data.scores import SCORES
from core.evidence.findings import Evidence
from core.evidence.memory import TOP_SHARE
from core.evidence.stability import Agreement
from core.evidence.verdicts import Standing, Verdict
from core.exploring.length_bias import LENGTH_SCORES, length_sentence
from ui.charts.evidence_charts import agreement_figure, learnability_gap_figure, length_figure, losses_by_pass_figure
from ui.report.figures import figure_html
from ui.report.markup import Html, folded, paragraphs, table, tag
from ui.report.scored_section import ALL_DOMAINS, named_domains

STANDINGS = {
    Standing.FINE: "Supports the scores",
    Standing.CAUTION: "Caution",
    Standing.UNKNOWN: "Not answered by this run",
}
"""The standing of a verdict in words, so that nothing hangs on its colour."""


def evidence_section(found: Evidence, colours: Mapping[str, str]) -> Html:
    """The verdicts but that on trials, each in a card."""
    memory, length, stability, _ = found.verdicts
    return tag(
        "section",
        tag("h2", "Evidence"),
        tag("p", "How far these scores can be trusted before selecting by them.", class_="note"),
        verdict_card(memory, *_memory(found, colours)),
        verdict_card(length, *_length(found, colours)),
        verdict_card(stability, *_stability(found)),
    )


def verdict_card(verdict: Verdict, *parts: Html) -> Html:
    """A question, its verdict and what it rests on."""
    standing = tag("span", STANDINGS[verdict.standing], class_="standing")
    answer = tag("p", standing, verdict.answer, class_=f"verdict {verdict.standing.value}")
    return tag("section", tag("h3", verdict.question), answer, *parts, class_="card")


def _memory(found: Evidence, colours: Mapping[str, str]) -> list[Html]:
    parts = [paragraphs(found.memory_details)]
    if not found.memory.empty:
        columns = {"domain": "Domain", "rows": "Rows", "own": "Own (median)", "cross_fitted": "Cross-fitted (median)",
                   "gap": "Gap (median)", "memory_share": "Memory", "spearman": "Spearman"}  # fmt: skip
        note = "Memory: part of the loss that models removed from rows they were trained on and not from unseen rows."
        parts += [
            figure_html(learnability_gap_figure(found.memory, colours)),
            table(named_domains(found.memory), columns, note),
        ]
    elif not found.trained_top.empty:
        best = f"top {TOP_SHARE:.0%}"
        columns = {"domain": "Domain", "rows": "Rows with a score", "trained_share": "Trained on",
                   "top": f"Rows in the {best}", "trained_top_share": f"Trained on, of the {best}"}  # fmt: skip
        parts.append(table(named_domains(found.trained_top), columns))
    if not found.health.by_pass.empty:
        by_pass = named_domains(found.health.by_pass)
        by_pass["rows"] = by_pass["rows"].map({"held_out": "held out", "own": "own"})
        columns = {"domain": "Domain", "rows": "Which rows", "passes": "Passes", "models": "Models", "loss": "Loss",
                   "lowest": "Lowest", "highest": "Highest"}  # fmt: skip
        parts += [
            figure_html(losses_by_pass_figure(found.health.by_pass, colours)),
            folded("Chart data", table(by_pass, columns, "Loss in nats per token, with its range over the models.")),
        ]
    return parts


def _length(found: Evidence, colours: Mapping[str, str]) -> list[Html]:
    if found.length.empty:
        return _end_of_turn(found.end_of_turn)
    labels = {f"spearman_{name}": SCORES[name].label for name in LENGTH_SCORES}
    columns = {"domain": "Domain", "rows": "Rows", **labels}
    return [
        figure_html(length_figure(found.length, list(colours))),
        table(named_domains(found.length), columns, length_sentence(found.length)),
        *_end_of_turn(found.end_of_turn),
    ]


def _end_of_turn(end: pd.DataFrame) -> list[Html]:
    if end.empty:
        return []
    columns = {"domain": "Domain", "rows": "Rows", "end_share": "End-of-turn token: share of the gain",
               "spearman": "Spearman without it"}  # fmt: skip
    return [table(named_domains(end), columns, "Rows: those with learnability with and without the token.")]


def _stability(found: Evidence) -> list[Html]:
    named = {"Two seeds": found.seeds, "Own and cross-fitted": found.own}
    agreements = {label: agreement for label, agreement in named.items() if agreement is not None}
    agreements |= {f"Other run: {other.label}": other for other in found.other_runs}
    parts = [paragraphs(found.stability_details)]
    if agreements:
        parts += _overlaps(agreements)
    if not found.spread.empty:
        columns = {"domain": "Domain", "rows": "Rows", "seed_spread": "From seed to seed",
                   "row_spread": "From row to row", "ratio": "Ratio"}  # fmt: skip
        note = "Spread of learnability. A ratio near 1: differences between rows are noise."
        parts.append(table(named_domains(found.spread), columns, note))
    return parts


def _overlaps(agreements: Mapping[str, Agreement]) -> list[Html]:
    tops = {label: agreement.tops[agreement.tops["overall"]] for label, agreement in agreements.items()}
    drawn = {label: top for label, top in tops.items() if top["overlap"].notna().any()}
    parts = []
    if drawn:
        numbers = pd.concat([top.assign(compared=label, share_kept=top["share"], share_overlap=top["overlap"],
                                        share_by_chance=top["chance"]) for label, top in drawn.items()])  # fmt: skip
        columns = {"compared": "Compared", "share_kept": "Share kept", "top": "Rows", "share_overlap": "Overlap",
                   "share_by_chance": "By chance"}  # fmt: skip
        note = "Each domain is ranked by itself; the figures are of all domains together."
        parts += [
            figure_html(agreement_figure(drawn, ALL_DOMAINS)),
            folded("Chart data", table(numbers, columns, note)),
        ]
    ranks = pd.concat([named_domains(found.ranks).assign(compared=label) for label, found in agreements.items()])
    columns = {"compared": "Compared", "domain": "Domain", "rows": "Rows", "spearman": "Spearman"}
    note = "1: the same ranking; 0: unrelated. All domains: mean over domains, weighted by rows."
    return [*parts, table(ranks, columns, note)]
