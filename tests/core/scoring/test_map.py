"""Maps: clusters stay apart, the rest is placed among a sample, and filters, recipes and copies find the same rows."""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import KDTree

from core.data.errors import JobCancelled, NotFound, SelectionInvalid, SettingInvalid
from core.data.filters import Range, Region, RowFilter
from core.data.map_columns import map_columns
from core.exploring.map_plane import map_plane
from core.jobs.job import all_jobs
from core.jobs.queue import cancel
from core.scoring.embeddings.embedding_jobs import lacks_embeddings, plan_of_run
from core.scoring.embeddings.layout import lay_out
from core.selection import Amount, Selection, kept_rows, select_summary
from core.store import Store
from core.store.change_record import write_record
from core.store.maps import saved_map
from core.workspace.embedding import embed_dataset
from core.workspace.maintenance.checking import check_workspace
from core.workspace.mapping import map_run
from tests.core.scored_models import score_examples
from tests.inline_executor import run_jobs_inline
from tests.tiny_models import example
from tests.trial_workspace import wait_quietly

pytest.importorskip("pacmap", reason="the extra map is not installed")

TALKS = [
    example(("user", f"{what} number {number}?"), ("assistant", "It is a river. " * (1 + number % 3)))
    for what in ("What is the capital of Iceland,", "Add apples in Python,")
    for number in range(8)
]


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float16]:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def clusters(rows: int, spread: float = 0.3) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    """Vectors around six directions at right angles, and which of them each is around."""
    random = np.random.default_rng(3)
    of = random.integers(6, size=rows)
    return unit(np.eye(6, 24)[of] + spread / 5 * random.normal(size=(rows, 24))), of


def share_of_own(places: NDArray[np.float32], of: NDArray[np.int64]) -> float:
    """The share of five nearest neighbours on the map that are around the same direction."""
    _, nearest = KDTree(places).query(places, k=6)
    return float((of[nearest[:, 1:]] == of[:, None]).mean())


