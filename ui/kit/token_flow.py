"""Tokens as a flow of text in HTML, coloured and pointed at; every character of it is escaped or shown by a sign.

Imports no Streamlit. Nothing here can fetch anything: text goes through `html.escape`, attributes and classes are ours.
"""

import html
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LEVELS = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Where a colour gets stronger [nats]: the same in every row, so that rows can be compared. Below the first: none."""

_SCALES = {"loss": ("204, 121, 167", 0.65), "fell": ("0, 114, 178", 0.62), "rose": ("213, 94, 0", 0.62)}
"""Red, green, blue and the strongest opacity: of Okabe and Ito's colours, laid so thinly over either theme that
its text keeps a contrast of 4.5 to 1."""

NO_TEXT = "\u00b7"
"""What stands for a token that has no text of its own, because it shares a character with the one before."""

TEMPLATE_CAPTION = "Text underlined with dots is written by the template and not scored."

_PIECE_LIMIT = 300  # characters of one token that are drawn
_ISOLATE, _END_ISOLATE = "\u2068", "\u2069"
_NAME_LIMIT = 40  # characters of it where it is named beside its losses
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Letters and marks that draw nothing; control, format and separator characters are known by their category."""


@dataclass(frozen=True, slots=True)
class DrawnToken:
    """A token's text, its style (a CSS class of `STYLE`) and what is said of it when it is pointed at."""

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
    """Style of a token that is not scored, by whose turn it is; "template" is what the template adds."""
    return "template" if role == "template" else "context"


def token_flow(tokens: Iterable[DrawnToken], hint: str = "") -> str:
    """HTML of tokens in a box that scrolls. With a `hint`, a line above it shows that, and the token pointed at."""
    spans = "".join(_span(token) for token in tokens)
    line = f'<div class="lobass-hint">{html.escape(hint)}</div>' if hint else ""
    return f'<div class="lobass-flow">{line}<div class="lobass-tokens" tabindex="0">{spans}</div></div>'


def legend(style: str) -> str:
    """HTML of the scale of `loss` or `difference`, with its numbers [nats]."""
    numbers = [*(f"{value:g}" for value in LEVELS[:-1]), f"{LEVELS[-1]:g} and beyond"]
    up = list(enumerate(numbers, 1))
    if style == "loss":
        swatches = [("loss-0", f"below {numbers[0]}"), *((f"loss-{level}", text) for level, text in up)]
        return _legend("Loss of the token, nats:", swatches)
    rose = [(f"rose-{level}", f"\u2212{text}") for level, text in reversed(up)]
    fell = [(f"fell-{level}", f"+{text}") for level, text in up]
    middle = ("fell-0", f"within \u00b1{numbers[0]}")
    return _legend("Base minus reference, nats (blue fell, orange rose):", [*rose, middle, *fell])


def token_name(piece: str) -> str:
    """A token's text in one line of plain text, shortened."""
    if not piece:
        return "(rest of the character before)"
    name = visible(piece).replace("\n", "").replace("\t", "")
    return name if len(name) <= _NAME_LIMIT else f"{name[:_NAME_LIMIT]}\u2026"


def visible(text: str) -> str:
    """Text with a sign for every character that would not be seen, or would rearrange others: tokens are made of such
    too. A line break or tab keeps its effect after its sign."""
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
    said = ""
    if token.hover:
        # Isolates: a token of Arabic or Hebrew must not turn the numbers behind it around.
        said = f"{_ISOLATE}{token_name(token.text)}{_END_ISOLATE}   {token.hover}"
        said = f' tabindex="-1" data-said="{html.escape(said)}"'
    return f'<span class="{html.escape(token.style)}"{said}>{html.escape(text)}</span>'


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
    ".lobass-tokens span[data-said]:is(:hover, :focus) { outline: 2px solid currentColor; outline-offset: -1px; } "
    # The line above the box says what the pointed-at token is: a label beside the token would cover its neighbours
    # and be cut off at the box's edge.
    ".lobass-hint { min-height: 1.6rem; opacity: 0.7; font-size: 0.85rem; } "
    ".lobass-flow:has(span[data-said]:is(:hover, :focus)) .lobass-hint { visibility: hidden; } "
    ".lobass-tokens:has(span:hover) span:focus:not(:hover)::after { display: none; } "
    ".lobass-tokens span[data-said]:is(:hover, :focus)::after { content: attr(data-said); position: absolute; top: 0; "
    "left: 0; max-width: 100%; overflow: hidden; white-space: pre; text-overflow: ellipsis; direction: ltr; "
    "font-size: 0.85rem; line-height: 1.6rem; pointer-events: none; } "
    ".lobass-legend { display: flex; flex-wrap: wrap; align-items: center; gap: 2px; font-size: 0.8rem; } "
    ".lobass-legend span { padding: 0 0.4rem; border-radius: 3px; "
    "box-shadow: inset 0 0 0 1px rgba(128, 128, 128, 0.4); } "
    f"{_colours()}"
    "</style>"
)
