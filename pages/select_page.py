"""Select: how much to keep of each domain, what that keeps and drops, and recipes saved under a name."""

from typing import Any

import pandas as pd
import streamlit as st

from core.errors import CurationError
from core.exploring.distributions import histogram
from core.scores import SCORES
from core.selection import (
    KEPT,
    Summary,
    domain_totals,
    near_the_cut,
    overlap,
    save_selection,
    saved_selection,
    saved_selection_names,
    select_summary,
)
from core.selection.recipe import ORDERS, Selection
from core.store import Store
from ui.charts import domain_colours, histogram_figure
from ui.recipe_form import put_into_form, recipe_form
from ui.session import open_session
from ui.widgets import escaped, link_to_page, run_picker, show_error

DOMAINS_DRAWN = 8
_COUNT = st.column_config.NumberColumn(format="localized")
_VALUE = st.column_config.NumberColumn(format="%.4f")


def select() -> None:
    """The whole page."""
    st.header("Select")
    session = open_session()
    load_form(session.store)
    run = run_picker(session)
    if run is None:
        return
    table = str(session.store.run(run)["table"])
    selection, readouts = recipe_form(run, domain_totals(session.store, table))
    summary = select_summary(session.store, selection)
    for part in summary.domains.itertuples():
        if part.domain in readouts:
            readouts[str(part.domain)].text(
                f"{part.kept_rows:,} of {part.rows:,} rows, {part.kept_tokens:,} of {part.tokens:,} tokens"
            )
    show_totals(summary)
    save_form(session.store, selection)
    show_domains(selection, summary)
    show_distribution(session.store, table, selection, summary)
    show_cut(session.store, selection, summary)
    show_overlap(session.store)


def show_totals(summary: Summary) -> None:
    """Rows and tokens kept and dropped, and what could not be met."""
    st.markdown("#### What is kept")
    figures = {
        "Rows kept": (summary.kept_rows, summary.rows),
        "Rows dropped": (summary.dropped_rows, summary.rows),
        "Tokens kept": (summary.kept_tokens, summary.tokens),
        "Tokens dropped": (summary.dropped_tokens, summary.tokens),
    }
    for column, (label, (count, whole)) in zip(st.columns(4), figures.items(), strict=True):
        column.metric(label, f"{count:,}")
        column.caption(f"{count / whole:.1%} of {whole:,}" if whole else "of none")
    for notice in summary.notices:
        st.warning(escaped(notice))


def show_domains(selection: Selection, summary: Summary) -> None:
    """The numbers of each domain, and why the other rows are left out."""
    cuts, capped = cut_values(selection, summary), {pool.pool for pool in summary.pools if pool.capped}
    shown = summary.domains.assign(
        cut=summary.domains["domain"].map(cuts).astype(float),
        note=["all that can be kept" if domain in capped else "" for domain in summary.domains["domain"]],
    )
    labels = {"domain": "Domain", "rows": "Rows", "kept_rows": "Rows kept", "tokens": "Tokens"}
    labels |= {"kept_tokens": "Tokens kept", "cut": f"{SCORES[selection.score].label} at the cut", "note": "Note"}
    counts = dict.fromkeys(("Rows", "Rows kept", "Tokens", "Tokens kept"), _COUNT)
    st.dataframe(
        shown[list(labels)].rename(columns=labels), hide_index=True, column_config={**counts, labels["cut"]: _VALUE}
    )
    dropped = summary.outcomes[summary.outcomes["outcome"] != KEPT]
    with st.expander(f"Why {summary.dropped_rows:,} rows are left out"):
        names = {"domain": "Domain", "outcome": "Reason", "rows": "Rows", "tokens": "Tokens"}
        st.dataframe(dropped.rename(columns=names), hide_index=True, column_config=counts)


def cut_values(selection: Selection, summary: Summary) -> dict[str, float]:
    """The score at the cut by domain; pooled, all have the same. Empty where the order does not rank by score."""
    if selection.scope == "pooled":
        cut = summary.pools[0].cut_value
        return {} if cut is None else dict.fromkeys(summary.domains["domain"], cut)
    return {pool.pool: pool.cut_value for pool in summary.pools if pool.cut_value is not None}


