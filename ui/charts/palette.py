"""Colours and names of domains: one palette that both themes and colour-blind eyes can read."""

import html
from collections.abc import Mapping, Sequence

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#AA3377", "#999999")
"""Okabe and Ito's colours without black and yellow, which one theme or the other would swallow."""

DOMAINS_DRAWN = 8
"""Of more domains a chart draws the largest: as many as there are colours."""

LINE = "rgba(128, 128, 128, 0.75)"
"""Of lines that belong to no domain; legible on both themes."""

IN_LEGEND = 18
"""Characters of a domain's name that a legend has room for."""
_LONGEST_NAME = 40


def domain_colours(domains: Sequence[str]) -> dict[str, str]:
    """A colour for each domain, by its place among the dataset's sorted names: the same on every chart.

    More domains than colours share them; a legend and hover text still tell which is which.
    """
    return {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(sorted(set(domains)))}


def faded(colour: str, opacity: float) -> str:
    """A colour of the palette, see-through."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity})"


def dashes(domains: Sequence[str], colours: Mapping[str, str]) -> dict[str, str]:
    """How each domain's line is drawn: solid, but dotted where another domain of the chart has its colour."""
    taken: set[str] = set()
    found = {}
    for name in domains:
        found[name] = "dot" if colours[name] in taken else "solid"
        taken.add(colours[name])
    return found


def shown(name: str, most: int = _LONGEST_NAME) -> str:
    """A domain's name as Plotly may show it: its text is HTML, and no label has room for a paragraph."""
    return html.escape(name if len(name) <= most else f"{name[: most - 1]}…")
