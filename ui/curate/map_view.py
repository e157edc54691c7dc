"""The Map tab: a run's rows in two dimensions, linked with the other charts; before there is a map, how to get one."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pandas as pd
import streamlit as st

from core.data.errors import ModelUnusable
from core.exploring.map_labels import region_labels
from core.exploring.map_plane import MapPlane, map_plane
from core.exploring.row_flags import flagged, row_flags
from core.jobs.job import Job
from core.scoring.embeddings.embedding_jobs import lacks_embeddings
from core.scoring.embeddings.map_jobs import newest_map, open_map_job
from core.selection import Coverage, ScoredRun, Selection
from core.store import Store
from core.store.embedding_files import EmbeddingSpec, embeddings_of_run
from core.store.maps import MapSet
from core.workspace.mapping import (
    begin_embedding_of_run,
    begin_map_of_run,
    lacking_sentence,
    open_embedding_job,
)
from ui.charts.coverage_chart import coverage_figure
from ui.charts.map_chart import BY_DOMAIN, BY_FLAG, BY_SCORE, BY_SELECTION, map_figure
from ui.curate.embeddings_form import offer_embeddings
from ui.curate.linked_charts import LinkedView, brush_on
from ui.curate.selection_views import are_kept, coverage_meaning
from ui.kit.chart_frame import show_chart
from ui.kit.filter_bar import show_no_rows
from ui.kit.filter_state import brush_plane
from ui.kit.hand_picks import picks_of
from ui.kit.job_view import begin_job, follow_job, show_failure
from ui.plain_text import escaped
from ui.shell.access import may_run
from ui.shell.session import Session, remembered_for

_JOB = "map_job"


def show_map(
    session: Session,
    run: ScoredRun,
    view: LinkedView,
    selection: Selection | None,
    coverage: Callable[[], Coverage | None],
) -> None:
    """Draw the tab. `selection`: rows that it does not keep are faint. `coverage`: gives that of the selection."""
    store = session.store
    try:
        spec = embeddings_of_run(store.run(run.name))
    except ModelUnusable as error:
        st.info(escaped(str(error)))
        return
    show_failure(session, _JOB)
    job = open_map_job(store, run.dataset, spec.key) or open_embedding_job(store, run.name)
    if job:
        follow_job(session, job)
    found = newest_map(store, run.dataset, spec.key)
    if found:
        _show(store, run, view, selection, found, spec.label)
    elif job is None:
        _show_unmapped(session, run, spec)
    _show_coverage(coverage())
    offer_embeddings(session, run, spec, _JOB)


def _show_unmapped(session: Session, run: ScoredRun, spec: EmbeddingSpec) -> None:
    """How to get a map: first embeddings, then their places."""
    if lacks_embeddings(session.store, run.dataset, spec):
        st.info(escaped(lacking_sentence("A map", spec)))
        _job_button("Compute embeddings", partial(begin_embedding_of_run, session.store, run.name))
        return
    st.info("No map yet. It puts rows with similar embeddings near each other, and a lasso on it filters this page.")
    _job_button("Make the map", lambda: begin_map_of_run(session.store, run.name)[1])


def _job_button(label: str, begin: Callable[[], Job | None]) -> None:
    if st.button(label, key="make_map", type="primary", disabled=not may_run()):
        begin_job(_JOB, begin)


def _show(
    store: Store, run: ScoredRun, view: LinkedView, selection: Selection | None, found: MapSet, embeddings: str
) -> None:
    x, y = found.columns
    row_filter = view.filter_without(x, y)
    asked = (view.table, store.table_state(view.table), row_filter, found.key, view.score.name)
    plane: MapPlane = remembered_for(
        "map_plane", asked, lambda: map_plane(store, view.table, found.key, view.score.name, row_filter)
    )
    if not plane.rows:
        show_no_rows(row_filter)
        return
    labels: pd.DataFrame = remembered_for("map_labels", asked, lambda: region_labels(plane.points))
    colour_by = st.segmented_control(
        "Colour by", [BY_DOMAIN, BY_SCORE, BY_SELECTION, BY_FLAG], key="map_colours", default=BY_DOMAIN, required=True,
        persist_state="session",
    )  # fmt: skip
    if selection:
        is_kept = are_kept(store, run, selection, plane.points["row_number"].tolist())
        plane = replace(plane, points=plane.points.assign(is_kept=is_kept))
    flag = ""
    if colour_by == BY_FLAG:
        flag, plane = _flagged(store, run, plane)
    box, lasso = brush_on(view.row_filter, x, y)
    figure = map_figure(plane, view.colours, colour_by, view.score.label, labels, flag=flag, box=box, lasso=lasso)
    figure.update_layout(uirevision="map")
    show_chart(
        figure, plane.points.drop(columns="text"), key="linked_map", file_name="map", selectable=True,
        on_brush=partial(brush_plane, x, y), note=_note(plane, found, selection is not None, embeddings),
    )  # fmt: skip


def _flagged(store: Store, run: ScoredRun, plane: MapPlane) -> tuple[str, MapPlane]:
    """The flag that is chosen, and the map with `is_flagged` for its points."""
    flags = row_flags(store, run, picks_of(run.dataset))
    if not flags:
        st.caption("No row has a flag.")
        return "", replace(plane, points=plane.points.assign(is_flagged=False))
    chosen = st.selectbox(
        "Flag", list(flags), key="map_flag", width=320,
        help="Flags, near-duplicates of the newest search, imported columns of 0 and 1, and hand picks that some row "
        "has.",
    )  # fmt: skip
    has_it = flagged(store, run, flags[chosen], plane.points["row_number"].tolist())
    return chosen, replace(plane, points=plane.points.assign(is_flagged=has_it))


def _note(plane: MapPlane, found: MapSet, is_faint: bool, embeddings: str) -> str:
    parts = [
        f"By {found.description['library']} with seed {found.description['seed']}, on the embeddings of "
        f"{escaped(embeddings)}. Only what is near means much: "
    ]
    parts[0] += "distances between groups, and their sizes, do not."
    if plane.without_place:
        parts.append(
            f"{plane.without_place:,} rows have no place: they were added after the map, or have no embedding."
        )
    if is_faint:
        parts.append("Faint: not selected.")
    return " ".join(parts)


def _show_coverage(coverage: Coverage | None) -> None:
    """How well the selection covers the data, beside as many random rows."""
    if coverage and coverage.value is not None:
        bars = pd.DataFrame({"rows": ["Selection", "Random"], "coverage": [coverage.value, coverage.random]})
        show_chart(coverage_figure(bars), bars, "coverage", "coverage", note=coverage_meaning(coverage))
