"""The report's HTML document: style, plotly.js and the script that draws the figures. It asks no host for anything."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from plotly.offline import get_plotlyjs

from ui.report.figures import themes
from ui.report.markup import Html, markup, tag

_STYLE = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
_DRAW = Path(__file__).with_name("draw.js").read_text(encoding="utf-8")


def document(title: str, sections: Sequence[Html]) -> str:
    """The whole document.

    Its policy runs two scripts, known by their hashes, and loads nothing: what data might smuggle in stays dead.
    """
    scripts = (get_plotlyjs(), _DRAW)
    allowed = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    head = markup(
        Html('<meta charset="utf-8">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'),
        Html('<link rel="icon" href="data:,">'),
        tag("title", title),
        Html(f"<style>{_STYLE}</style>"),
    )
    body = markup(
        tag("main", *sections), themes(), *(Html(f"<script>{script}</script>") for script in scripts)
    )  # fmt: skip
    return f'<!doctype html>\n<html lang="en">\n<head>{head.text}</head>\n<body>{body.text}</body>\n</html>\n'


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
