"""The recipe form: the controls from which a `Selection` is read, and a saved one put back into them.

A domain's slider follows the one for all until it is moved; from then on its figure is its own.
"""

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.filters import EVERYTHING, Range, RowFilter
from core.scores import FLAGS, SCORES
from core.selection.budgets import budgets
from core.selection.recipe import ORDERS, SCOPES, Amount, Selection
from core.text_search import TextSearch
from ui.widgets import escaped

PRESETS = (1.5, 6.0, 16.7)
"""Shares [per cent] that the paper reports: where to start looking, never a guarantee."""
UNITS = {"ratio": "Share of rows", "rows": "Rows", "tokens": "Tokens"}
_SHORT_LIST = 8  # more domains than this scroll in a box of their own
_KEEP: Any = {"persist_state": "session"}
_OWN, _CARRIED = "recipe_own", "recipe_carried"


def recipe_form(run: str, totals: Mapping[str, tuple[int, int]]) -> tuple[Selection, dict[str, DeltaGenerator]]:
    """Draw the controls; returns the recipe they say, and a place beside each domain's slider for its readout.

    `totals` holds (rows, tokens) of every domain. Raises `SelectionInvalid` for what cannot be asked.
    """
    score, order, scope, seed = _ranking()
    row_filter, collapse = _filters(score)
    st.markdown("#### How much")
    amount = _amount_for_all(totals)
    plain = Selection(run, score, order, scope, amount, {}, collapse, row_filter, seed)
    if scope == "pooled":
        return plain, {}
    own, readouts = _domain_sliders(plain, totals)
    return Selection(run, score, order, scope, amount, own, collapse, row_filter, seed), readouts


def put_into_form(selection: Selection) -> None:
    """Set the controls to a recipe; to be called before they are drawn, so in a button's callback."""
    state = st.session_state
    state["run_picker"] = st.query_params["run"] = selection.run
    for key, value in {
        "recipe_score": selection.score,
        "recipe_order": selection.order,
        "recipe_scope": selection.scope,
        "recipe_seed": selection.seed,
        "recipe_collapse": selection.collapse_duplicates,
        "recipe_unit": selection.amount.kind,
        _amount_key(selection.amount.kind): _on_slider(selection.amount),
        _OWN: {domain: amount.kind for domain, amount in selection.domain_amounts.items()},
    }.items():
        state[key] = value
    for domain, amount in selection.domain_amounts.items():
        state[_amount_key(amount.kind, domain)] = _on_slider(amount)
    _put_filter(selection.filter, selection.score)


def _ranking() -> tuple[str, str, str, int]:
    """Score, order, scope and seed."""
    columns = st.columns([3, 3, 3, 2])
    score = columns[0].selectbox(
        "Rank by", list(SCORES), format_func=lambda name: SCORES[name].label, key="recipe_score", **_KEEP
    )
    order = columns[1].selectbox(
        "Order", list(ORDERS), format_func=lambda name: ORDERS[name].label, key="recipe_order", **_KEEP
    )
    scope = columns[2].selectbox(
        "Ranked", list(SCOPES), format_func={"domain": "Within each domain", "pooled": "All together"}.__getitem__,
        key="recipe_scope", **_KEEP,
    )  # fmt: skip
    st.session_state.setdefault("recipe_seed", 0)
    seed = st.session_state["recipe_seed"]
    if order == "random":
        seed = columns[3].number_input("Seed", step=1, key="recipe_seed", **_KEEP)
    chosen = SCORES[score]
    st.caption(
        f"{chosen.label}, high: {chosen.higher_means}. {ORDERS[order].label}: {ORDERS[order].help}. "
        f"{'Ranked within each domain' if scope == 'domain' else 'Ranked all together'}: {SCOPES[scope]}."
    )
    return str(score), str(order), str(scope), int(seed)


def _filters(score: str) -> tuple[RowFilter, bool]:
    """Which rows may be kept at all, and whether equal conversations are kept once."""
    anything: Any = {"value": None, "placeholder": "Any", **_KEEP}
    label = SCORES[score].label
    lowest, highest, shortest, longest, words = st.columns([2, 2, 2, 2, 3])
    low = lowest.number_input(f"{label} from", key="recipe_low", **anything)
    high = highest.number_input(f"{label} to", key="recipe_high", **anything)
    short = shortest.number_input("Tokens from", step=1, min_value=0, key="recipe_short", **anything)
    long = longest.number_input("Tokens to", step=1, min_value=0, key="recipe_long", **anything)
    text = words.text_input("Text in prompt or response", key="recipe_text", placeholder="Any", **_KEEP)
    flags, twins = st.columns([3, 2], vertical_alignment="bottom")
    meanings = "  \n".join(f"`{flag}`: {meaning}" for flag, meaning in FLAGS.items())
    without = flags.multiselect(
        "Leave out rows flagged", list(FLAGS), key="recipe_without", placeholder="None", help=meanings, **_KEEP
    )
    st.session_state.setdefault("recipe_collapse", True)
    collapse = twins.checkbox(
        "Collapse exact duplicates",
        key="recipe_collapse",
        help="Of equal conversations only the first that passes the filters may be kept, so none is trained on twice.",
        **_KEEP,
    )
    bounds = ((score, low, high), ("token_count", short, long))
    ranges = [Range(*each) for each in bounds if each[1] is not None or each[2] is not None]
    return _with_carried(RowFilter((), tuple(ranges), tuple(without), (), TextSearch(text or ""))), bool(collapse)