@pytest.mark.parametrize("fitted", [20_000, 120])
def test_what_is_near_stays_near_whether_laid_out_or_placed_among_a_sample(
    fitted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.scoring.embeddings.layout.FITTED", fitted)
    monkeypatch.setattr("core.scoring.embeddings.layout._BLOCK", 50)
    vectors, of = clusters(300)
    vectors[7] = vectors[3]
    said: list[float] = []
    places = lay_out(vectors, 1, lambda _, share: said.append(share))
    assert places.shape == (300, 2)
    assert share_of_own(places, np.where(np.arange(300) == 7, of[3], of)) > 0.97
    assert (places[7] == places[3]).all()
    assert (lay_out(vectors, 1) == places).all()
    assert (lay_out(vectors, 2) != places).any()
    assert len(set(said)) == (1 if fitted > 300 else 4)


def test_a_map_that_is_cancelled_while_the_library_fits_ends_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    going_on = Event()

    def fit(units: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
        cancel(next(job for job in all_jobs(store.workspace) if job.request.get("seed") == 7))
        going_on.wait()
        return np.zeros((len(units), 2), np.float32)

    monkeypatch.setattr("core.scoring.embeddings.layout._fit", fit)
    monkeypatch.setattr("core.scoring.embeddings.layout._LOOK_SECONDS", 0.01)
    with pytest.raises(JobCancelled, match="The map was cancelled; nothing was saved"):
        map_run(store, "tiny", 7, wait_quietly)
    going_on.set()
    assert store.rows("SELECT count(*) FROM map_set") == [(1,)]


def test_few_rows_and_equal_rows_have_places() -> None:
    vectors, _ = clusters(9)
    for count in range(1, 10):
        places = lay_out(vectors[:count], 0)
        assert np.isfinite(places).all()
        assert len(np.unique(places, axis=0)) == count
    assert np.unique(lay_out(vectors[:1].repeat(40, axis=0), 0), axis=0).shape == (1, 2)
    # Two components hold three points whole: the distances on the map are those of the vectors.
    three, there = lay_out(vectors[:3], 0).astype(float), vectors[:3].astype(float)
    for one, other in ((0, 1), (1, 2)):
        assert np.linalg.norm(three[one] - three[other]) == pytest.approx(
            np.linalg.norm(there[one] - there[other]), rel=1e-2
        )


def test_without_the_package_a_sentence_says_how_to_get_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("core.scoring.embeddings.layout.version", absent)
    with pytest.raises(SettingInvalid, match=r"A map needs the package pacmap.*pip install 'lobass\[map\]'$"):
        map_run(store, "tiny", 0, wait_quietly)


@pytest.fixture(scope="module")
def made(made_once: Callable[[str, Callable[[Path], object]], Path], tiny_base: Path, tiny_reference: Path) -> Path:
    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch, Store.open(folder, "a test") as store:
            run_jobs_inline(patch)
            score_examples(store, TALKS, tiny_base, tiny_reference)
            plan = plan_of_run(store, "tiny", "cpu")
            assert lacks_embeddings(store, "talk", plan.spec)
            with pytest.raises(NotFound, match=r"16 of 16 rows have no embedding yet.*embed --run tiny$"):
                map_run(store, "tiny", 0, wait_quietly)
            embed_dataset(store, plan, wait_quietly)
            assert not lacks_embeddings(store, "talk", plan.spec)
            map_run(store, "tiny", 0, wait_quietly)

    return made_once("mapped", make)


def test_a_map_is_found_again_and_filters_on_it_keep_the_rows_inside(store: Store, tmp_path: Path) -> None:
    report = map_run(store, "tiny", 0, wait_quietly)
    assert (report["examples"], report["places"], report["computed"]) == (16, 16, False)
    found = saved_map(store, "talk", report["key"])
    x, y = found.columns
    plane = map_plane(store, "scored_1", found.key, "learnability", RowFilter())
    assert (plane.rows, plane.without_place, len(plane.cells)) == (16, 0, 0)
    points = plane.points.set_index("row_number")
    assert points["text"][1].startswith("What is the capital of Iceland")
    middle = float(points["x"].median())
    left = points.index[points["x"] <= middle].tolist()
    low, high = float(points["y"].min()) - 1, float(points["y"].max()) + 1
    corners = ((-1e4, low), (middle + 1e-4, low), (middle + 1e-4, high), (-1e4, high))
    for row_filter in (
        RowFilter(ranges=(Range(x, None, middle),)),
        RowFilter(regions=(Region(x, y, corners),)),
    ):
        recipe = Selection("tiny", scope="pooled", amount=Amount("ratio", 1), filter=row_filter)
        assert sorted(row for row, *_ in store.rows(*kept_rows(store, recipe))) == left
        reasons = select_summary(store, recipe).outcomes
        assert set(reasons["outcome"]) == {"kept", "filtered: place on the map"}
        assert RowFilter.from_fields(row_filter.to_fields()) == row_filter
        inside = map_plane(store, "scored_1", found.key, "learnability", row_filter.on_columns(x, y))
        assert inside.rows == 16
    copy = tmp_path / "copy"
    copy.mkdir()
    write_record(copy, store.copy_to(copy / "store.duckdb"), closed=True)
    with Store.open(copy, "a test") as copied:  # as an export beside the dashboard reads it
        assert sorted(row for row, *_ in copied.rows(*kept_rows(copied, recipe))) == left
    assert check_workspace(store, lambda _: None) == []


def test_a_sample_is_drawn_of_many_rows_and_all_are_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.exploring.map_plane.MOST_DRAWN", 5)
    key = map_run(store, "tiny", 0, wait_quietly)["key"]
    plane = map_plane(store, "scored_1", key, "learnability", RowFilter())
    assert (len(plane.points), int(plane.cells["rows"].sum()), plane.rows) == (5, 16, 16)
    assert plane.cells[["x_bin", "y_bin"]].min().min() == 0


def test_a_filter_on_a_map_that_is_not_there_or_on_half_of_one_is_refused(store: Store) -> None:
    x, y = map_columns("0123456789abcdef")
    away = RowFilter(ranges=(Range(x, 0.0, 1.0),))
    with pytest.raises(SelectionInvalid, match="on a map that this workspace does not have"):
        select_summary(store, Selection("tiny", filter=away))
    corners = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))
    with pytest.raises(SelectionInvalid, match="one elsewhere"):
        Region(x, "base_loss", corners)
    with pytest.raises(SelectionInvalid, match="Unknown column 'map_x'"):
        Region("map_x", y, corners)


def test_another_seed_is_another_map_and_a_removed_dataset_takes_its_maps_along(store: Store) -> None:
    other = map_run(store, "tiny", 5, wait_quietly)
    assert other["computed"]
    assert store.rows("SELECT count(DISTINCT key), sum(place_count) FROM map_set") == [(2, 32)]
    store.remove_dataset("talk")
    assert store.rows("SELECT (SELECT count(*) FROM map_set) + (SELECT count(*) FROM map_place)") == [(0,)]
