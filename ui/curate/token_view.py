"""The token view of one row: scored tokens coloured by loss, and tables of the extreme tokens."""

import math

import pandas as pd
import streamlit as st

from core.data.errors import NothingScored, UserError
from core.scoring.tokens.losses import TokenLosses
from ui.kit.closed_parts import show_when_open
from ui.kit.token_flow import (
    NO_TEXT,
    STYLE,
    TEMPLATE_CAPTION,
    DrawnToken,
    difference_style,
    legend,
    loss_style,
    token_flow,
    token_name,
    unscored_style,
    visible,
)
from ui.kit.widgets import show_error
from ui.plain_text import escaped
from ui.shell.access import may_run
from ui.shell.session import Session, forget, remember, remembered

COLOURINGS = {
    "Difference": "base loss minus reference loss: the gain from fine-tuning on the token",
    "Base": "loss before fine-tuning",
    "Reference": "loss after fine-tuning",
}
TOKENS_A_PAGE = 4_000
LISTED = 10
_AROUND = 16  # characters before and after a listed token
_HINT = "Hover over a token for its losses; click it to pin them."


@st.fragment
def show_token_view(session: Session, run: str, row_number: int, part: str = "") -> None:
    """The row's tokens: immediately if cached or if tokens were shown before in this session, else a button. `part`
    tells two views on one page apart."""
    try:
        losses = _losses(session, run, row_number)
    except NothingScored as error:
        st.info(escaped(str(error)))
        return
    except UserError as error:
        forget("tokens_asked")  # a worker that keeps failing must not slow down every row
        show_error(error)
        _offer("Try again", part)
        return
    if losses is None:
        _offer("Show tokens", part)
        return
    show_losses(losses, f"tokens_{run}_{row_number}", part)


def show_losses(losses: TokenLosses, key: str, part: str = "") -> None:
    """Draw a row's tokens and tables. `key` identifies the row, to remember its page of tokens; `part` as above."""
    for doubt in losses.doubts:
        st.warning(escaped(doubt))
    st.text(summary(losses))
    colouring = st.segmented_control(
        "Colour tokens by",
        list(COLOURINGS),
        default="Difference",
        required=True,
        key=f"token_colouring{part}",
        persist_state="session",
        help="  \n".join(f"{name}: {meaning}." for name, meaning in COLOURINGS.items()),
    )
    page = _page(losses, key)
    st.html(f"{STYLE}{legend('difference' if colouring == 'Difference' else 'loss')}")
    st.html(token_flow(drawn_tokens(losses, str(colouring), page), _HINT))
    if "template" in losses.roles:
        st.caption(TEMPLATE_CAPTION)
    if losses.cut_characters:
        st.caption(
            f"{losses.cut_characters:,} more characters were cut off at the maximum length of "
            f"{len(losses.pieces):,} tokens; they are not part of any loss."
        )
    table = token_table(losses)
    _show_extremes(losses, table, str(colouring))
    label = "All scored tokens" if len(page) == len(losses.pieces) else "All scored tokens on this page"
    show_when_open(label, f"all_tokens{part}", lambda: _show_table(table[table["place"].isin(page)]))


def _losses(session: Session, run: str, row_number: int) -> TokenLosses | None:
    scorer = session.tokens
    found = scorer.cached(run, row_number)
    if found is not None or not remembered("tokens_asked", False):
        return found
    waiting = "Computing token losses..." if scorer.process_id else "Loading both models and computing token losses..."
    with st.spinner(waiting):
        return scorer.token_losses(run, row_number)


def _offer(label: str, part: str) -> None:
    st.button(
        label,
        key=f"show_tokens{part}",
        on_click=remember,
        args=("tokens_asked", True),
        disabled=not may_run(),
        help="Runs both models on this row to show which tokens were learned. The first time takes a few seconds to "
        "load the models; rows opened later show their tokens automatically.",
    )


def summary(losses: TokenLosses) -> str:
    """A short text: scored tokens, mean losses, and how concentrated the gain is."""
    count = sum(losses.scored)
    text = f"{count:,} of {len(losses.pieces):,} tokens are scored"
    base, reference = losses.nll_sum("base"), losses.nll_sum("reference")
    if base is None or reference is None:
        return f"{text}. Some losses are not finite (dotted outline)."
    text += f": base {base / count:.4f}, reference {reference / count:.4f} nats per token."
    found = [value for value in losses.differences if value is not None]
    fell, rose = sorted((value for value in found if value > 0), reverse=True), sum(value < 0 for value in found)
    text += f" The loss fell on {len(fell):,} and rose on {rose:,}."
    if len(fell) > LISTED:
        share = math.fsum(fell[:LISTED]) / math.fsum(fell)
        text += f" The {LISTED} largest decreases are {share:.0%} of the total decrease."
    return text


