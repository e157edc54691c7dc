"""One dataset on the page: its domains, files, and every record that was left out with the reason."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from core.data.errors import UserError
from core.importing.records import REASONS
from ui.kit.tables import COUNT, SHARE
from ui.kit.widgets import show_error
from ui.plain_text import escaped
from ui.shell.access import may_run
from ui.shell.session import Session

_SHOWN_REJECTIONS = 200


def show_dataset(session: Session, dataset: dict[str, Any], expanded: bool) -> None:
    """A dataset as `core.workspace.status.dataset_overview` gives it."""
    title = f"{dataset['rows']:,} rows, {dataset['unique_examples']:,} different, {dataset['rejected']:,} left out"
    with st.expander(f"{escaped(dataset['name'])}: {title}", expanded=expanded):
        domains = pd.DataFrame(
            [(name, count, count / max(1, dataset["rows"])) for name, count in dataset["domains"].items()],
            columns=["Domain", "Rows", "Share"],
        )
        left, right = st.columns(2)
        left.dataframe(domains, hide_index=True, column_config={"Rows": COUNT, "Share": SHARE})
        with right:
            _show_sources(session, dataset["name"])
        _show_rejections(session, dataset["name"])
        if may_run():
            _edit(session, dataset)


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
        column_config={"Rows": COUNT, "Left out": COUNT},
    )


def _show_rejections(session: Session, name: str) -> None:
    counts = session.store.frame(
        """
        SELECT reason AS "Left out as", count(*) AS "Records"
        FROM rejection JOIN source USING (source_id) JOIN dataset USING (dataset_id)
        WHERE dataset.name = ? GROUP BY reason ORDER BY count(*) DESC, reason
        """,
        [name],
    )
    if not len(counts):
        return
    counts["What it means"] = [REASONS.get(reason, "") for reason in counts["Left out as"]]
    rejections = session.store.frame(
        """
        SELECT source.name AS "File", line AS "Record", reason AS "Left out as", detail AS "Found"
        FROM rejection JOIN source USING (source_id) JOIN dataset USING (dataset_id)
        WHERE dataset.name = ? ORDER BY source_id, line LIMIT ?
        """,
        [name, _SHOWN_REJECTIONS],
    )
    total = int(counts["Records"].sum())
    st.caption("Records left out, by reason")
    st.dataframe(counts, hide_index=True, column_config={"Records": COUNT})
    st.caption(
        f"The first {len(rejections):,} of {total:,} records left out" if total > len(rejections) else "Each of them"
    )
    st.dataframe(
        rejections, hide_index=True, height=220 if len(rejections) > 5 else "content", column_config={"Record": COUNT}
    )


def _edit(session: Session, dataset: dict[str, Any]) -> None:
    name = dataset["name"]
    rename, remove, _ = st.columns([1, 1, 2])
    with rename.popover("Rename a domain", width="stretch"):
        old = st.selectbox(
            "Domain", list(dataset["domains"]), key=f"old_domain_{name}",
            help="The domain to give another name; the name of another one merges the two.",
        )  # fmt: skip
        new = st.text_input(
            "New name", key=f"new_domain_{name}", help="The name of another domain merges both. Losses are kept."
        ).strip()
        if st.button("Rename", key=f"rename_{name}", disabled=not new or new == old):
            _change(lambda: session.store.relabel_domain(name, old, new))
    with remove.popover("Remove this dataset", width="stretch"):
        sure = st.checkbox(
            "Remove its rows and runs; the losses stay cached", key=f"sure_{name}",
            help="Imported again, the same rows need no new scoring.",
        )  # fmt: skip
        if st.button("Remove", key=f"remove_{name}", disabled=not sure):
            _change(lambda: session.store.remove_dataset(name))


def _change(change: Callable[[], object]) -> None:
    """Change the store, then draw the page anew; a dataset that another browser removed is said to be gone."""
    try:
        change()
    except UserError as error:
        show_error(error)
    else:
        st.rerun()
