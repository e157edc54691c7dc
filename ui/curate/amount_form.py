"""The amount controls: one amount for all domains with optional own amounts, or a total with domain weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.data.listing import listed
from core.evidence.learning_left import DomainLearning
from core.exploring.rank_changes import PAPER_SHARES
from core.selection import Amount, Selection
from core.selection.budgets import POOL, budgets
from ui.curate.mixture_form import mixture_form, put_weights
from ui.curate.shown_domains import domain_list, shown_domains
from ui.plain_text import escaped

PRESETS = tuple(round(100 * share, 1) for share in PAPER_SHARES)
"""Shares [per cent] that the paper reports: starting points, not recommendations."""
UNITS = {"ratio": "Share of rows", "rows": "Rows", "tokens": "Scored tokens"}
BUDGET_KINDS = {"share": "Share of each domain", "mixture": "Total by weights"}
_FIELD_WIDTH = 104  # pixels
_DECIMALS = 12
"""Of a share: enough for a cut-off between two of a billion rows, too few for the errors of 100 times a float."""
_PERSIST: Any = {"persist_state": "session"}
_OWN = "recipe_own"
_DRAWN = "recipe_drawn_"
_FIELDS, _SHOWN, _DRAWN_RECIPE = "recipe_fields", "recipe_shown_amount", "recipe_drawn"


@dataclass(frozen=True, slots=True)
class Readout:
    """A place next to a control for the resulting counts; `before` is text shown in front of them."""

    place: DeltaGenerator
    before: str = ""


def amount_form(
    plain: Selection, totals: Mapping[str, tuple[int, int]], learning: Callable[[], Sequence[DomainLearning]]
) -> tuple[Selection, dict[str, Readout]]:
    """Draw the controls; returns the recipe with their amounts, and a readout for each domain and for all domains
    together (under `POOL`). `totals`: (rows, tokens) of every domain that passes the filters; `learning`: what is left
    to learn in each domain, for weights.

    Raises `SelectionInvalid` for an invalid amount, after everything is drawn.
    """
    selection, readouts = _draw_amounts(plain, totals, learning)
    st.session_state[_DRAWN_RECIPE] = selection
    return selection, readouts


def moved_recipe(run: str) -> Selection | None:
    """The recipe that was drawn last for this run, with the amounts that its controls were just moved to; None if they
    were not moved. Known before anything is drawn, so that its counts can be shown first."""
    drawn: Selection | None = st.session_state.get(_DRAWN_RECIPE)
    if drawn is None or drawn.run != run:
        return None
    kind = st.session_state["recipe_unit"]
    amount = _from_slider(kind, st.session_state[_amount_key(kind)])
    own = {} if drawn.weights or drawn.scope == "pooled" else st.session_state.get(_OWN, {})
    moved = replace(drawn, amount=amount, domain_amounts=own)
    return None if moved == drawn else moved


def _draw_amounts(
    plain: Selection, totals: Mapping[str, tuple[int, int]], learning: Callable[[], Sequence[DomainLearning]]
) -> tuple[Selection, dict[str, Readout]]:
    budget_kind = _budget_kind() if plain.scope == "domain" else "share"
    amount, readout = _amount_for_all(totals, budget_kind, plain.scope)
    chosen, readouts = replace(plain, amount=amount), {POOL: readout}
    if plain.scope == "pooled":
        st.caption("All rows are ranked together, so there are no amounts by domain.")
        return chosen, readouts
    if budget_kind == "mixture":
        sizes = {domain: total[amount.kind == "tokens"] for domain, total in totals.items()}
        weights, places = mixture_form(sizes, learning)
        return replace(chosen, weights=weights), readouts | {
            domain: Readout(place, before) for domain, (place, before) in places.items()
        }
    own, places_of_own = _domain_sliders(chosen, totals)
    return replace(chosen, domain_amounts=own), readouts | places_of_own


def put_amounts(selection: Selection) -> None:
    """Set the controls to a recipe's amounts. Call before they are drawn."""
    state = st.session_state
    state.pop(_DRAWN_RECIPE, None)
    state["recipe_way"] = "mixture" if selection.weights else "share"
    state["recipe_unit"] = selection.amount.kind
    state[_amount_key(selection.amount.kind)] = _on_slider(selection.amount)
    state[_OWN] = dict(selection.domain_amounts)
    put_weights(selection.weights)