def _with_carried(row_filter: RowFilter) -> RowFilter:
    """The filter with what a loaded recipe had beyond these controls, which is shown and can be dropped."""
    carried: RowFilter = st.session_state.get(_CARRIED, EVERYTHING)
    if carried == EVERYTHING:
        return row_filter
    reasons = ", ".join(reason.removeprefix("filtered: ") for reason, _ in carried.conditions())
    st.text(f"The loaded recipe also filters by: {reasons}.")
    st.button("Drop these filters", on_click=st.session_state.pop, args=(_CARRIED, None))
    return RowFilter(
        carried.domains,
        (*row_filter.ranges, *carried.ranges),
        row_filter.without_flags,
        carried.with_flags,
        row_filter.search,
    )


def _amount_for_all(totals: Mapping[str, tuple[int, int]]) -> Amount:
    """The unit, the slider for all and the presets."""
    st.session_state.setdefault("recipe_unit", "ratio")
    unit = st.segmented_control(
        "Unit", list(UNITS), format_func=UNITS.__getitem__, key="recipe_unit", required=True,
        on_change=_follow_all, **_KEEP,
    )  # fmt: skip
    kind = str(unit or "ratio")
    rows = sum(rows for rows, _ in totals.values())
    tokens = sum(tokens for _, tokens in totals.values())
    most = {"ratio": 0, "rows": rows, "tokens": tokens}[kind]
    starts = {"ratio": 6.0, "rows": round(0.06 * rows), "tokens": round(0.06 * tokens)}
    st.session_state.setdefault(_amount_key(kind), starts[kind])
    slider, presets = st.columns([3, 2], vertical_alignment="bottom")
    with slider:
        amount = _amount_slider("All domains", kind, _amount_key(kind), most)
    if kind == "ratio":
        with presets.container(horizontal=True):
            for preset in PRESETS:
                st.button(f"{preset:g} %", key=f"recipe_preset_{preset:g}", on_click=_use_preset, args=(preset,))
        presets.caption("Shares the paper reports: values to start from, not a guarantee for other data or models.")
    return amount


def _domain_sliders(
    plain: Selection, totals: Mapping[str, tuple[int, int]]
) -> tuple[dict[str, Amount], dict[str, DeltaGenerator]]:
    """A slider for each domain; returns the amounts that are a domain's own, and the places for the readouts."""
    own: dict[str, str] = st.session_state.setdefault(_OWN, {})
    parts = budgets(plain, totals)
    amounts: dict[str, Amount] = {}
    readouts: dict[str, DeltaGenerator] = {}
    with st.container(height=480 if len(totals) > _SHORT_LIST else "content", border=False):
        for domain, (rows, tokens) in totals.items():
            kind = own.get(domain, plain.amount.kind)
            key = _amount_key(kind, domain)
            if domain not in own:
                follow = plain.amount if kind == "ratio" else Amount(kind, parts[domain].wanted)
                st.session_state[key] = _on_slider(follow)
            slider, beside = st.columns([3, 2], vertical_alignment="bottom")
            most = {"ratio": 0, "rows": rows, "tokens": tokens}[kind]
            with slider:
                amount = _amount_slider(escaped(domain), kind, key, most, _own_amount(domain, kind))
            readouts[domain] = beside.empty()
            if domain in own:
                amounts[domain] = amount
    elsewhere = [domain for domain in own if domain not in totals]
    if elsewhere:
        st.text(f"Not in this run, so left aside: amounts for {', '.join(elsewhere)}.")
    if own:
        st.button("Let every domain follow the slider for all", key="recipe_follow", on_click=_follow_all)
    return amounts, readouts


def _amount_slider(label: str, kind: str, key: str, most: int, on_change: Callable[[], None] | None = None) -> Amount:
    # A slider refuses a value beyond its end, which a loaded recipe or another run's may be.
    reach: dict[str, Any] = {"min_value": 0.0, "max_value": 100.0, "step": 0.1, "format": "%.1f %%"}
    if kind != "ratio":
        reach = {
            "min_value": 0,
            "max_value": max(most, int(st.session_state[key]), 1),
            "step": 1,
            "format": "localized",
        }
    value = st.slider(f"{label} ({UNITS[kind].lower()})", key=key, on_change=on_change or "rerun", **reach, **_KEEP)
    return Amount("ratio", round(value / 100, 6)) if kind == "ratio" else Amount(kind, int(value))


def _amount_key(kind: str, domain: str | None = None) -> str:
    return f"recipe_all_{kind}" if domain is None else f"recipe_domain_{kind}_{domain}"


def _on_slider(amount: Amount) -> float | int:
    return round(amount.value * 100, 4) if amount.kind == "ratio" else int(amount.value)


def _own_amount(domain: str, kind: str) -> Callable[[], None]:
    def keep() -> None:
        st.session_state[_OWN] = st.session_state.get(_OWN, {}) | {domain: kind}

    return keep


def _follow_all() -> None:
    st.session_state[_OWN] = {}


def _use_preset(per_cent: float) -> None:
    st.session_state[_amount_key("ratio")] = per_cent


def _put_filter(row_filter: RowFilter, score: str) -> None:
    shown = {bounds.column: bounds for bounds in row_filter.ranges}
    of_score, of_length = shown.pop(score, Range(score)), shown.pop("token_count", Range("token_count"))
    st.session_state["recipe_low"], st.session_state["recipe_high"] = of_score.low, of_score.high
    for key, tokens in (("recipe_short", of_length.low), ("recipe_long", of_length.high)):
        st.session_state[key] = None if tokens is None else int(tokens)
    st.session_state["recipe_without"] = list(row_filter.without_flags)
    st.session_state["recipe_text"] = row_filter.search.query
    st.session_state[_CARRIED] = RowFilter(row_filter.domains, tuple(shown.values()), (), row_filter.with_flags)
