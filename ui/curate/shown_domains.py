"""Which domains have controls on the Curate page: all of a few, else the largest ones and those that a person adds."""

from collections.abc import Collection, Mapping
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

ALL_SHOWN = 24
"""Up to this many domains are all shown: each has several controls, and thousands would take minutes to draw."""
LARGEST = 12
MOST_OF_A_KIND = 40
"""At most this many of those with settings of their own are shown, and at most as many can be added."""

SHORT_LIST = 8
"""More domains than this scroll in a box."""

_PERSIST: Any = {"persist_state": "session"}


def shown_domains(sizes: Mapping[str, int], own: Collection[str], key: str, rest: str) -> list[str]:
    """The domains to draw controls of, the largest first if there are many; draws the search that adds others to them.

    `sizes`: rows or tokens of every domain. `own`: domains with settings of their own. `rest`: what applies to domains
    that are not shown, as a sentence.
    """
    if len(sizes) <= ALL_SHOWN:
        return list(sizes)
    by_size = sorted(sizes, key=lambda domain: (-sizes[domain], domain))
    with_own = [domain for domain in by_size if domain in own]
    shown = {*by_size[:LARGEST], *with_own[:MOST_OF_A_KIND]}
    others = [domain for domain in sizes if domain not in shown]
    # A domain that was added may not be an option any more: it has a setting of its own now, or is not in this run.
    st.session_state[key] = [domain for domain in st.session_state.get(key, ()) if domain in set(others)]
    added = st.multiselect(
        "Show more domains", others, key=key, placeholder=f"Search {len(others):,} domains", select_all=False,
        max_selections=MOST_OF_A_KIND, help=f"Adds the controls of a domain below. {rest}", **_PERSIST,
    )  # fmt: skip
    hidden = f", {len(with_own) - MOST_OF_A_KIND:,} of them with their own" if len(with_own) > MOST_OF_A_KIND else ""
    st.caption(f"{len(others) - len(added):,} of {len(sizes):,} domains are not shown{hidden}. {rest}")
    return [domain for domain in by_size if domain in {*shown, *added}]


def domain_list(domains: int) -> DeltaGenerator:
    """The place of the controls of so many domains."""
    return st.container(height=480 if domains > SHORT_LIST else "content", border=False)
