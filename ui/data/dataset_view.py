"""One dataset on the page: a line of counts, its domains, its files, and the skipped records with their reasons."""

from typing import Any

import pandas as pd
import streamlit as st

from core.importing.records import REASONS
from core.scoring.generation.response_jobs import NO_RESPONSE
from core.workspace.generated_pairs import origin_sentences
from ui.kit.tables import COUNT, SHARE, table_height
from ui.kit.widgets import change_or_show_error
from ui.plain_text import escaped
from ui.shell.access import may_run
from ui.shell.session import Session

_SHOWN_REJECTIONS = 200
_MEANINGS = REASONS | NO_RESPONSE


def show_dataset_line(dataset: dict[str, Any]) -> None:
    """One line on a dataset as returned by `core.workspace.status.dataset_overview`."""
    duplicates = dataset["rows"] - dataset["unique_examples"]
    st.markdown(
        f"**{escaped(dataset['name'])}**: {dataset['rows']:,} rows, {dataset['unique_examples']:,} unique "
        f"({duplicates:,} exact duplicates), {dataset['rejected']:,} skipped records",
        width="stretch",
    )


def show_domains(session: Session, dataset: dict[str, Any]) -> None:
    """The domains of a dataset; a domain can be renamed."""
    domains = pd.DataFrame(
        [(name, count, count / max(1, dataset["rows"])) for name, count in dataset["domains"].items()],
        columns=["Domain", "Rows", "Share"],
    )
    left, right = st.columns([3, 2], gap="medium")
    left.dataframe(
        domains, hide_index=True, height=table_height(domains), column_config={"Rows": COUNT, "Share": SHARE}
    )
    if may_run():
        with right.container(border=True):
            _rename_domain(session, dataset)


def show_files(session: Session, name: str) -> None:
    """The files of a dataset, and the records that were skipped with their reasons."""
    _show_sources(session, name)
    _show_rejections(session, name)


def _show_sources(session: Session, name: str) -> None:
    st.dataframe(
        session.store.frame(
            """
            SELECT source.name AS "File", format AS "Format", row_count AS "Rows", rejected_count AS "Skipped",
                strftime(imported_at, '%Y-%m-%d %H:%M') AS "Imported (UTC)"
            FROM source JOIN dataset USING (dataset_id) WHERE dataset.name = ? ORDER BY source_id
            """,
            [name],
        ),
        hide_index=True,
        column_config={"Rows": COUNT, "Skipped": COUNT},
    )
    for sentence in origin_sentences(session.store, name):
        st.text(sentence)


def _show_rejections(session: Session, name: str) -> None:
    counts = session.store.frame(
        """
        SELECT reason AS "Reason", count(*) AS "Records"
        FROM rejection JOIN source USING (source_id) JOIN dataset USING (dataset_id)
        WHERE dataset.name = ? GROUP BY reason ORDER BY count(*) DESC, reason
        """,
        [name],
    )
    if not len(counts):
        return
    counts["Meaning"] = [_MEANINGS.get(reason, "") for reason in counts["Reason"]]
    rejections = session.store.frame(
        """
        SELECT source.name AS "File", line AS "Record", reason AS "Reason", detail AS "Found"
        FROM rejection JOIN source USING (source_id) JOIN dataset USING (dataset_id)
        WHERE dataset.name = ? ORDER BY source_id, line LIMIT ?
        """,
        [name, _SHOWN_REJECTIONS],
    )
    total = int(counts["Records"].sum())
    st.caption("Skipped records by reason")
    st.dataframe(counts, hide_index=True, column_config={"Records": COUNT})
    st.caption(
        f"First {len(rejections):,} of {total:,} skipped records" if total > len(rejections) else "All skipped records"
    )
    st.dataframe(
        rejections, hide_index=True, height=220 if len(rejections) > 5 else "content", column_config={"Record": COUNT}
    )


def _rename_domain(session: Session, dataset: dict[str, Any]) -> None:
    name = dataset["name"]
    old = st.selectbox("Domain", list(dataset["domains"]), key=f"old_domain_{name}", help="The domain to rename.")
    new = st.text_input(
        "New name", key=f"new_domain_{name}", help="If this domain exists, the two are merged. Losses are kept."
    ).strip()  # fmt: skip
    if st.button("Rename domain", key=f"rename_{name}", disabled=not new or new == old):
        change_or_show_error(lambda: session.store.relabel_domain(name, old, new))
