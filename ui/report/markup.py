"""HTML that is safe by construction: every text is escaped unless it was built here."""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

MISSING = "–"
_MOST_ROWS = 200
_LONGEST_CELL = 300
_LONGEST_WORD = 30
"""Longer ones are broken, so that they do not widen their table."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Html:
    """Markup that was built from escaped parts."""

    text: str


Part = Html | str


def markup(*parts: Part) -> Html:
    """The parts one after another; plain texts are escaped, and characters that HTML does not have are replaced."""
    return Html("".join(part.text if isinstance(part, Html) else _escaped(part) for part in parts))


def tag(name: str, *parts: Part, **attributes: str) -> Html:
    """An element; `class_` and `aria_label` become class and aria-label."""
    given = "".join(f' {key.rstrip("_").replace("_", "-")}="{_escaped(value)}"' for key, value in attributes.items())
    return Html(f"<{name}{given}>{markup(*parts).text}</{name}>")


def paragraphs(sentences: Sequence[str]) -> Html:
    """A list of sentences; nothing if there are none."""
    return tag("ul", *(tag("li", sentence) for sentence in sentences)) if sentences else Html("")


def folded(title: str, *parts: Part) -> Html:
    """What is closed on a screen until it is asked for."""
    return tag("details", tag("summary", title), *parts)


def facts(values: Mapping[str, str]) -> Html:
    """Names and values, a line each."""
    rows = (tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in values.items())
    return tag("div", tag("table", tag("tbody", *rows), class_="facts"), class_="wide")


def table(frame: pd.DataFrame, columns: Mapping[str, str], caption: str = "") -> Html:
    """A table of the columns, by name and label. Names that begin with share_, or end in _share, are shares; whole
    numbers are counts. A long table is cut, and says so."""
    shown = frame.head(_MOST_ROWS)
    texts = {name: [_cell_text(name, value) for value in shown[name].tolist()] for name in columns}
    aligned = {name: "number" if pd.api.types.is_numeric_dtype(frame[name]) else "text" for name in columns}
    head = tag("tr", *(tag("th", columns[name], scope="col", class_=aligned[name]) for name in columns))
    body = [tag("tr", *(_cell(texts[name][place], aligned[name]) for name in columns)) for place in range(len(shown))]
    left = len(frame) - len(shown)
    notes = [note for note in (caption, f"{left:,} more rows are not shown." if left else "") if note]
    return tag(
        "div",
        tag("table", tag("thead", head), tag("tbody", *body)),
        *(tag("p", note, class_="note") for note in notes),
        class_="wide",
    )


def _cell(text: str, aligned: str) -> Html:
    broken = any(len(word) > _LONGEST_WORD for word in text.split())
    return tag("td", text, class_=f"{aligned} broken" if broken else aligned)


def _cell_text(name: str, value: Any) -> str:
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return MISSING
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_CELL else f"{value[: _LONGEST_CELL - 1]}…"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if name.startswith("share_") or name.endswith("_share"):
        return f"{value:.1%}"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:,.0f}"


def _escaped(text: str) -> str:
    return html.escape(_CONTROL.sub("\ufffd", text))