def put_amount(domain: str | None, amount: Amount) -> None:
    """Set a domain's own amount, or the one amount of all domains (None). Call before the controls are drawn."""
    if domain is None:
        st.session_state[_amount_key(amount.kind)] = _on_slider(amount)
    else:
        st.session_state[_OWN] = st.session_state.get(_OWN, {}) | {domain: amount}


def _budget_kind() -> str:
    st.session_state.setdefault("recipe_way", "share")
    chosen = st.segmented_control(
        "Budget", list(BUDGET_KINDS), format_func=BUDGET_KINDS.__getitem__, key="recipe_way", required=True,
        help="Share of each domain: the same share of every domain, such as 6 % of its rows. Total by weights: "
        "one total, divided among the domains by weights.", **_PERSIST,
    )  # fmt: skip
    return str(chosen)


def _amount_for_all(totals: Mapping[str, tuple[int, int]], budget_kind: str, scope: str) -> tuple[Amount, Readout]:
    """The unit, the slider for all domains and the presets."""
    st.session_state.setdefault("recipe_unit", "ratio")
    of_all = budget_kind == "mixture" or scope == "pooled"
    units = {**UNITS, "ratio": "Share of all rows" if of_all else UNITS["ratio"]}
    unit = st.segmented_control(
        "Unit", list(units), format_func=units.__getitem__, key="recipe_unit", required=True, on_change=_change_unit,
        help="Rows are examples. Scored tokens are the response tokens, which training learns from. Training also "
        "reads the prompts, which are not counted here. The amount stays the same share of the data when the unit "
        "changes.",
        **_PERSIST,
    )  # fmt: skip
    kind = str(unit)
    whole = {"rows": sum(rows for rows, _ in totals.values()), "tokens": sum(tokens for _, tokens in totals.values())}
    key = _amount_key(kind)
    st.session_state.setdefault(key, 6.0 if kind == "ratio" else round(0.06 * whole[kind]))
    meaning = "A total, divided among the domains in proportion to their size."
    if of_all:
        meaning = "The total to select."
    elif kind == "ratio":
        meaning = "The share of rows to select from every domain, except domains whose own slider below was moved."
    label = f"Total ({'share of rows' if kind == 'ratio' else units[kind].lower()})"
    if not of_all:
        label = f"All domains ({units[kind].lower()})"
    with st.container(gap=None):
        amount = _amount_controls(label, kind, key, whole.get(kind, 0), meaning)
        readout = Readout(st.empty())
    st.session_state[_SHOWN] = (amount, whole)
    if kind == "ratio":
        with st.container(horizontal=True, gap="small"):
            for preset in PRESETS:
                st.button(
                    f"{preset:g} %", key=f"recipe_preset_{preset:g}", on_click=_use_preset, args=(preset,),
                    help="A share reported in the paper: a starting point, not a guarantee for other data or models.",
                )  # fmt: skip
    return amount, readout


def _domain_sliders(
    chosen: Selection, totals: Mapping[str, tuple[int, int]]
) -> tuple[dict[str, Amount], dict[str, Readout]]:
    """A slider for each shown domain; returns all domains' own amounts and the places for the readouts."""
    own: dict[str, Amount] = st.session_state.setdefault(_OWN, {})
    parts = budgets(chosen, totals)
    sizes = {domain: rows for domain, (rows, _) in totals.items()}
    rest = "Domains without an amount of their own follow the amount above."
    readouts: dict[str, Readout] = {}
    shown = shown_domains(sizes, own, "recipe_shown", rest)
    with domain_list(len(shown)):
        for domain in shown:
            kind = chosen.amount.kind
            follows = chosen.amount if kind == "ratio" else Amount(kind, parts[domain].wanted)
            amount = own.get(domain, follows)
            # Another key for each value that it follows: what the browser sends before it knows of the new value is
            # then not of this slider, and not taken for a move of it.
            key = f"recipe_domain_{amount.kind}_{_on_slider(follows):g}_{domain}"
            st.session_state[key] = _on_slider(amount)
            st.session_state[f"{_DRAWN}{domain}"] = key
            most = dict(zip(UNITS, (0, *totals[domain]), strict=True))[amount.kind]
            with st.container(gap=None):
                _amount_controls(
                    escaped(domain), amount.kind, key, most, "Follows the amount above until you move this one.",
                    domain, _own_amount(domain, amount.kind, key),
                )  # fmt: skip
                readouts[domain] = Readout(st.empty())
    elsewhere = [domain for domain in own if domain not in totals]
    if elsewhere:
        st.text(f"Amounts ignored, because these domains are not in the data: {listed(elsewhere)}.")
    if own:
        st.button(
            "Reset domain amounts", key="recipe_follow", on_click=_follow_all,
            help="All domains follow the slider above again.",
        )  # fmt: skip
    return {domain: own[domain] for domain in totals if domain in own}, readouts


