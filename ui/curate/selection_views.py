"""Views of a selection: its profile, its domains, and the linked charts with its cut-offs."""

from collections.abc import Sequence
from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.data.scores import FLAGS, score_named
from core.exploring.score_plane import two_scores
from core.selection import (
    KEPT,
    Coverage,
    ScoredRun,
    SecondReference,
    Selection,
    SelectionProfile,
    Summary,
    kept_condition,
    outcomes_of,
)
from core.store import Store
from ui.charts import domain_colours
from ui.charts.mixture_chart import MOST_DOMAINS, mixture_figure, mixture_shares
from ui.charts.palette import LINE
from ui.charts.planes import Cuts, two_scores_figure
from ui.curate.cut_drag import show_cut_drag
from ui.curate.linked_charts import LinkedView, show_linked_histogram, show_linked_plane
from ui.kit.chart_frame import show_chart
from ui.kit.tables import CLOSE_VALUE, COUNT
from ui.plain_text import escaped
from ui.shell.session import Session

_WITHIN_BANDS = "within length bands"
_PROFILE_LABELS = {
    "short_response": "Short",
    "repetitive": "Repetitive",
    "copies_prompt": "Copies prompt",
    "trained_on": "Trained on",
}
_PROFILE_STYLE = """<style>
.st-key-profile [data-testid="stMetricValue"] { font-size: 1.05rem; }
.st-key-profile [data-testid="stMetricDelta"] { font-size: 0.8rem; }
</style>"""


def show_profile(profile: SelectionProfile) -> tuple[DeltaGenerator, DeltaGenerator]:
    """One row of small figures: of the selection, and below each the same of all data. Returns the places at its end
    for `show_coverage` and `show_second`."""
    st.html(_PROFILE_STYLE)
    with st.container(key="profile", horizontal=True, gap="small"):
        _figure(
            "Median length", _tokens(profile.median_tokens), f"all rows {_tokens(profile.data_median_tokens)}",
            "Scored tokens of a response: median of the selected rows, and of all rows with scored tokens.",
        )  # fmt: skip
        _figure(
            "Tokens", _share(profile.token_share), f"{_share(profile.row_share)} of rows",
            "Share of the data's scored tokens that the selected rows have, and their share of its rows.",
        )  # fmt: skip
        for flag, found in profile.flags.items():
            meaning = f"Share of the selected rows, and of all rows, flagged {flag}: {FLAGS[flag]}."
            if flag == "trained_on":
                meaning += " 0 % where the reference was trained elsewhere, because its rows are not known."
            _figure(_PROFILE_LABELS[flag], _share(found.share), f"all rows {_share(found.data_share)}", meaning)
        return st.container(width="content"), st.container(width="content")


def show_coverage(coverage: Coverage | None, place: DeltaGenerator) -> None:
    """How well the selection covers the data; nothing without embeddings."""
    if coverage:
        with place:
            _figure("Coverage", _mean(coverage.value), f"random {_mean(coverage.random)}", coverage_meaning(coverage))


def coverage_meaning(coverage: Coverage) -> str:
    """What the coverage is, and of how many rows."""
    of = f"a sample of {coverage.sampled:,} of the {coverage.unique_rows:,} unique rows"
    if coverage.sampled + coverage.without_vector == coverage.unique_rows:
        of = f"all {coverage.sampled:,} unique rows"
    without = f" Skipped, because their embedding is empty: {coverage.without_vector:,}."
    return (
        f"Mean cosine of the rows to their nearest selected row, by the embeddings of {escaped(coverage.embeddings)}, "
        f"and what as many random rows reach on average. 1: each row is selected or has an equal. Of {of}; "
        f"{coverage.selected:,} of them are selected"
        f"{f', and the nearest is looked for of {coverage.covered:,}' if coverage.covered < coverage.sampled else ''}."
        f"{without if coverage.without_vector else ''}"
    )


def show_second(second: SecondReference | None, place: DeltaGenerator) -> None:
    """What a second reference selects by the same recipe; nothing without one."""
    if second:
        with place:
            _figure(
                "2nd reference", _share(second.share), f"{second.rows:,} rows in both",
                f"Share of the selected rows that the same recipe selects in run '{escaped(second.run)}': same base, "
                "another reference.",
            )  # fmt: skip


def _figure(label: str, value: str, beside: str, meaning: str) -> None:
    st.metric(label, value, beside, delta_color="off", delta_arrow="off", width="content", help=meaning)


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _mean(cosine: float | None) -> str:
    return "–" if cosine is None else f"{cosine:.3f}"


