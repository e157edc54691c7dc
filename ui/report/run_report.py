"""The report of a run as one HTML text."""

from core.data.version import COMMAND
from core.workspace.run_report import RunReport
from ui.charts import DOMAINS_DRAWN, domain_colours
from ui.report.document import document
from ui.report.evidence_section import evidence_section
from ui.report.markup import Html, tag
from ui.report.scored_section import score_section, scored_section
from ui.report.selection_section import selection_section
from ui.report.trials_section import trials_section


def report_html(found: RunReport) -> str:
    """The whole report. It holds everything that it shows, so it opens without a network."""
    domains = found.score_summary[~found.score_summary["overall"]]
    every_colour = domain_colours([str(name) for name in domains["domain"]])
    colours = {str(name): every_colour[str(name)] for name in domains.nlargest(DOMAINS_DRAWN, "rows")["domain"]}
    sections = [
        _head(found),
        scored_section(found),
        score_section(found, colours),
        evidence_section(found.evidence, colours),
        trials_section(found.trials, found.evidence.verdicts[-1]),
    ]
    if found.selection is not None:
        sections.append(selection_section(found.selection, colours, every_colour))
    return document(f"{found.run}: report", sections)


def _head(found: RunReport) -> Html:
    made = f"Made {found.made_at:%Y-%m-%d %H:%M} UTC by {COMMAND} {found.version}. Charts need JavaScript."
    return tag("header", tag("h1", "Run report: ", tag("bdi", found.run)), tag("p", made, class_="note"))
