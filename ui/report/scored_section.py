"""What was scored: dataset, models, encoding, rows without a score; and the scores by domain."""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from core.data.scores import DEFAULT_SCORE, SCORES
from core.encoding.templates import REPLIES, TEMPLATES
from core.exploring.distributions import with_shares
from core.workspace.run_report import RunReport
from ui.charts import axis_title, histogram_figure
from ui.report.figures import figure_html
from ui.report.markup import MISSING, Html, facts, folded, markup, paragraphs, table, tag

ALL_DOMAINS = "All domains"
_SUMMARY = {
    "domain": "Domain",
    "rows": "Rows",
    "mean": "Row-weighted mean",
    "ratio_of_means": "Token-weighted mean",
    "q25": "Quartile 1",
    "median": "Median",
    "q75": "Quartile 3",
    "share_negative": "Negative",
    "share_quality_flag": "With a quality flag",
    "no_score": "No score",
    "tokens": "Tokens",
}
_SOURCES = {"name": "File", "format": "Format", "rows": "Rows", "rejected": "Skipped", "sha256": "SHA-256"}


def scored_section(found: RunReport) -> Html:
    """What was scored."""
    return tag(
        "section",
        tag("h2", "What was scored"),
        facts(_run_facts(found)),
        tag("p", found.reference_kind.meaning),
        *_left_out(found),
        tag("h3", "Files of the dataset"),
        table(pd.DataFrame(found.sources, columns=list(_SOURCES)), _SOURCES),
        *_skipped(found),
    )


def score_section(found: RunReport, colours: Mapping[str, str]) -> Html:
    """The distribution of the score by domain."""
    score = SCORES[DEFAULT_SCORE]
    parts = [tag("h2", "Scores"), tag("p", f"{score.label}: {score.formula}. High: {score.higher_means}.")]
    if len(found.scores.bins):
        bins = {"domain": "Domain", "bin_low": "From", "bin_high": "To", "rows": "Rows"}
        numbers = with_shares(found.scores)
        parts.append(figure_html(histogram_figure(found.scores, colours)))
        parts.append(folded("Chart data", table(numbers[numbers["domain"].isin(list(colours))], bins)))
    return tag("section", *parts, table(named_domains(found.score_summary), _SUMMARY, _note(found, colours)))


def named_domains(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the row over all domains named so."""
    return frame.assign(domain=frame["domain"].mask(frame["overall"], ALL_DOMAINS))


def _run_facts(found: RunReport) -> dict[str, str]:
    described = found.description
    scored = int(found.score_summary.loc[found.score_summary["overall"], "scored"].sum())
    tokens = int(found.score_summary.loc[found.score_summary["overall"], "tokens"].sum())
    return {
        "Run": found.run,
        "Scored": f"{found.scored_at:%Y-%m-%d %H:%M} UTC",
        "Dataset": found.dataset,
        "Rows": f"{found.rows:,}, of which {scored:,} have a score ({tokens:,} scored tokens)",
        **_model_facts(described),
        "Kind of reference": found.reference_kind.sentence,
        **_encoding_facts(described.get("encoding") or {}),
        "Precision": str(described.get("dtype", MISSING)),
        "Noise of computing": _noise(found.noise_floors),
    }


def _model_facts(described: Mapping[str, Any]) -> dict[str, str]:
    models = described.get("models") or {}
    names = {role: f"{model.get('label')} ({_short(model.get('weights_hash'))})" for role, model in models.items()}
    facts = {"Base": names.get("base", MISSING)}
    cross = described.get("cross_fitted")
    if not cross:
        return facts | {"Reference": names.get("reference", MISSING)}
    seeds = ", ".join(map(str, cross.get("seeds", [])))
    return facts | {
        "Reference": str(cross.get("name")),
        "Folds and seeds": f"{cross.get('folds')} folds, seeds {seeds}; {cross.get('held_out')} held out",
        "Models": "; ".join(name for role, name in names.items() if role != "base") or MISSING,
    }


def _encoding_facts(encoding: Mapping[str, Any]) -> dict[str, str]:
    template = str(encoding.get("template", MISSING))
    own = "a template of its own, not the tokenizer's" if encoding.get("chat_template") else TEMPLATES.get(template)
    length = encoding.get("max_length")
    found = {
        "Chat template": f"{template}: {own}" if own else template,
        "Replies scored": REPLIES.get(str(encoding.get("replies", "all")), str(encoding.get("replies"))),
        "Maximum length": f"{length:,} tokens" if isinstance(length, int) else MISSING,
    }
    return found | ({"Date in templates": str(encoding["day"])} if encoding.get("day") else {})


def _left_out(found: RunReport) -> list[Html]:
    parts = [tag("h3", "Rows without a score")]
    if found.left_out.empty:
        parts.append(tag("p", "Every row has a score."))
    else:
        parts.append(table(found.left_out, {"reason": "Reason", "rows": "Rows"}))
    notices = [str(notice) for notice in found.description.get("notices", [])]
    return [*parts, *([tag("h3", "Notices about the models"), paragraphs(notices)] if notices else [])]


def _skipped(found: RunReport) -> list[Html]:
    """Records that are no rows, by file and reason."""
    skipped = [
        (source["name"], reason, rows)
        for source in found.sources
        for reason, rows in source["rejected_by_reason"].items()
    ]
    if not skipped:
        return [tag("p", "No record of these files was skipped.", class_="note")]
    columns = {"file": "File", "reason": "Reason", "rows": "Records"}
    return [tag("h3", "Records skipped at import"), table(pd.DataFrame(skipped, columns=list(columns)), columns)]


def _note(found: RunReport, colours: Mapping[str, str]) -> str:
    domains = int((~found.score_summary["overall"]).sum())
    note = f"{axis_title(DEFAULT_SCORE)}. Negative: the loss increased after fine-tuning."
    return f"{note} The chart shows the {len(colours)} largest domains." if domains > len(colours) else note


def _noise(floors: Mapping[str, float | None]) -> str:
    found = [f"{role} {floor:.2g}" for role, floor in floors.items() if floor is not None]
    return f"{', '.join(found)} nats per token" if found else "not measured"


def _short(weights_hash: object) -> str:
    return f"weights {str(weights_hash)[:12]}"


def json_text(value: Any) -> Html:
    """A value as indented JSON."""
    return markup(tag("pre", json.dumps(value, indent=2, ensure_ascii=False, default=str)))
