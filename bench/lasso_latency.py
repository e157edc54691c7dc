"""How long a lasso on the map takes from its last point to the new count of rows on the screen, in a real browser.

    python -m bench.lasso_latency --workspace DIR [--moves 20] [--json FILE]

The workspace is one that `bench.make_rows` made; its first run gets a map of drawn places, a cloud a domain. Opens the
tab Map of Curate in Debian's chromium and draws lassos of growing size around its middle, each in place of the former.
The clock runs in the page, from the mouse button's release to the second frame after the count has changed, and to the
last change of the page. Then the same on `bench/bare_map.py`, a page of one such chart and one count. A 95th percentile
of the first over 400 ms is marked.
"""

import argparse
import json
import math
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
from playwright.sync_api import Page

from bench.figures import keep_figures
from bench.make_rows import CHUNK_ROWS, RUNS
from bench.slider_latency import WARM_UP, Latency, latency, page_of, print_latencies
from core.data.map_columns import MAP_KEY_CHARACTERS
from core.jobs.example_chunks import Ids, id_texts
from core.scoring.embeddings.embedding_jobs import dataset_ids
from core.scoring.embeddings.map_jobs import newest_map
from core.scoring.embeddings.projection import unit_vectors
from core.store import Store
from core.store.embedding_files import (
    MOST_DIMENSIONS,
    EmbeddingSpec,
    adopt_vectors,
    embeddings_of_run,
    write_vectors,
)
from core.store.maps import PLACES_SCHEMA, save_map
from tests.browser.dashboard import Dashboard

LIMIT_MILLISECONDS = 400.0
_BARE = Path(__file__).with_name("bare_map.py")
_KEY = "d" * MAP_KEY_CHARACTERS
_COUNT = ".st-key-readout p"


def draw_map(workspace: Path) -> str:
    """Give the first run embeddings and a map, unless it has them; returns the run's name."""
    with Store.open(workspace, "bench.lasso_latency") as store:
        found = store.run(RUNS[0])
        fingerprints = {"model_fingerprints": {"base": "drawn"}, "encoding_fingerprint": "drawn"}
        description = json.dumps({**found["description"], **fingerprints})
        store.write(
            lambda connection: connection.execute(
                "UPDATE run SET description = ? WHERE run_id = ?", [description, found["run_id"]]
            )
        )
        spec = embeddings_of_run(store.run(RUNS[0]))
        if newest_map(store, found["dataset"], spec.key) is None:
            ids = dataset_ids(store, found["dataset"])
            random = np.random.default_rng(0)
            _draw_embeddings(workspace, spec, ids, random)
            places = random.normal(size=(len(ids), 2)) + 6 * random.integers(-2, 3, size=(len(ids), 2))
            table = pa.table([id_texts(ids), *places.T.astype(np.float32)], schema=PLACES_SCHEMA)
            save_map(
                store, found["dataset"], _KEY, spec.key, {"library": "drawn", "seed": 0, "examples": len(ids)}, table
            )
    return RUNS[0]


def _draw_embeddings(workspace: Path, spec: EmbeddingSpec, ids: Ids, random: np.random.Generator) -> None:
    with tempfile.TemporaryDirectory(dir=workspace) as folder:
        for part in np.array_split(ids, -(-len(ids) // CHUNK_ROWS)):
            drawn = unit_vectors(random.normal(size=(len(part), MOST_DIMENSIONS)).astype(np.float32), None)
            adopt_vectors(workspace, spec, write_vectors(Path(folder), "drawn", spec.key, part, drawn))


def lasso_latency(page: Page, address: str, moves: int) -> Latency:
    """Open the tab Map and draw so many lassos."""
    page.goto(address)
    chart = page.locator(".st-key-linked_map")
    plot = chart.locator(".nsewdrag").first
    plot.scroll_into_view_if_needed(timeout=180_000)
    page.wait_for_load_state("networkidle")
    plot.hover()
    chart.locator('.modebar-btn[data-title="Lasso Select"]').click()

    def draw(move: int) -> None:
        page.locator('[data-test-script-state="notRunning"]').wait_for()
        plot.wait_for()
        box = plot.bounding_box()
        assert box
        # Growing: a drag that begins inside a lasso which plotly draws would move it.
        width = 0.1 + 0.3 * move / (moves + WARM_UP)
        turns = [2 * math.pi * turn / 12 for turn in range(13)]
        places = [
            (
                box["x"] + box["width"] * (0.5 + width * math.cos(turn)),
                box["y"] + box["height"] * (0.5 + width * math.sin(turn)),
            )
            for turn in turns
        ]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place, steps=2)
        page.mouse.up()

    return latency(page, _COUNT, "mouseup", draw, moves)


def measure(workspace: Path, moves: int) -> dict[str, Latency]:
    """A map in the workspace, served and brushed, and the bare page."""
    run = draw_map(workspace)
    curate, bare = Dashboard(workspace.resolve()), Dashboard(workspace.resolve())
    bare.command = (sys.executable, "-m", "streamlit", "run", str(_BARE), "--server.headless", "true")
    found = {}
    for name, served, path in (("Curate", curate, f"/curate?run={run}&view=Map"), ("bare page", bare, "")):
        with page_of(served, height=1300) as page:
            found[name] = lasso_latency(page, served.address + path, moves)
    return found


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--moves", type=int, default=20)
    parser.add_argument("--json", type=Path, help="file for the same numbers")
    arguments = parser.parse_args()
    found = measure(arguments.workspace, arguments.moves)
    print_latencies("lassos", found)
    if found["Curate"].shown_p95 > LIMIT_MILLISECONDS:
        print(f"Curate, p95: over {LIMIT_MILLISECONDS:g} ms")
    keep_figures(arguments.json, {name: asdict(times) for name, times in found.items()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
