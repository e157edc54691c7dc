"""Which domains the charts of Curate draw: the largest ones, unless a person chooses others."""

import pandas as pd
import streamlit as st

from ui.charts import DOMAINS_DRAWN


def drawn_domains(counts: pd.DataFrame, by: str) -> list[str]:
    """The domains to draw, at most `DOMAINS_DRAWN`; if there are more, draws the control that chooses them.

    `counts`: a row for each domain; the largest are those with the most of the column `by`.
    """
    names = [str(name) for name in counts["domain"]]
    largest = [str(name) for name in counts.nlargest(DOMAINS_DRAWN, by)["domain"]]
    if len(names) <= DOMAINS_DRAWN:
        return largest
    key, known = "drawn_domains", set(names)
    # Streamlit rejects a domain of another run that is no option here.
    st.session_state[key] = [name for name in st.session_state.get(key, ()) if name in known]
    chosen = st.multiselect(
        "Domains in the charts", names, key=key, select_all=False,
        max_selections=DOMAINS_DRAWN, placeholder=f"The {DOMAINS_DRAWN} largest", persist_state="session",
        help="Search a domain to draw it instead of the largest ones.",
    )  # fmt: skip
    passing = set(counts["domain"][counts[by] > 0])
    chosen = [name for name in chosen if name in passing]
    which = f"{len(chosen)}" if chosen else f"the {DOMAINS_DRAWN} largest"
    st.caption(f"Charts show {which} of {len(names):,} domains; counts and tables include all.")
    return chosen or largest
