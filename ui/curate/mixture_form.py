"""The domain weights: a number and a lock for each domain, and buttons that change the unlocked weights.

Changing one weight never changes another; only the buttons do.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.data.errors import UserError
from core.data.listing import listed
from core.evidence.learning_left import DomainLearning
from core.selection.mixture import STARTS, WHOLE, normalised, shares, starting_weights, total
from ui.curate.shown_domains import domain_list, shown_domains
from ui.plain_text import escaped

_PERSIST: Any = {"persist_state": "session"}
_WEIGHTS, _GIVEN, _OWN = "recipe_weights", "recipe_weights_given", "recipe_weights_own"
_PROBLEM = "recipe_weights_problem"
_WEIGHT, _LOCK = "recipe_weight_", "recipe_lock_"


def mixture_form(
    sizes: Mapping[str, int], learning: Callable[[], Sequence[DomainLearning]]
) -> tuple[dict[str, float], dict[str, tuple[DeltaGenerator, str]]]:
    """Draw the controls for domains of these sizes (rows or tokens). `learning`: what is left to learn in each, asked
    for by a button; a `UserError` of it is shown. Returns the weights [per cent, or relative if
    they do not add up to 100], and for each domain the place of its readout and the text in front of it."""
    _fill(sizes)
    weights = _weights(sizes)
    above = st.container()
    places: dict[str, DeltaGenerator] = {}
    rest = "Their weights stay as they are, except for the buttons above."
    shown = shown_domains(sizes, st.session_state.get(_OWN, ()), "recipe_weights_shown", rest)
    with domain_list(len(shown)):
        for domain in shown:
            field, lock = st.columns([3, 2], vertical_alignment="bottom", gap="small")
            st.session_state[f"{_WEIGHT}{domain}"] = weights[domain]
            field.number_input(
                f"{escaped(domain)} (%)", min_value=0.0, step=1.0, format="%.4g", key=f"{_WEIGHT}{domain}",
                help="This domain's share of the total. Other weights do not change.",
                on_change=_keep_weight, args=(domain,), **_PERSIST,
            )  # fmt: skip
            lock.checkbox(
                "Lock", key=f"{_LOCK}{domain}", help="The buttons above do not change a locked weight.",
                on_change=_keep_shown, args=(domain,), **_PERSIST,
            )  # fmt: skip
            places[domain] = st.empty()
    with above:
        _buttons(sizes, learning)
        relative = _show_sum(weights)
    effective = shares(weights)
    return weights, {
        domain: (place, f"Effective {effective[domain]:.1f} %. " if relative else "")
        for domain, place in places.items()
    }


def put_weights(weights: Mapping[str, float]) -> None:
    """Set the controls to a recipe's weights, unlocked. Call before they are drawn."""
    for key in [str(key) for key in st.session_state]:
        if key.startswith((_WEIGHT, _LOCK)):
            del st.session_state[key]
    st.session_state[_WEIGHTS], st.session_state[_GIVEN] = {}, dict(weights)
    st.session_state[_OWN] = frozenset(weights)


def _fill(sizes: Mapping[str, int]) -> None:
    """Give every domain without a weight the loaded recipe's weight, else its share of the data."""
    known: dict[str, float] = st.session_state.get(_WEIGHTS, {})
    missing = [domain for domain in sizes if domain not in known]
    if not missing:
        return
    given: dict[str, float] = st.session_state.get(_GIVEN) or {}
    start = (
        {domain: float(given.get(domain, 0.0)) for domain in sizes} if given else starting_weights("data", sizes, {})
    )
    st.session_state[_WEIGHTS] = known | {domain: start[domain] for domain in missing}


def _keep_weight(domain: str) -> None:
    """Callback of a domain's weight."""
    weight = float(st.session_state[f"{_WEIGHT}{domain}"] or 0.0)
    st.session_state[_WEIGHTS] = st.session_state[_WEIGHTS] | {domain: weight}
    _keep_shown(domain)


def _keep_shown(domain: str) -> None:
    """Callback: the domain has a setting of its own from now on."""
    st.session_state[_OWN] = frozenset(st.session_state.get(_OWN, ())) | {domain}


def _buttons(sizes: Mapping[str, int], learning: Callable[[], Sequence[DomainLearning]]) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.button(
            "Normalise to 100 %", key="mixture_normalise", on_click=_set, args=(partial(_normalised, list(sizes)),),
            help="Scales the unlocked weights so that all weights add up to 100 %.",
        )  # fmt: skip
        for name, start in STARTS.items():
            st.button(
                start.label, key=f"mixture_{name}", on_click=_set, args=(partial(_started, name, dict(sizes)),),
                help=f"{start.help} Sets the unlocked weights only.",
            )  # fmt: skip
        st.button(
            "By learning left", key="mixture_learning", on_click=_set,
            args=(partial(_by_learning, learning, dict(sizes)),),
            help="The weights that ADO would give the domains, by the loss of every step of the reference's training. "
            "A suggestion that no trial has tested. Sets the unlocked weights only.",
        )  # fmt: skip
    if problem := st.session_state.pop(_PROBLEM, None):
        st.warning(escaped(str(problem)))


def _show_sum(weights: Mapping[str, float]) -> bool:
    """Show the sum of the weights; returns whether they are relative."""
    whole = total(weights)
    if round(whole, 2) == WHOLE:
        st.caption("The weights add up to **100 %**.")
        return False
    note = "Each effective weight is shown below it." if whole else "Nothing can be selected."
    st.caption(f"The weights add up to **{whole:,.4g} %**, not 100 %, so they are relative. {note}")
    return bool(whole)


def _set(weights_of: Callable[[], Mapping[str, float]]) -> None:
    """Callback: change the weights, or store the error for the next rerun."""
    try:
        st.session_state[_WEIGHTS] = st.session_state[_WEIGHTS] | dict(weights_of())
    except UserError as error:
        st.session_state[_PROBLEM] = str(error)


def _normalised(domains: Collection[str]) -> dict[str, float]:
    return normalised(_weights(domains), _locked(domains))


def _started(name: str, sizes: Mapping[str, int]) -> dict[str, float]:
    return starting_weights(name, sizes, _weights(sizes), _locked(sizes))


def _by_learning(learning: Callable[[], Sequence[DomainLearning]], sizes: Mapping[str, int]) -> dict[str, float]:
    found = {each.domain: each for each in learning()}
    locked = _locked(sizes)
    wanted = {domain: found[domain].weight if domain in found else 0.0 for domain in sizes if domain not in locked}
    notes = {
        "The training curves show too little for a floor, so the weights are a guess for": [
            name for name in wanted if name in found and found[name].is_guess
        ],
        "The reference was not trained on": [name for name in wanted if name not in found],
    }
    if said := [f"{note}: {listed(names)}." for note, names in notes.items() if names]:
        st.session_state[_PROBLEM] = " ".join(said)
    return normalised(_weights(sizes) | wanted, locked)


def _weights(domains: Collection[str]) -> dict[str, float]:
    return {domain: st.session_state[_WEIGHTS][domain] for domain in domains}


def _locked(domains: Collection[str]) -> list[str]:
    return [domain for domain in domains if st.session_state.get(f"{_LOCK}{domain}")]
