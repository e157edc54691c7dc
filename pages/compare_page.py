"""Compare: how similarly two runs of one dataset rank its rows, and which rows differ most."""

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.data.errors import UserError
from core.data.filters import RowFilter
from core.data.scores import FLAGS, Score
from core.exploring.browsing import example
from core.exploring.compared_runs import ComparedRun, cautions, compared_run, noise_caution, other_runs, what_differs
from core.exploring.loss_plane import POINTS_LIMIT
from core.exploring.rank_changes import rank_movers, top_overlap
from core.exploring.run_comparison import (
    RunPair,
    compared_counts,
    score_bounds,
    score_correlations,
    score_plane,
    score_points,
)
from core.store import Store
from ui.charts import DOMAINS_DRAWN, domain_colours
from ui.charts.comparison_charts import overlap_figure, score_plane_figure, score_points_figure
from ui.compare.comparison_tables import (
    show_both_scores,
    show_correlations,
    show_movers_table,
    show_overlap_at_paper_shares,
)
from ui.kit.chart_frame import show_chart
from ui.kit.filter_controls import FLAG_HELP
from ui.kit.reference_badge import show_reference_badge
from ui.kit.status_line import show_run_line
from ui.kit.tables import ALL_DOMAINS
from ui.kit.widgets import (
    example_card,
    link_to_page,
    linked_number,
    linked_selectbox,
    open_linked_tab,
    score_picker,
    show_error,
)
from ui.plain_text import escaped
from ui.shell.session import Session, open_session

MOST_IN_LINK = 100
"""Domains that the page's link can name."""
MOVERS = (10, 25, 50, 100)
VIEWS = ("Agreement", "Top rows", "Movers")


@dataclass(frozen=True, slots=True)
class View:
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


def compare() -> None:
    """The whole page."""
    session = open_session()
    name = show_run_line(session, "compare")
    if name is None:
        return
    others = other_runs(session.store, name)
    if not others:
        show_no_other_run(session, name)
        return
    left, right = st.columns(2)
    with left:
        other = other_run_picker(name, others)
        show_reference_badge(session.store, other)
    runs = [session.store.run(each) for each in (name, other)]
    with right:
        score = score_picker(runs[0]["loss_sets"].keys() & runs[1]["loss_sets"].keys())
    first, second = (compared_run(run) for run in runs)
    show_compared_runs(first, second)
    pair = RunPair(first.table, second.table, score.name, choose_rows(session.store, first, second))
    counts = compared_counts(session.store, pair)
    count = show_readout(counts)
    if not count:
        all_filtered = not counts[["no_score", "only_first", "only_second"]].to_numpy().any()
        st.info(
            "No row passes these filters. Remove a filter above."
            if all_filtered
            else "None of these rows has this score in both runs. Choose another score or other runs."
        )
        return
    every_colour = domain_colours(counts["domain"].tolist())
    drawn = counts[counts["compared"] > 0].nlargest(DOMAINS_DRAWN, "compared")["domain"]
    colours = {domain: every_colour[domain] for domain in drawn}
    view = View(session.store, first, second, score, pair, count, colours)
    open_linked_tab("comparison", VIEWS)
    start = VIEWS[2] if "row" in st.query_params else VIEWS[0]
    sections = (show_agreement, show_top, show_movers)
    for tab, show in zip(
        st.tabs(VIEWS, key="comparison", on_change="rerun", bind="query-params", default=start), sections, strict=True
    ):
        if tab.open:  # a closed tab runs no query
            with tab:
                show(view)


def show_no_other_run(session: Session, name: str) -> None:
    """What to do if the dataset has only one run."""
    dataset = session.store.run(name)["dataset"]
    st.info(
        escaped(
            f"{name} is the only run of dataset {dataset}, so there is nothing to compare it with. Score the dataset "
            "with another reference or base, or choose a run of a dataset with several runs."
        )
    )
    link_to_page("score", "Score a dataset")


def other_run_picker(name: str, others: list[str]) -> str:
    """The run to compare with; kept in the `with` query parameter and across pages."""
    asked = st.query_params.get("with")
    if asked not in (None, name, *others):  # choosing B's run as A is allowed: B then changes to another run
        st.warning(escaped(f"'{asked}' is not a run of the same dataset. Showing another run; choose one below."))
    return linked_selectbox("Compare with", others, "with", help="Another run of the same dataset.")


def show_compared_runs(first: ComparedRun, second: ComparedRun) -> None:
    """Both runs as text, and warnings about other differences than the models."""
    lines = [f"**{what_differs(first, second)}.**"]
    for letter, run in (("A", first), ("B", second)):
        floor = "not measured" if run.noise_floor is None else f"{run.noise_floor:.1e} nats per token"
        words = f"base {run.base}, reference {run.reference}; {run.encoding_words}; {run.dtype}, noise floor {floor}"
        lines.append(f"**{letter}** {escaped(f'{run.name}: {words}')}")
    st.markdown("  \n".join(lines))
    for sentence in cautions(first, second):
        st.warning(escaped(sentence))


