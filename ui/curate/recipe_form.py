"""The recipe form: reads a `Selection` from the controls, and loads a saved one into them."""

from functools import partial
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.data.scores import score_named, scores_of
from core.exploring.score_plane import spread_ratio
from core.selection import ORDERS, SCOPES, ScoredRun, Selection
from core.selection.recipe import CLUSTERS, MOST_CANDIDATES, MOST_CLUSTERS, MOST_LENGTH_BANDS, QUOTAS, SPREADS, Spread
from core.store import Store
from core.workspace.mixture_advice import run_learning
from ui.curate.amount_form import Readout, amount_form, put_amounts
from ui.curate.recipe_filters import Eligible, eligible_form, put_eligible
from ui.kit.closed_parts import show_when_open
from ui.kit.draft_state import form_was_set
from ui.kit.hand_picks import picks_of, put_picks
from ui.plain_text import escaped

_PERSIST: Any = {"persist_state": "session"}
_NO_SPREAD = "none"  # in a select box, None would mean that nothing is chosen
_SCOPE_LABELS = {"domain": "Within each domain", "pooled": "Across all domains"}


def recipe_form(store: Store, run: ScoredRun) -> tuple[Selection, dict[str, Readout]]:
    """Draw the controls; returns the recipe with this session's hand picks, and a readout for each amount.

    Raises `SelectionInvalid` for an invalid recipe, after all controls are drawn.
    """
    # The amounts are shown first but depend on the controls below them.
    how_much = st.container()
    _fill_ranking(run)
    show_when_open("Ranking", "ranking", lambda: _draw_ranking(store, run), _ranking_summary())
    state = st.session_state
    score = str(state["recipe_score"])
    with st.container(gap="small"):
        eligible = eligible_form(store, run, score)
    plain = Selection(
        run.name,
        score=score,
        order=state["recipe_order"],
        scope=state["recipe_scope"],
        collapse_duplicates=eligible.collapse_duplicates,
        filter=eligible.row_filter,
        seed=int(state["recipe_seed"]),
        near_duplicates=None if _ranks_pairs() else eligible.near_duplicates,
        near_duplicates_by=eligible.near_duplicates_by,
        picks=picks_of(run.dataset),
        length_bands=_length_bands(),
        added=_added(store, run, score),
        spread=_spread(),
    )
    domains = frozenset(eligible.row_filter.domains)
    allowed = {domain: total for domain, total in run.totals.items() if not domains or domain in domains}
    with how_much:
        return amount_form(plain, allowed, partial(run_learning, store, run.name))


def put_into_form(store: Store, selection: Selection) -> None:
    """Set the run, the controls and the hand picks to a saved recipe. Call before they are drawn, in a button's
    callback.

    Raises `NotFound` if its run does not exist.
    """
    dataset = str(store.run(selection.run)["dataset"])
    st.session_state["run_picker"] = st.query_params["run"] = selection.run
    form_was_set(selection.run)
    put_recipe(dataset, selection)


def put_recipe(dataset: str, selection: Selection) -> None:
    """Set the controls and the dataset's hand picks to a recipe. Call before they are drawn."""
    state = st.session_state
    state["recipe_score"], state["recipe_order"] = selection.score, selection.order
    state["recipe_scope"], state["recipe_seed"] = selection.scope, selection.seed
    state["recipe_length_bands"] = selection.length_bands
    state["recipe_added"] = list(selection.added)
    for name, weight in selection.added.items():
        state[_weight_key(name)] = float(weight)
    state["recipe_spread"] = selection.spread.method if selection.spread else _NO_SPREAD
    if selection.spread:
        state["recipe_spread_weight"] = float(selection.spread.weight)
        state["recipe_candidates"] = selection.spread.candidates
        state["recipe_clusters"], state["recipe_quota"] = selection.spread.clusters, selection.spread.quota
    put_amounts(selection)
    eligible = Eligible(
        selection.filter, selection.collapse_duplicates, selection.near_duplicates, selection.near_duplicates_by
    )
    put_eligible(eligible, selection.score)
    put_picks(dataset, selection.picks)


