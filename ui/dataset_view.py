"""One dataset on the page: its domains, files, and every record that was left out with the reason."""

from typing import Any

import pandas as pd
import streamlit as st

from core.errors import CurationError
from ui.session import Session
from ui.widgets import escaped, show_error

_SHOWN_REJECTIONS = 200


def show_dataset(session: Session, dataset: dict[str, Any], expanded: bool) -> None:
    """A dataset as `core.status.dataset_overview` gives it."""
    title = f"{dataset['rows']:,} rows, {dataset['unique_examples']:,} different, {dataset['rejected']:,} left out"
    with st.expander(f"{escaped(dataset['name'])}: {title}", expanded=expanded):
        domains = pd.DataFrame(
            [(name, count, count / max(1, dataset["rows"])) for name, count in dataset["domains"].items()],
            columns=["Domain", "Rows", "Share"],
        )
        left, right = st.columns(2)
        left.dataframe(
            domains,
            hide_index=True,
            column_config={"Rows": st.column_config.NumberColumn(format="localized"), "Share": _PERCENT},
        )
        with right:
            _show_sources(session, dataset["name"])
        _show_rejections(session, dataset["name"])
        _edit(session, dataset)


_PERCENT = st.column_config.NumberColumn(format="percent")


def _show_sources(session: Session, name: str) -> None:
    st.dataframe(
        session.store.frame(
            """
            SELECT source.name AS "File", format AS "Format", row_count AS "Rows", rejected_count AS "Left out"
            FROM source JOIN dataset USING (dataset_id) WHERE dataset.name = ? ORDER BY source_id
            """,
            [name],
        ),
        hide_index=True,
    )


def _show_rejections(session: Session, name: str) -> None:
    rejections = session.store.frame(
        """
        SELECT source.name AS "File", line AS "Record", reason AS "Reason", detail AS "Found"
        FROM rejection JOIN source USING (source_id) JOIN dataset USING (dataset_id)
        WHERE dataset.name = ? ORDER BY source_id, line LIMIT ?
        """,
        [name, _SHOWN_REJECTIONS],
    )
    if not len(rejections):
        return
    counts = session.store.frame(
        """
        SELECT reason AS "Reason", count(*) AS "Records"
        FROM rejection JOIN source USING (source_id) JOIN dataset USING (dataset_id)
        WHERE dataset.name = ? GROUP BY reason ORDER BY count(*) DESC
        """,
        [name],
    )
    st.text("Records left out, by reason")
    st.dataframe(counts, hide_index=True)
    total = int(counts["Records"].sum())
    shown = f"the first {len(rejections):,} of {total:,}" if total > len(rejections) else f"all {total:,}"
    st.text(f"Records left out: {shown}")
    st.dataframe(rejections, hide_index=True, height=220)


def _edit(session: Session, dataset: dict[str, Any]) -> None:
    name = dataset["name"]
    with st.popover("Rename a domain or remove the dataset"):
        old = st.selectbox("Domain", list(dataset["domains"]), key=f"old_domain_{name}")
        new = st.text_input("New name", key=f"new_domain_{name}", help="An existing name merges both. Losses are kept.")
        if st.button("Rename", key=f"rename_{name}", disabled=not new.strip()):
            session.store.relabel_domain(name, old, new.strip())
            st.rerun()
        sure = st.checkbox("Remove this dataset and its runs; losses stay cached", key=f"sure_{name}")
        if st.button("Remove", key=f"remove_{name}", disabled=not sure):
            try:
                session.store.remove_dataset(name)
            except CurationError as error:
                show_error(error)
            else:
                st.rerun()