def _tokens(count: float | None) -> str:
    return "–" if count is None else f"{count:,.0f} tokens"


def show_domains(selection: Selection, summary: Summary) -> None:
    """The domain mix as a chart, the numbers of each domain, and why other rows are not selected."""
    shares = mixture_shares(summary.domains)
    note = f"The chart shows the {MOST_DOMAINS} largest domains." if len(shares) > MOST_DOMAINS else ""
    figure = mixture_figure(shares, domain_colours(shares["domain"].tolist()))
    show_chart(figure, shares, "mixture", "mixture", note=note)
    cuts, capped = cut_values(selection, summary), {pool.pool for pool in summary.pools if pool.capped}
    without_cut = _WITHIN_BANDS if selection.length_bands > 1 else ""
    shown = summary.domains.assign(
        cut=summary.domains["domain"].map(cuts).astype(float),
        note=["all eligible rows" if domain in capped else without_cut for domain in summary.domains["domain"]],
    )
    labels = {"domain": "Domain", "rows": "Rows", "kept_rows": "Rows selected", "tokens": "Tokens"}
    labels |= {"kept_tokens": "Tokens selected", "cut": f"{score_named(selection.score).label} at the cut-off"}
    labels |= {"note": "Note"}
    counts = dict.fromkeys(("Rows", "Rows selected", "Tokens", "Tokens selected"), COUNT)
    st.dataframe(
        shown[list(labels)].rename(columns=labels),
        hide_index=True,
        column_config={**counts, labels["cut"]: CLOSE_VALUE},
    )
    dropped = summary.outcomes[summary.outcomes["outcome"] != KEPT]
    with st.expander(f"Why {summary.dropped_rows:,} rows are not selected"):
        names = {"domain": "Domain", "outcome": "Reason", "rows": "Rows", "tokens": "Tokens"}
        st.dataframe(dropped.rename(columns=names), hide_index=True, column_config=counts)


def cut_values(selection: Selection, summary: Summary) -> dict[str, float]:
    """The score at the cut-off by domain (the same for all if pooled). Empty if the order does not use the score."""
    if selection.scope == "pooled":
        cut = summary.pools[0].cut_value
        return {} if cut is None else dict.fromkeys(summary.domains["domain"], cut)
    return {pool.pool: pool.cut_value for pool in summary.pools if pool.cut_value is not None}


def show_cuts(session: Session, run: ScoredRun, view: LinkedView, chosen: tuple[Selection, Summary] | None) -> None:
    """The histogram by domain with the cut-offs to drag, beside the loss plane. `chosen`: the selection and what it
    keeps; None if its controls make none."""
    left, right = st.columns(2, gap="small")
    if chosen is None:
        with left:
            show_linked_histogram(view, "")
        with right:
            show_linked_plane(view, None, None)
        return
    selection, summary = chosen
    cuts = cut_values(selection, summary)
    with left:
        if selection.score == view.score.name and not selection.added:
            show_cut_drag(session.store, run, selection, summary, view.row_filter, view.colours)
        else:
            ranked, shown = selection.value_label, view.score.label
            note = f"Cut-offs are not drawn: rows are ranked by {ranked}, and this chart shows {shown}."
            show_linked_histogram(view, note)
    if selection.added:
        _show_planes(session.store, run, view, selection)
    with right:
        one = {cuts[name]: LINE for name in cuts} if selection.scope == "pooled" else {}
        by_domain = [(cuts[name], colour) for name, colour in view.colours.items() if name in cuts]
        lines = tuple(one.items()) or tuple(by_domain)
        show_linked_plane(view, Cuts(selection.score, lines), partial(are_kept, session.store, run, selection))


def _show_planes(store: Store, run: ScoredRun, view: LinkedView, selection: Selection) -> None:
    """The score against each that is added to it, with the selected rows."""
    for name in selection.added:
        with kept_condition(store, selection, run) as kept:
            plane = two_scores(store, run.table, selection.score, name, view.row_filter, kept)
        if plane is not None:
            note = f"Ranked by {escaped(selection.value_label)}. A mark's size: the selected share of a cell's rows."
            figure = two_scores_figure(plane)
            show_chart(figure, plane.cells, key=f"plane_{name}", file_name=f"{selection.score}-{name}", note=note)


def are_kept(store: Store, run: ScoredRun, selection: Selection, row_numbers: Sequence[int]) -> list[bool]:
    """Whether a recipe keeps each of these rows."""
    found = outcomes_of(store, selection, run, row_numbers)
    return [found[number].is_kept for number in row_numbers]