def choose_rows(store: Store, first: ComparedRun, second: ComparedRun) -> RowFilter:
    """The filter for all numbers on the page, applied to both runs."""
    domains = store.rows(
        f"SELECT domain FROM {first.table} UNION SELECT domain FROM {second.table} ORDER BY domain"
    )  # fmt: skip
    left, right = st.columns(2)
    chosen = left.multiselect(
        "Domains", [row[0] for row in domains], key="domain", placeholder="Any", bind="query-params",
        max_selections=MOST_IN_LINK, select_all=False, persist_state="session",
        help="Compare only rows of these domains. Ranks are then computed among these rows.",
    )  # fmt: skip
    without = right.multiselect(
        "Exclude flags", list(FLAGS), key="without_flag", placeholder="None", bind="query-params",
        persist_state="session",
        help=f"Excludes rows with one of these flags in either run.  \n{FLAG_HELP}",
    )  # fmt: skip
    return RowFilter(domains=tuple(chosen), without_flags=tuple(without))


def show_readout(counts: pd.DataFrame) -> int:
    """Number of compared rows, and the reasons for the others. Returns the number of compared rows."""
    totals = {name: int(counts[name].sum()) for name in counts.columns if name != "domain"}
    compared, within_noise = totals["compared"], totals.pop("within_noise")
    reasons = {
        "filtered": "excluded by the filters",
        "no_score": "without this score in one or both runs",
        "only_first": "only in A (B was scored before they were added)",
        "only_second": "only in B (A was scored before they were added)",
    }
    parts = [f"**{compared:,}** of {sum(totals.values()):,} rows compared"]
    parts += [f"{totals[name]:,} {words}" for name, words in reasons.items() if totals[name]]
    st.markdown("; ".join(parts))
    if totals["only_first"] or totals["only_second"]:
        st.caption("To compare all rows, score the dataset again under the name of the older run.")
        link_to_page("score", "Score the dataset again")
    caution = noise_caution(compared, within_noise)
    if caution:
        st.warning(escaped(caution))
    elif within_noise:
        st.caption(f"Rows whose losses are equal in both runs within the noise floor: {within_noise:,}.")
    return compared


def show_agreement(view: View) -> None:
    """The score in A against the score in B, and the rank correlation."""
    chart, numbers = st.columns([3, 2], gap="medium")
    with chart:
        note = "On the diagonal, a row has the same score in both runs; above it, the score in B is higher."
        show_chart(*score_chart(view), "scores", f"{view.score.name}-of-two-runs", note=note)
    with numbers:
        st.markdown("#### Rank correlation (Spearman)")
        show_correlations(score_correlations(view.store, view.pair))


def score_chart(view: View) -> tuple[go.Figure, pd.DataFrame]:
    """The chart (points for few rows, a density for many) and its data."""
    if view.count <= POINTS_LIMIT:
        points = score_points(view.store, view.pair, POINTS_LIMIT)
        bounds = score_bounds(view.store, view.pair)
        figure = score_points_figure(points, bounds, view.score, view.names, view.colours)
        return figure, points.rename(columns={"first_score": "score_in_A", "second_score": "score_in_B"})
    plane = score_plane(view.store, view.pair)
    cells = plane.cells.assign(
        score_in_A_from=[plane.edges[number] for number in plane.cells["first_bin"]],
        score_in_B_from=[plane.edges[number] for number in plane.cells["second_bin"]],
    )
    columns = ["score_in_A_from", "score_in_B_from", "rows"]
    return score_plane_figure(plane, view.score, view.names), cells[columns]


def show_top(view: View) -> None:
    """Overlap of the top rows of both runs, by the share of rows selected."""
    overlap = top_overlap(view.store, view.pair)
    numbers = overlap.assign(domain=overlap["domain"].mask(overlap["overall"], ALL_DOMAINS)).drop(columns="overall")
    labels = {"share": "share_kept", "top": "rows_kept", "both": "kept_by_both", "overlap": "share_kept_by_both",
              "chance": "share_by_chance"}  # fmt: skip
    show_chart(overlap_figure(overlap, view.colours), numbers.rename(columns=labels), "overlap", "top-rows-of-two-runs")
    domains = overlap["domain"].nunique() - 1
    if domains > len(view.colours):
        st.caption(f"The chart shows the {len(view.colours)} largest of {domains:,} domains; its data include all.")
    show_overlap_at_paper_shares(overlap)
    st.caption(
        "If you select this share of the rows by highest score, what part of them would the other run select too? For "
        "two unrelated rankings, the overlap equals the share selected (by chance). Ranks are among the compared rows."
    )


def show_movers(view: View) -> None:
    """The rows whose rank in their domain differs most between the runs, and the open row."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        limit = st.selectbox(
            "Rows per table", MOVERS, key="movers", width=160, help="Number of rows listed in each of the two tables."
        )
        linked_number("Open row", "row", "Row number. Shows the full row with its losses in both runs.")
    movers = rank_movers(view.store, view.pair, int(limit))
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
        found = [example(view.store, run.table, int(opened)) for run in (view.first, view.second)]
        show_both_scores(*found)
        st.caption(escaped(f"The row in A ({view.first.name})"))
        example_card(found[0])


try:
    compare()
except UserError as error:
    show_error(error)
