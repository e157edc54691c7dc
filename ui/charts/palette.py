"""Colours and labels of domains, from a colour-blind-safe palette that suits both themes."""

import html
from collections.abc import Mapping, Sequence

PALETTE = ("#0072B2", "#C57414", "#009E57", "#D66394", "#3A91C1", "#B1520A", "#876FEC", "#6C6E67")
"""Hues of Okabe and Ito's colours, made darker or lighter until each has a contrast of 3:1 with both themes (WCAG 2.1,
1.4.11), and any two differ also for people with protanopia or deuteranopia."""

SOLID = 0.9
"""Opacity of a point, with which its colour keeps that contrast."""

DOMAINS_DRAWN = 8
"""The most domains that a chart draws (the largest ones): one per colour."""

LINE = "rgba(128, 128, 128, 0.9)"
"""Colour of lines that belong to no domain; visible in both themes."""

IN_LEGEND = 18
"""Characters of a domain name that fit in a legend."""
_LONGEST_NAME = 40


def domain_colours(domains: Sequence[str]) -> dict[str, str]:
    """A colour for each domain, by its position in the sorted names, so that it is the same on every chart.

    With more domains than colours, colours repeat; the legend and hover text tell them apart.
    """
    return {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(sorted(set(domains)))}


def faded(colour: str, opacity: float) -> str:
    """A colour of the palette with an opacity."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity})"


def dashes(domains: Sequence[str], colours: Mapping[str, str]) -> dict[str, str]:
    """The line style of each domain: solid, or dotted if another domain of the chart has the same colour."""
    taken: set[str] = set()
    found = {}
    for name in domains:
        found[name] = "dot" if colours[name] in taken else "solid"
        taken.add(colours[name])
    return found


def shown(name: str, most: int = _LONGEST_NAME) -> str:
    """A domain's name, escaped for Plotly (whose text is HTML) and shortened."""
    return html.escape(name if len(name) <= most else f"{name[: most - 1]}…")
