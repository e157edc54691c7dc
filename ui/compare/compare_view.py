"""Compare runs: how similarly two runs of one dataset rank its rows, and which rows differ most."""

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.data.filters import RowFilter
from core.data.scores import FLAGS
from core.exploring.compared_runs import ComparedRun, cautions, compared_run, noise_caution, other_runs, what_differs
from core.exploring.run_comparison import RunPair, compared_counts
from core.store import Store
from ui.charts import DOMAINS_DRAWN, domain_colours
from ui.compare.comparison_views import Comparison, show_agreement, show_movers, show_top
from ui.kit.filter_controls import FLAG_HELP
from ui.kit.reference_badge import show_reference_badge
from ui.kit.second_reference import show_second_reference
from ui.kit.widgets import link_to_page, linked_selectbox, open_linked_tab, score_picker
from ui.plain_text import escaped
from ui.shell.session import Session

MOST_IN_LINK = 100
"""Domains that the page's link can name."""
VIEWS = ("Agreement", "Top rows", "Movers")


def show_comparison(session: Session, name: str) -> None:
    """The whole view, of a run and another one that is chosen here."""
    others = other_runs(session.store, name)
    if not others:
        show_no_other_run(session, name)
        return
    with_run, of_score, of_domains, of_flags = st.columns(4)
    with with_run:
        other = other_run_picker(name, others)
    runs = [session.store.run(each) for each in (name, other)]
    with of_score:
        roles = [{*run["roles"]} for run in runs]
        score = score_picker(roles[0] & roles[1])
    first, second = (compared_run(run) for run in runs)
    chosen = choose_rows(session.store, first, second, (of_domains, of_flags))
    with st.container(gap="xsmall"):
        show_compared_runs(first, second, session.store)
    pair = RunPair(first.table, second.table, score.name, chosen)
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
    found = Comparison(session.store, first, second, score, pair, count, colours)
    open_linked_tab("comparison", VIEWS)
    start = VIEWS[2] if "row" in st.query_params else VIEWS[0]
    sections = (show_agreement, show_top, show_movers)
    for tab, show in zip(
        st.tabs(VIEWS, key="comparison", on_change="rerun", bind="query-params", default=start), sections, strict=True
    ):
        if tab.open:  # a closed tab runs no query
            with tab:
                show(found)


def show_no_other_run(session: Session, name: str) -> None:
    """What to do if the dataset has only one run."""
    dataset = session.store.run(name)["dataset"]
    st.info(
        escaped(
            f"{name} is the only run of dataset {dataset}, so there is nothing to compare it with. Train a second "
            "reference with the same settings and another seed, or score the dataset with another model."
        )
    )
    show_second_reference(session, name)
    link_to_page("score", "Score a dataset")


def other_run_picker(name: str, others: list[str]) -> str:
    """The run to compare with; kept in the `with` query parameter and across pages."""
    asked = st.query_params.get("with")
    if asked not in (None, name, *others):  # choosing B's run as A is allowed: B then changes to another run
        st.warning(escaped(f"'{asked}' is not a run of the same dataset. Showing another run; choose one below."))
    return linked_selectbox("Compare with", others, "with", help="Another run of the same dataset.")


def show_compared_runs(first: ComparedRun, second: ComparedRun, store: Store) -> None:
    """Both runs as text, the second reference's kind, and warnings about other differences than the models."""
    st.markdown(f"**{what_differs(first, second)}.**")
    for letter, run in (("A", first), ("B", second)):
        floor = "not measured" if run.noise_floor is None else f"{run.noise_floor:.1e} nats per token"
        words = f"base {run.base}, reference {run.reference}; {run.encoding_words}; {run.dtype}, noise floor {floor}"
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.caption(f"**{letter}** {escaped(f'{run.name}: {words}')}", width="content")
            if run is second:  # the first one's is in the line above
                show_reference_badge(store, run.name)
    for sentence in cautions(first, second):
        st.warning(escaped(sentence))


def choose_rows(
    store: Store, first: ComparedRun, second: ComparedRun, places: tuple[DeltaGenerator, DeltaGenerator]
) -> RowFilter:
    """The filter for all numbers of the view, applied to both runs; `places` of its two controls."""
    domains = store.rows(
        f"SELECT domain FROM {first.table} UNION SELECT domain FROM {second.table} ORDER BY domain"
    )  # fmt: skip
    left, right = places
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
