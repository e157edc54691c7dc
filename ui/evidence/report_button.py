"""The button that downloads the report of a run."""

import streamlit as st

from core.system.paths import file_stem
from core.workspace.run_report import run_report
from ui.report.run_report import report_html
from ui.shell.page_queries import for_downloader
from ui.shell.session import Session


def show_report_button(session: Session, run: str) -> None:
    """The button; the report is made when it is pressed."""

    def made() -> bytes:
        return report_html(run_report(session.store, run)).encode()

    st.download_button(
        "Download report",
        for_downloader(made),
        f"{file_stem(run, 'report')}.html",
        "text/html",
        key="report",
        on_click="ignore",
        icon=":material/download:",
        help="One HTML file to pass on: what was scored, scores, evidence and trials, with figures. It opens offline.",
    )
