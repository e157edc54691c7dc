"""What two runs have in common: agreement of their scores, overlap of their top rows, and the rows that move most."""

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.data.scores import Score
from core.exploring.browsing import example
from core.exploring.compared_runs import ComparedRun
from core.exploring.loss_plane import POINTS_LIMIT
from core.exploring.rank_changes import rank_movers, top_overlap
from core.exploring.run_comparison import RunPair, score_bounds, score_correlations, score_plane, score_points
from core.store import Store
from ui.charts.comparison_charts import overlap_figure, score_plane_figure, score_points_figure
from ui.compare.comparison_tables import (
    show_both_scores,
    show_correlations,
    show_movers_table,
    show_overlap_at_paper_shares,
)
from ui.kit.chart_frame import show_chart
from ui.kit.tables import ALL_DOMAINS
from ui.kit.widgets import example_card, linked_number
from ui.plain_text import escaped

MOVERS = (10, 25, 50, 100)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The input of every tab: two runs, the number of compared rows, and the colours of the domains drawn."""

    store: Store
    first: ComparedRun
    second: ComparedRun
    score: Score
    pair: RunPair
    count: int
    colours: dict[str, str]

    @property
    def names(self) -> tuple[str, str]:
        """The runs' names, A and B."""
        return self.first.name, self.second.name


def show_agreement(found: Comparison) -> None:
    """The score in A against the score in B, and the rank correlation."""
    chart, numbers = st.columns([3, 2], gap="medium")
    with chart:
        note = "On the diagonal, a row has the same score in both runs; above it, the score in B is higher."
        show_chart(*score_chart(found), "scores", f"{found.score.name}-of-two-runs", note=note)
    with numbers:
        st.markdown("#### Rank correlation (Spearman)")
        show_correlations(score_correlations(found.store, found.pair))


def score_chart(found: Comparison) -> tuple[go.Figure, pd.DataFrame]:
    """The chart (points for few rows, a density for many) and its data."""
    if found.count <= POINTS_LIMIT:
        points = score_points(found.store, found.pair, POINTS_LIMIT)
        bounds = score_bounds(found.store, found.pair)
        figure = score_points_figure(points, bounds, found.score, found.names, found.colours)
        return figure, points.rename(columns={"first_score": "score_in_A", "second_score": "score_in_B"})
    plane = score_plane(found.store, found.pair)
    cells = plane.cells.assign(
        score_in_A_from=[plane.edges[number] for number in plane.cells["first_bin"]],
        score_in_B_from=[plane.edges[number] for number in plane.cells["second_bin"]],
    )
    columns = ["score_in_A_from", "score_in_B_from", "rows"]
    return score_plane_figure(plane, found.score, found.names), cells[columns]


def show_top(found: Comparison) -> None:
    """Overlap of the top rows of both runs, by the share of rows selected."""
    overlap = top_overlap(found.store, found.pair)
    numbers = overlap.assign(domain=overlap["domain"].mask(overlap["overall"], ALL_DOMAINS)).drop(columns="overall")
    labels = {"share": "share_kept", "top": "rows_kept", "both": "kept_by_both", "overlap": "share_kept_by_both",
              "chance": "share_by_chance"}  # fmt: skip
    show_chart(
        overlap_figure(overlap, found.colours), numbers.rename(columns=labels), "overlap", "top-rows-of-two-runs"
    )
    domains = overlap["domain"].nunique() - 1
    if domains > len(found.colours):
        st.caption(f"The chart shows the {len(found.colours)} largest of {domains:,} domains; its data include all.")
    show_overlap_at_paper_shares(overlap)
    st.caption(
        "If you select this share of the rows by highest score, what part of them would the other run select too? For "
        "two unrelated rankings, the overlap equals the share selected (by chance). Ranks are among the compared rows."
    )


def show_movers(found: Comparison) -> None:
    """The rows whose rank in their domain differs most between the runs, and the open row."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        limit = st.selectbox(
            "Rows per table", MOVERS, key="movers", width=160, help="Number of rows listed in each of the two tables."
        )
        linked_number("Open row", "row", "Row number. Shows the full row with its losses in both runs.")
    movers = rank_movers(found.store, found.pair, int(limit))
    for title, chosen in (
        ("Ranked higher in B", movers[movers["moved"] > 0]),
        ("Ranked higher in A", movers[movers["moved"] < 0].iloc[::-1]),
    ):
        st.markdown(f"#### {title}")
        if chosen.empty:
            st.caption("No rows.")
        else:
            show_movers_table(chosen, "row")
    st.caption(
        "Moved: change in percentile rank within the domain from A to B, in points. Rank 1 is the highest score of the "
        "domain. In a small domain, one rank is many points. Select a row to open it."
    )
    opened = st.session_state.get("row")
    if opened is not None:
        st.markdown(f"#### Row {opened:,} in both runs")
        rows = [example(found.store, run.table, int(opened)) for run in (found.first, found.second)]
        show_both_scores(*rows)
        st.caption(escaped(f"The row in A ({found.first.name})"))
        example_card(rows[0])
