"""The list of datasets, of which one is chosen; Score offers the same one first."""

from typing import Any

import streamlit as st

from core.store import Store
from ui.plain_text import escaped
from ui.shell.session import remember, remembered

_PARAMETER = "dataset"
_TURN = "dataset_turn"
_MOST_IN_SIGHT = 9


def choose_dataset(name: str) -> None:
    """Make a dataset the chosen one, here and on Score."""
    remember(_PARAMETER, name)
    st.query_params[_PARAMETER] = name
    remember(_TURN, remembered(_TURN, 0) + 1)


def chosen_dataset(names: list[str]) -> str | None:
    """The chosen one of these datasets: that of the URL, else the last one chosen, else the first; None if there is
    none."""
    asked, last = st.query_params.get(_PARAMETER), remembered(_PARAMETER)
    return next((name for name in (asked, last, *names) if name in names), None)


def show_dataset_list(store: Store, datasets: list[dict[str, Any]]) -> dict[str, Any]:
    """Draw the list of datasets (`core.workspace.status.dataset_overview`, at least one); returns the chosen one."""
    by_name = {dataset["name"]: dataset for dataset in datasets}
    names = list(by_name)
    imported = dict(
        store.rows(
            """
            SELECT dataset.name, if(year(max(imported_at)) = year(now()), strftime(max(imported_at), '%-d %b'),
                strftime(max(imported_at), '%-d %b %Y'))
            FROM source JOIN dataset USING (dataset_id) GROUP BY dataset.name
            """
        )
    )
    with st.container(height=560 if len(names) > _MOST_IN_SIGHT else "content", border=False):
        chosen = st.radio(
            "Datasets", names, names.index(chosen_dataset(names) or names[0]), format_func=escaped,
            captions=[_caption(by_name[name], imported.get(name)) for name in names],
            key=f"datasets_{hash(tuple(names))}_{remembered(_TURN, 0)}",
            help="Choose a dataset to browse its rows.",
        )  # fmt: skip
    remember(_PARAMETER, chosen)
    if st.query_params.get(_PARAMETER) != chosen:
        st.query_params[_PARAMETER] = chosen
    return by_name[chosen]


def _caption(dataset: dict[str, Any], imported: str | None) -> str:
    domains = len(dataset["domains"])
    counts = f"{dataset['rows']:,} rows, {domains:,} {'domain' if domains == 1 else 'domains'}"
    return f"{counts}, {imported}" if imported else counts
