"""The result of the last import, shown until it is closed."""

from collections.abc import Mapping

import streamlit as st

from core.data.errors import UserError
from core.importing import ImportReport
from core.importing.records import REASONS
from core.workspace.import_batch import origin_text
from ui.kit.sample_button import sample_button
from ui.kit.widgets import link_to_page
from ui.plain_text import escaped
from ui.shell.session import Session, forget, remember, remembered

_NAMED_DOMAINS = 20
_FEW_FILES = 2


def keep_import_report(reports: list[ImportReport], problems: list[UserError]) -> None:
    """Store what `show_last_import` shows: a report for each imported file, and an error for each other file."""
    remember("last_import", (reports, problems))


def show_last_import(session: Session, rows: Mapping[str, int]) -> None:
    """Rows, domains and skipped records of each file, and why other files were not imported.

    `rows`: the number of rows of each dataset.
    """
    reports, problems = remembered("last_import", ([], []))
    if not reports:
        return
    with st.container(border=True):
        if problems:
            _show_problems(problems, len(reports) + len(problems))
        if len(reports) > _FEW_FILES:
            added, skipped = sum(report.rows for report in reports), sum(report.rejected for report in reports)
            files = f"{added:,} rows from {len(reports):,} files, {skipped:,} records skipped"
            with st.expander(f"{files}. Details by file"):
                _show_reports(reports)
        else:
            _show_reports(reports)
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button("Close"):
                forget("last_import")
                st.rerun()
            link_to_page("score", "Next: score it")
            for dataset in dict.fromkeys(report.dataset for report in reports):
                sample_button(session, dataset, rows.get(dataset, 0))


def _show_problems(problems: list[UserError], files: int) -> None:
    count = f"{len(problems):,} of {files:,} files {'was' if len(problems) == 1 else 'were'} not imported."
    st.warning("\n".join([count, "", *(f"- {escaped(str(problem))}" for problem in problems)]))


def _show_reports(reports: list[ImportReport]) -> None:
    for report in reports:
        _show_report(report)


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
