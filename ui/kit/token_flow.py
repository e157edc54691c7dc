"""Tokens as HTML text, coloured and with hover labels. Every character is escaped or replaced by a visible symbol.

Imports no Streamlit. The HTML cannot fetch anything: text goes through `html.escape`, attributes and classes are fixed.
"""

import html
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LEVELS = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Thresholds of the colour scale [nats], the same for every row so that rows can be compared. Below the first: no
colour."""

_SCALES = {"loss": ("204, 121, 167", 0.65), "fell": ("0, 114, 178", 0.62), "rose": ("213, 94, 0", 0.62)}
"""RGB (Okabe and Ito's colours) and highest opacity, chosen so that text keeps a contrast of 4.5:1 in both themes."""

NO_TEXT = "\u00b7"
"""Shown for a token without text of its own, because it shares a character with the token before."""

TEMPLATE_CAPTION = "Text with a dotted underline comes from the template and is not scored."

_PIECE_LIMIT = 300  # characters of one token that are drawn
_ISOLATE, _END_ISOLATE = "\u2068", "\u2069"
_NAME_LIMIT = 40  # characters of a token in labels and tables
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Invisible letters and marks; control, format and separator characters are recognised by their category."""


@dataclass(frozen=True, slots=True)
class DrawnToken:
    """A token's text, its style (a CSS class of `STYLE`) and its hover label."""

    text: str
    style: str
    hover: str = ""


def loss_style(nats: float | None) -> str:
    """Style of a scored token by its loss [nats]."""
    return "odd" if nats is None else f"loss-{_level(nats)}"


def difference_style(nats: float | None) -> str:
    """Style of a scored token by base minus reference loss [nats]: blue where it fell, orange where it rose."""
    return "odd" if nats is None else f"{'fell' if nats >= 0 else 'rose'}-{_level(abs(nats))}"


def unscored_style(role: str) -> str:
    """Style of a token that is not scored, by its role; "template" means text added by the template."""
    return "template" if role == "template" else "context"


def token_flow(tokens: Iterable[DrawnToken], hint: str = "") -> str:
    """HTML of tokens in a scrolling box. With a `hint`, a line above shows it, or the label of the hovered token."""
    spans = "".join(_span(token) for token in tokens)
    line = f'<div class="lobass-hint">{html.escape(hint)}</div>' if hint else ""
    return f'<div class="lobass-flow">{line}<div class="lobass-tokens" tabindex="0">{spans}</div></div>'


def legend(style: str) -> str:
    """HTML of the colour scale for `loss` or `difference` [nats]."""
    numbers = [*(f"{value:g}" for value in LEVELS[:-1]), f"{LEVELS[-1]:g} or more"]
    up = list(enumerate(numbers, 1))
    if style == "loss":
        swatches = [("loss-0", f"below {numbers[0]}"), *((f"loss-{level}", text) for level, text in up)]
        return _legend("Token loss (nats):", swatches)
    rose = [(f"rose-{level}", f"\u2212{text}") for level, text in reversed(up)]
    fell = [(f"fell-{level}", f"+{text}") for level, text in up]
    middle = ("fell-0", f"within \u00b1{numbers[0]}")
    return _legend("Base loss minus reference loss (nats; blue: fell, orange: rose):", [*rose, middle, *fell])


def token_name(piece: str) -> str:
    """A token's text as one line of plain text, shortened."""
    if not piece:
        return "(part of the previous character)"
    name = visible(piece).replace("\n", "").replace("\t", "")
    return name if len(name) <= _NAME_LIMIT else f"{name[:_NAME_LIMIT]}\u2026"


def visible(text: str) -> str:
    """Text with a symbol for every character that is invisible or would reorder others. A line break or tab keeps its
    effect after its symbol."""
    return "".join(map(_sign, text))


def _sign(character: str) -> str:
    code = ord(character)
    if character in "\n\t":
        return {"\n": "\u21b5\n", "\t": "\u21e5\t"}[character]
    hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") or character in _INVISIBLE
    if hidden or 0xFE00 <= code <= 0xFE0F or 0x180B <= code <= 0x180F or 0xE0000 <= code <= 0xE0FFF:
        return f"\u27e8U+{code:04X}\u27e9"
    return character


def _span(token: DrawnToken) -> str:
    text = visible(token.text[:_PIECE_LIMIT]) or NO_TEXT
    if len(token.text) > _PIECE_LIMIT:
        text += f"\u2026 and {len(token.text) - _PIECE_LIMIT:,} more characters"
    label = ""
    if token.hover:
        # Isolates: an Arabic or Hebrew token must not reverse the numbers after it.
        label = f"{_ISOLATE}{token_name(token.text)}{_END_ISOLATE}   {token.hover}"
        label = f' tabindex="-1" data-label="{html.escape(label)}"'
    return f'<span class="{html.escape(token.style)}"{label}>{html.escape(text)}</span>'


def _legend(title: str, swatches: Sequence[tuple[str, str]]) -> str:
    items = "".join(f'<span class="{style}">{html.escape(text)}</span>' for style, text in swatches)
    return f'<div class="lobass-legend">{html.escape(title)} {items}</div>'


def _level(nats: float) -> int:
    return sum(nats >= level for level in LEVELS)


def _colours() -> str:
    rules = []
    for name, (colour, strongest) in _SCALES.items():
        rules += [
            f".{name}-{level} {{ background: rgba({colour}, {strongest * level / len(LEVELS):.3f}); }}"
            for level in range(1, len(LEVELS) + 1)
        ]
    return " ".join(rules)


STYLE = (
    "<style>"
    ".lobass-flow { position: relative; } "
    ".lobass-tokens { white-space: pre-wrap; overflow-wrap: anywhere; max-height: 420px; overflow: auto; "
    "unicode-bidi: plaintext; font-family: monospace; font-size: 0.85rem; line-height: 1.75; padding: 0.4rem 0; } "
    ".lobass-tokens span { border-radius: 3px; padding: 0.1em 0; "
    "box-shadow: inset -1px 0 0 rgba(128, 128, 128, 0.4); } "
    ".lobass-tokens .context { opacity: 0.7; box-shadow: none; } "
    ".lobass-tokens .template { opacity: 0.7; box-shadow: none; text-decoration: underline dotted; } "
    f".lobass-tokens .marked {{ background: rgba({_SCALES['fell'][0]}, 0.25); }} "
    ".lobass-tokens .odd { outline: 2px dotted currentColor; outline-offset: -2px; } "
    ".lobass-tokens span[data-label]:is(:hover, :focus) { outline: 2px solid currentColor; outline-offset: -1px; } "
    # The hover label is on the line above the box: next to the token it would cover its neighbours and be cut off
    # at the edge of the box.
    ".lobass-hint { min-height: 1.6rem; opacity: 0.7; font-size: 0.85rem; } "
    ".lobass-flow:has(span[data-label]:is(:hover, :focus)) .lobass-hint { visibility: hidden; } "
    ".lobass-tokens:has(span:hover) span:focus:not(:hover)::after { display: none; } "
    ".lobass-tokens span[data-label]:is(:hover, :focus)::after { content: attr(data-label); position: absolute; "
    "top: 0; left: 0; max-width: 100%; overflow: hidden; white-space: pre; text-overflow: ellipsis; direction: ltr; "
    "font-size: 0.85rem; line-height: 1.6rem; pointer-events: none; } "
    ".lobass-legend { display: flex; flex-wrap: wrap; align-items: center; gap: 2px; font-size: 0.8rem; } "
    ".lobass-legend span { padding: 0 0.4rem; border-radius: 3px; "
    "box-shadow: inset 0 0 0 1px rgba(128, 128, 128, 0.4); } "
    f"{_colours()}"
    "</style>"
)