def drawn_tokens(losses: TokenLosses, colouring: str, page: range) -> list[DrawnToken]:
    """The page's tokens as `ui.kit.token_flow` draws them, coloured by one of `COLOURINGS`."""
    values = {"Base": losses.base, "Reference": losses.reference, "Difference": losses.differences}[colouring]
    style = difference_style if colouring == "Difference" else loss_style
    return [
        DrawnToken(losses.pieces[place], style(values[place]), _hover_text(losses, place))
        if losses.scored[place]
        else DrawnToken(losses.pieces[place], unscored_style(losses.roles[place] if losses.roles else ""))
        for place in page
    ]


def _hover_text(losses: TokenLosses, place: int) -> str:
    named = zip(
        ("base", "reference", "difference"),
        (losses.base[place], losses.reference[place], losses.differences[place]),
        ("{:.4f}", "{:.4f}", "{:+.4f}"),
        strict=True,
    )
    values = ", ".join(
        f"{name} {'not finite' if value is None else form.format(value)}" for name, value, form in named
    )  # fmt: skip
    return f"token {place + 1:,}: {values} nats"


def _page(losses: TokenLosses, key: str) -> range:
    """The positions of the tokens to draw: all, or one page; first the page with the first scored token."""
    count = len(losses.pieces)
    if count <= TOKENS_A_PAGE:
        return range(count)
    first = losses.scored.index(True) // TOKENS_A_PAGE + 1
    page = st.pagination(math.ceil(count / TOKENS_A_PAGE), default=first, key=key)
    shown = range((page - 1) * TOKENS_A_PAGE, min(page * TOKENS_A_PAGE, count))
    st.caption(f"Tokens {shown.start + 1:,} to {shown.stop:,} of {count:,}.")
    return shown


def token_table(losses: TokenLosses) -> pd.DataFrame:
    """The scored tokens in order. Columns: place (from 0), token, base, reference and difference [nats]."""
    columns = ("base", "reference", "difference")
    rows = [
        (place, token_name(losses.pieces[place]), *values)
        for place, (scored, *values) in enumerate(
            zip(losses.scored, losses.base, losses.reference, losses.differences, strict=True)
        )
        if scored
    ]
    return pd.DataFrame(rows, columns=["place", "token", *columns]).astype(dict.fromkeys(columns, float))


def _context(pieces: tuple[str, ...], place: int) -> str:
    before = visible("".join(pieces[max(0, place - _AROUND) : place])[-_AROUND:])
    after = visible("".join(pieces[place + 1 : place + 1 + _AROUND])[:_AROUND])
    return f"{before}[{visible(pieces[place]) or NO_TEXT}]{after}".replace("\n", "").replace("\t", "")


def _show_extremes(losses: TokenLosses, table: pd.DataFrame, colouring: str) -> None:
    column = colouring.lower()
    titles = (
        ("Largest decrease in loss", "Largest increase (or smallest decrease) in loss")
        if colouring == "Difference"
        else (f"Highest {column} loss", f"Lowest {column} loss")
    )
    ordered = table.dropna(subset=column).sort_values(column, ascending=False, kind="stable")
    for place, title, rows in zip(
        st.columns(2), titles, (ordered.head(LISTED), ordered[::-1].head(LISTED)), strict=True
    ):
        with place:
            st.markdown(f"##### {title}")
            contexts = [_context(losses.pieces, number) for number in rows["place"]]
            _show_table(rows.assign(context=contexts)[["place", "context", "base", "reference", "difference"]])


def _show_table(table: pd.DataFrame) -> None:
    number = {name: st.column_config.NumberColumn(name.capitalize(), format="%.4f") for name in ("base", "reference")}
    st.dataframe(
        table.assign(place=table["place"] + 1),
        hide_index=True,
        column_config={
            "place": st.column_config.NumberColumn("Token", format="localized", width="small"),
            "token": "Text",
            "context": st.column_config.TextColumn("Context", width="medium"),
            "difference": st.column_config.NumberColumn("Difference", format="%+.4f"),
            **number,
        },
    )