def _amount_controls(
    label: str,
    kind: str,
    key: str,
    most: int,
    meaning: str,
    domain: str | None = None,
    on_change: Callable[[], None] | None = None,
) -> Amount:
    """A slider, and beside it a field to type the amount; of a domain, or of all (None)."""
    # Either rejects a value outside its range, which can come from a loaded recipe or another run.
    reach: dict[str, Any] = {"min_value": 0.0, "max_value": 100.0, "step": 0.1}
    formats = ("%.1f %%", "%.4g")
    if kind != "ratio":
        reach = {"min_value": 0, "max_value": max(most, int(st.session_state[key]), 1), "step": 1}
        formats = ("localized", "%d")
    kept = {} if on_change else _PERSIST  # a domain's amount is in `_OWN`
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        chosen = st.slider(
            label, key=key, on_change=on_change or "rerun", help=meaning, format=formats[0], **reach, **kept
        )
        number, typed = _field_beside(domain, kind, chosen)
        st.number_input(
            f"{label}: number", key=number, on_change=typed, label_visibility="collapsed", format=formats[1],
            help="The slider's value, to type.", width=_FIELD_WIDTH, **reach,
        )  # fmt: skip
    return _from_slider(kind, chosen)


def _field_beside(domain: str | None, kind: str, value: float) -> tuple[str, Callable[[], None]]:
    """The key of the field beside a slider, set to its value, and the callback of a number typed there.

    Another key whenever the slider was moved: the number that the browser sends before it knows of the move is then
    not of this field, and not taken for typed.
    """
    fields: dict[str, tuple[float, int]] = st.session_state.setdefault(_FIELDS, {})
    name = f"{kind}_all" if domain is None else f"{kind}_of_{domain}"
    before, turn = fields.get(name, (value, 0))
    turn += before != value
    fields[name] = (value, turn)
    key = f"recipe_number_{turn}_{name}"
    st.session_state[key] = value

    def typed() -> None:
        if fields.get(name, (value, -1))[1] == turn:
            fields[name] = (st.session_state[key], turn)
            put_amount(domain, _from_slider(kind, st.session_state[key]))

    return key, typed


def _amount_key(kind: str) -> str:
    return f"recipe_all_{kind}"


def _on_slider(amount: Amount) -> float | int:
    return round(amount.value * 100, _DECIMALS - 2) if amount.kind == "ratio" else int(amount.value)


def _from_slider(kind: str, value: float) -> Amount:
    return Amount("ratio", round(value / 100, _DECIMALS)) if kind == "ratio" else Amount(kind, int(value))


def _own_amount(domain: str, kind: str, key: str) -> Callable[[], None]:
    def keep() -> None:
        if st.session_state.get(f"{_DRAWN}{domain}") == key:
            put_amount(domain, _from_slider(kind, st.session_state[key]))

    return keep


def _change_unit() -> None:
    """Callback: the same amount in the new unit."""
    _follow_all()
    kind = st.session_state["recipe_unit"]
    if shown := st.session_state.get(_SHOWN):
        amount, whole = shown
        share = amount.value if amount.kind == "ratio" else amount.value / max(whole[amount.kind], 1)
        value = min(round(share, 3), 1.0) if kind == "ratio" else round(share * whole[kind])
        put_amount(None, Amount(kind, value))


def _follow_all() -> None:
    st.session_state[_OWN] = {}


def _use_preset(per_cent: float) -> None:
    put_amount(None, _from_slider("ratio", per_cent))