def _fill_ranking(run: ScoredRun) -> None:
    """Give every control of the ranking that has no value yet its default."""
    for key, value in (
        ("recipe_score", scores_of(run.roles)[0]),
        ("recipe_order", next(iter(ORDERS))),
        ("recipe_scope", next(iter(SCOPES))),
        ("recipe_seed", 0),
        ("recipe_length_bands", 0),
        ("recipe_added", []),
        ("recipe_spread", _NO_SPREAD),
        ("recipe_spread_weight", float(Spread().weight)),
        ("recipe_candidates", Spread().candidates),
        ("recipe_clusters", Spread().clusters),
        ("recipe_quota", Spread().quota),
    ):
        st.session_state.setdefault(key, value)


def _ranking_summary() -> str:
    score = str(st.session_state["recipe_score"])
    added = sum(_can_be_added(name, score) for name in st.session_state["recipe_added"])
    order = ORDERS[st.session_state["recipe_order"]].label.lower()
    return f"{escaped(score_named(score).label)}{f' and {added:,} more' if added else ''}, {order}"


def _draw_ranking(store: Store, run: ScoredRun) -> None:
    _draw_order(run)
    _draw_added(store, run, str(st.session_state["recipe_score"]))
    _draw_spread()


def _draw_spread() -> None:
    """How far the selected rows shall differ by their embeddings. Without embeddings, the result says which command
    brings them."""
    first, second = st.columns(2, vertical_alignment="bottom")
    lines = "  \n".join(f"{_spread_label(name)}: {meaning}." for name, meaning in SPREADS.items())
    method = first.selectbox(
        "Spread", [_NO_SPREAD, *SPREADS], key="recipe_spread", format_func=_spread_label,
        disabled=_length_bands() > 1 or _ranks_pairs(),
        help="Orders the best rows of each domain so that they differ by their embeddings, which the command "
        f"embed computes. Not with length bands or preference pairs.  \n{lines}", **_PERSIST,
    )  # fmt: skip
    if method == _NO_SPREAD:
        return
    if method == CLUSTERS:
        _draw_clusters(second)
    else:
        second.slider(
            "Score or spread", 0.0, 1.0, step=0.05, key="recipe_spread_weight",
            help="0: as the rows rank. 1: only that they differ.", **_PERSIST,
        )  # fmt: skip
    first.number_input(
        "Candidates", 2, MOST_CANDIDATES, key="recipe_candidates", width=160,
        help="How many of the best rows of each domain are ordered anew; the others follow as they rank.", **_PERSIST,
    )  # fmt: skip


def _draw_clusters(place: DeltaGenerator) -> None:
    """How many clusters, and what each of them gives."""
    count, quota = place.columns(2, vertical_alignment="bottom")
    count.number_input(
        "Clusters", 2, MOST_CLUSTERS, key="recipe_clusters",
        help="Groups of candidates by k-means on their embeddings. Of a domain with fewer rows, each is a cluster.",
        **_PERSIST,
    )  # fmt: skip
    quota.selectbox(
        "Quota", list(QUOTAS), key="recipe_quota", format_func=str.capitalize,
        help="  \n".join(f"{name.capitalize()}: {meaning}." for name, meaning in QUOTAS.items()), **_PERSIST,
    )  # fmt: skip


def _spread() -> Spread | None:
    """The spread that the controls say; None: rows are taken as they rank."""
    state = st.session_state
    if state["recipe_spread"] == _NO_SPREAD or _length_bands() > 1 or _ranks_pairs():
        return None
    candidates = int(state["recipe_candidates"])
    if state["recipe_spread"] == CLUSTERS:
        clusters, quota = int(state["recipe_clusters"]), str(state["recipe_quota"])
        return Spread(CLUSTERS, candidates=candidates, clusters=clusters, quota=quota)
    return Spread(state["recipe_spread"], float(state["recipe_spread_weight"]), candidates)


def _ranks_pairs() -> bool:
    """Whether the score ranks preference pairs: what orders or removes single rows does not go with it."""
    return score_named(st.session_state["recipe_score"]).is_of_pairs


def _length_bands() -> int:
    return 0 if _ranks_pairs() else int(st.session_state["recipe_length_bands"])


