"""The cut chart: a histogram of each domain with its cut-off as a line that can be dragged.

The browser moves the line and the kept side by itself; only the release of a line reaches the server.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from core.exploring.distributions import Histogram
from ui.shell.session import remember, remembered

MOST_DOMAINS = 12
"""The most domains that the chart draws: more are too low to read on one screen."""
_NAME = "lobass_cut_chart"
_HTML = '<div class="cuts"></div>'
_CSS, _JS = (Path(__file__).with_name(f"cut_chart.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
_DRAWN = st.components.v2.component(_NAME, html=_HTML, css=_CSS, js=_JS)


@dataclass(frozen=True, slots=True)
class Cuts:
    """The lines of a chart. `at`: the score of each domain's cut-off, without those where nothing is selected. `order`:
    "highest" or "lowest" scores are selected. `linked`: all domains have one cut-off and move together. `fixed`: the
    lines cannot be dragged."""

    at: Mapping[str, float]
    order: str = "highest"
    linked: bool = False
    fixed: bool = False


def cut_chart(
    counted: Histogram,
    cuts: Cuts,
    colours: Mapping[str, str],
    label: str,
    key: str,
    on_cut: Callable[[str, float], None],
) -> None:
    """Draw the chart of the domains that have a colour. `label`: the title of the axis.

    `on_cut` gets the domain and the score of a line that was released, before the page reruns. A score beyond the axis
    is the largest or smallest float: all rows are on one side of it. An answer that comes late moves no line that is
    being dragged: each release has a number, and a line waits for the answer to its own.
    """
    turn = f"{key}_turn"

    def released() -> None:
        event = _event(st.session_state[key].get("cut"), colours)
        if event is not None:
            domain, score, number = event
            remember(turn, number)
            if not cuts.fixed:
                on_cut(domain, score)

    title = f"Rows by {label} of each domain, with cut-offs. The data are in the table below."
    lines = {"order": cuts.order, "linked": cuts.linked, "fixed": cuts.fixed}
    texts = {"label": label, "title": title, "turn": remembered(turn, 0)}
    _DRAWN(key=key, data=_binned(counted, cuts.at, colours) | lines | texts, on_cut_change=released)


def _binned(counted: Histogram, at: Mapping[str, float], colours: Mapping[str, str]) -> dict[str, Any]:
    outside = {
        str(domain): (int(below), int(above))
        for domain, below, above in counted.outside[["domain", "below", "above"]].itertuples(index=False, name=None)
    }
    edges: list[float] = []
    domains: list[dict[str, Any]] = []
    for domain in sorted(set(outside) & set(colours))[:MOST_DOMAINS]:
        part = counted.bins[counted.bins["domain"] == domain]
        edges = [*part["bin_low"].tolist(), *part["bin_high"].tolist()[-1:]]
        cut = at.get(domain, math.nan)
        domains.append(
            {
                "name": domain,
                "colour": colours[domain],
                "rows": part["rows"].tolist(),
                "below": outside[domain][0],
                "above": outside[domain][1],
                "cut": cut if math.isfinite(cut) else None,
            }
        )
    return {"edges": edges or [counted.low, counted.high], "domains": domains}


def _event(given: Any, domains: Mapping[str, str]) -> tuple[str, float, int] | None:
    """Domain, score and number of a release; None for what this chart does not send."""
    if not isinstance(given, Mapping):
        return None
    domain, score, number = (given.get(name) for name in ("domain", "score", "turn"))
    if not isinstance(domain, str) or domain not in domains:
        return None
    if isinstance(score, int | float) and math.isfinite(score) and isinstance(number, int):
        return domain, float(score), number
    return None