def show_distribution(store: Store, table: str, selection: Selection, summary: Summary) -> None:
    """The score's histogram of the rows that pass the filters, with the cut drawn in."""
    counted = histogram(store, table, selection.score, selection.filter)
    largest = summary.domains.nlargest(DOMAINS_DRAWN, "rows")["domain"].tolist()
    colours = {d: c for d, c in domain_colours(summary.domains["domain"].tolist()).items() if d in largest}
    cuts = cut_values(selection, summary)
    figure = histogram_figure(counted, colours, one_above_another=True, cuts=cuts)
    st.plotly_chart(figure, key="select_histogram")
    direction = "left" if selection.order == "lowest" else "right"
    if cuts:
        st.caption(f"Dashed: the cut; rows to the {direction} of it are kept.")
    elif not ORDERS[selection.order].by_score:
        st.caption(f"No cut is drawn: the order is '{ORDERS[selection.order].label}', not the score.")
    if len(colours) < len(summary.domains):
        st.caption(f"The {len(colours)} largest of {len(summary.domains):,} domains are drawn; the table holds all.")
    with st.expander("Numbers of the chart"):
        st.dataframe(counted.bins[counted.bins["domain"].isin(largest)], hide_index=True)


def show_cut(store: Store, selection: Selection, summary: Summary) -> None:
    """The rows on both sides of the cut, to read."""
    st.markdown("#### Just inside and just outside")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        domain = st.selectbox("Domain at the cut", summary.domains["domain"].tolist(), key="cut_domain")
        count = st.selectbox("Rows on each side", (3, 5, 10, 25), index=1, key="cut_count", width=160)
    found = near_the_cut(store, selection, str(domain), int(count))
    for title, part in (
        ("Just inside: the last rows kept", found[found["outcome"] == KEPT]),
        ("Just outside: the first rows left out", found[found["outcome"] != KEPT]),
    ):
        st.caption(title)
        if part.empty:
            st.text("There are none.")
            continue
        show_rows(part.drop(columns="outcome"), SCORES[selection.score].label)


def show_rows(rows: pd.DataFrame, label: str) -> None:
    """Rows near the cut; cells show text as it is."""
    names = {"rank": "Rank", "row_number": "Row", "value": label, "token_count": "Tokens"}
    formats: dict[str, Any] = dict.fromkeys(("rank", "row_number", "token_count"), "localized")
    formats |= dict.fromkeys(("value", "base_loss", "reference_loss"), "%.4f")
    st.dataframe(
        rows,
        hide_index=True,
        column_config={
            name: st.column_config.NumberColumn(names.get(name, name.replace("_", " ").capitalize()), format=shown)
            for name, shown in formats.items()
        }
        | {name: name.capitalize() for name in ("prompt", "response")},
    )


def load_form(store: Store) -> None:
    """Put a saved recipe back into the controls. Drawn first, as it sets the run too."""
    names = saved_selection_names(store)
    if not names:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Saved selection", names, key="saved_selection", width=320)
        st.button("Load", key="load_selection", on_click=load, args=(store, name))
    if failure := st.session_state.pop("load_failure", None):
        show_error(failure)


def load(store: Store, name: str) -> None:
    """Callback of the button: the controls are set before they are drawn."""
    try:
        selection = saved_selection(store, name)
        store.run(selection.run)
        put_into_form(selection)
    except CurationError as error:
        st.session_state["load_failure"] = error


def save_form(store: Store, selection: Selection) -> None:
    """Save the recipe under a name."""
    with st.form("save_selection", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input("Name of this selection", key="selection_name", width=320)
        replace = st.checkbox("Replace the one of that name", key="replace_selection")
        pressed = st.form_submit_button("Save selection", type="primary")
    if pressed:
        try:
            save_selection(store, name, selection, replace)
        except CurationError as error:
            show_error(error)
            return
        # Saved names stand above, drawn before this one was there.
        st.session_state["just_saved"] = name.strip()
        st.rerun()
    if saved := st.session_state.pop("just_saved", None):
        st.success(escaped(f"Saved as '{saved}'."))
        link_to_page("export", "Export it")


def show_overlap(store: Store) -> None:
    """How two saved selections agree, row by row."""
    names = saved_selection_names(store)
    if len(names) < 2:
        st.caption("Save two selections to compare them here by the rows they share.")
        return
    st.markdown("#### Compare two saved selections")
    left, right = st.columns(2)
    first = left.selectbox("First", names, key="overlap_first")
    second = right.selectbox("Second", names, index=1, key="overlap_second")
    try:
        found = overlap(store, saved_selection(store, str(first)), saved_selection(store, str(second)))
    except CurationError as error:
        show_error(error)
        return
    labels = {"domain": "Domain", "both": "Rows in both", "only_first": "Only in the first"}
    labels |= {"only_second": "Only in the second", "jaccard": "Shared (both / either)"}
    formats: dict[str, Any] = dict.fromkeys(list(labels.values())[1:4], _COUNT)
    formats[labels["jaccard"]] = st.column_config.NumberColumn(format="percent")
    st.dataframe(found.rename(columns=labels), hide_index=True, column_config=formats)


try:
    select()
except CurationError as error:
    show_error(error)
