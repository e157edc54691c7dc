"""The result of the last import, shown until it is closed."""

import streamlit as st

from core.data.errors import UserError
from core.importing import ImportReport
from core.importing.records import REASONS
from core.workspace.import_batch import origin_text
from ui.kit.widgets import link_to_page, show_error
from ui.shell.session import forget, remember, remembered

_NAMED_DOMAINS = 20


def keep_import_report(reports: list[ImportReport], problems: list[UserError]) -> None:
    """Store what `show_last_import` shows: a report for each imported file, and an error for each other file."""
    remember("last_import", (reports, problems))


def show_last_import() -> None:
    """Rows, domains and skipped records of each file."""
    reports, problems = remembered("last_import", ([], []))
    if not reports:
        return
    if problems:
        files = len(reports) + len(problems)
        st.warning(f"{len(problems):,} of {files:,} files {'was' if len(problems) == 1 else 'were'} not imported.")
    for problem in problems:
        show_error(problem)
    with st.container(border=True):
        for report in reports:
            _show_report(report)
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button("Close"):
                forget("last_import")
                st.rerun()
            link_to_page("score", "Next: score it")


def _show_report(report: ImportReport) -> None:
    if report.already_imported:
        st.text(
            f"{report.source} was already imported into {report.dataset} with the same options. Nothing was added "
            f"(first import: {report.rows:,} rows, {report.rejected:,} skipped)."
        )
        return
    lines = [
        f"{report.source}: {report.rows:,} rows added to {report.dataset}, {report.rejected:,} records skipped "
        f"(format {report.format})."
    ]
    if len(report.domains) <= _NAMED_DOMAINS:
        lines.append("By domain: " + ", ".join(f"{name} {count:,}" for name, count in report.domains.items()))
    else:
        lines.append(f"{len(report.domains):,} domains.")
    lines += report.notices
    if report.origin:
        lines.append(f"Source: {origin_text(report.origin)}.")
    lines += [f"{count:,} skipped, reason {reason!r}: {REASONS[reason]}" for reason, count in report.by_reason.items()]
    st.text("\n".join(lines))