def _spread_label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _draw_added(store: Store, run: ScoredRun, score: str) -> None:
    """Other scores that are added to the ranking, with their weights."""
    state = st.session_state
    chosen = [name for name in state["recipe_added"] if _can_be_added(name, score)]
    others = list(dict.fromkeys([*(name for name in scores_of(run.roles) if _can_be_added(name, score)), *chosen]))
    state["recipe_added"] = chosen
    added = st.multiselect(
        "Add scores", others, key="recipe_added", format_func=lambda name: score_named(name).label, placeholder="None",
        help="Rows are ranked by the score plus these, each in its own unit times its weight.", **_PERSIST,
    )  # fmt: skip
    for name in added:
        equal = _equal_weight(store, run, score, name)
        key = _weight_key(name)
        state.setdefault(key, float(f"{equal:.2g}"))
        most = max(4 * equal, abs(state[key]))
        st.slider(
            f"Weight of {score_named(name).label}", -most, most, step=most / 200, key=key, format="%.3g",
            help=f"At {equal:.2g} it counts as much as {score_named(score).label}: their middle halves spread alike.",
            **_PERSIST,
        )  # fmt: skip


def _added(store: Store, run: ScoredRun, score: str) -> dict[str, float]:
    """The weights of the other scores that are added to the ranking."""
    found: dict[str, float] = {}
    for name in st.session_state["recipe_added"]:
        if _can_be_added(name, score):
            weight = st.session_state.get(_weight_key(name))
            found[name] = float(f"{_equal_weight(store, run, score, name):.2g}") if weight is None else float(weight)
    return {name: weight for name, weight in found.items() if weight}


def _can_be_added(name: str, score: str) -> bool:
    """Whether a score is another one, and like the ranking's of pairs or of single rows."""
    return name != score and score_named(name).is_of_pairs == score_named(score).is_of_pairs


def _equal_weight(store: Store, run: ScoredRun, score: str, name: str) -> float:
    known = name in run.score_columns and score in run.score_columns
    return spread_ratio(store, run.table, score, name) if known else 1.0


def _weight_key(name: str) -> str:
    return f"recipe_added_weight_{name}"  # not as a domain's weight begins


def _draw_order(run: ScoredRun) -> None:
    """Score, order, scope, seed and length bands."""
    (first, second), (third, fourth) = st.columns(2), st.columns(2)
    # A loaded recipe's score stays: if the run lacks its losses, the result says which command brings them.
    names = list(dict.fromkeys([*scores_of(run.roles), st.session_state["recipe_score"]]))
    scores = "  \n".join(f"{each.label}, high: {each.higher_means}." for each in map(score_named, names))
    score = first.selectbox(
        "Rank by",
        names,
        format_func=lambda name: score_named(name).label,
        key="recipe_score",
        help=scores,
        **_PERSIST,
    )
    orders = "  \n".join(f"{order.label}: {order.help}." for order in ORDERS.values())
    order = second.selectbox(
        "Order", list(ORDERS), format_func=lambda name: ORDERS[name].label, key="recipe_order", help=orders, **_PERSIST
    )
    scopes = "  \n".join(f"{_SCOPE_LABELS[name]}: {meaning}." for name, meaning in SCOPES.items())
    scope = third.selectbox(
        "Scope", list(SCOPES), format_func=_SCOPE_LABELS.__getitem__, key="recipe_scope", help=scopes, **_PERSIST
    )
    fourth.number_input(
        "Length bands", 0, MOST_LENGTH_BANDS, step=1, key="recipe_length_bands", disabled=_ranks_pairs(),
        help="0: rows of all lengths are ranked together. N, such as 5: ranked within N bands of response length; each "
        "band gives the same share of its rows, so the selected lengths are about those of the data.", **_PERSIST,
    )  # fmt: skip
    if order == "random":
        st.number_input(
            "Seed", step=1, key="recipe_seed", help="The same seed always draws the same rows.", width=160, **_PERSIST
        )
    chosen = score_named(score)
    st.caption(
        f"{chosen.label}, high: {chosen.higher_means}. {ORDERS[order].label}: {ORDERS[order].help}. "
        f"{_SCOPE_LABELS[scope]}: {SCOPES[scope]}."
    )
