"""The first page of an empty workspace: what the tool shows, on the demo's result, and where to begin."""

from functools import lru_cache

import pandas as pd
import streamlit as st

from core.data.errors import UserError
from core.store.sampling import SAMPLE_ROWS
from core.workspace.shipped_demo import open_shipped_demo, shipped_points
from ui.charts import domain_colours
from ui.charts.planes import loss_points_figure
from ui.kit.widgets import go_to_page, show_error
from ui.shell.access import may_run
from ui.shell.session import Session

_PURPOSE = (
    "Which of your fine-tuning examples can this model learn from, and does training on them beat training on as many "
    "random ones?"
)
_READING = (
    "Each point is one row of the demo: its loss under the base model (across) and under models fine-tuned on other "
    "rows (up). The further below the diagonal, the more fine-tuning taught of it. On the diagonal: nothing."
)

_SAMPLE_HELP = (
    f"For large data: import it. Data and Home then offer {SAMPLE_ROWS:,} of its rows, the same share of each domain, "
    "as a dataset of its own, which is scored in minutes."
)


def show_welcome(session: Session) -> None:
    """The purpose in a sentence, the loss plane of the shipped demo, and the ways to begin."""
    points = _points()
    chart, text = st.columns([3, 2], gap="large", vertical_alignment="center")
    with chart:
        figure = loss_points_figure(points, domain_colours(sorted(points["domain"].unique())))
        st.plotly_chart(figure, key="home_plane", config={"displayModeBar": False})
    with text:
        st.subheader(_PURPOSE, anchor=False)
        st.markdown(_READING)
        if may_run():
            _show_ways_to_begin(session)
        else:
            st.info("No data yet. A user with the role 'run' has to import some.")
        st.caption(f"The chart shows the {len(points):,} unique rows of the demo's 1,000; copies share a point.")


def _show_ways_to_begin(session: Session) -> None:
    with st.container(horizontal=True):
        if st.button("Open the demo", type="primary", key="open_demo", help="A scored run of 1,000 rows, at once."):
            try:
                with st.spinner("Opening the demo..."):
                    open_shipped_demo(session.store)
            except UserError as error:
                show_error(error)
            else:
                go_to_page("curate")
        if st.button("Import my data", key="import_data", help="JSON, JSONL, CSV, Parquet or Arrow files."):
            go_to_page("data")
        if st.button("Quick look at a sample", key="look_at_sample", help=_SAMPLE_HELP):
            go_to_page("data")


@lru_cache(maxsize=1)
def _points() -> pd.DataFrame:
    return shipped_points()
