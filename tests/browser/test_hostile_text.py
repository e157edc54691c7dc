"""Hostile text in every view, in a real browser: as data, and as the name of all that has one.

Nothing is fetched from elsewhere, no script runs, nothing covers the navigation or pushes it away.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlparse

import pytest
from playwright.sync_api import Browser, expect

from core.data.errors import UserError
from core.data.examples import DatasetRow, Example, Message, Rejected
from core.importing.records import REASONS
from core.jobs.job import create_job
from core.near_duplicates.jobs import create_near_duplicate_job, ingest_near_duplicates
from core.near_duplicates.search import find_near_duplicates
from core.selection import Amount, Selection, save_selection
from core.store import Store
from tests.browser.dashboard import Dashboard, new_context
from tests.core.scored_models import score_examples
from tests.hostile_text import ELSEWHERE, HOSTILE

pytestmark = pytest.mark.browser
RUN, OTHER_RUN, DATASET = HOSTILE[1], HOSTILE[7], HOSTILE[3]
OWN_PROBES = ("/_stcore/health", "/_stcore/host-config")
MODEL_NAME = HOSTILE[1].replace("/", "_")


def examples() -> list[Example]:
    """Every string as a prompt, as a response and as a role of its own; two rows alike, to be near duplicates."""
    rows = [Example((Message("system", text), Message("user", text), Message("assistant", text))) for text in HOSTILE]
    words = " ".join(f"word{number}" for number in range(60))
    return rows + [Example((Message("user", text), Message("assistant", f"{words} {text}"))) for text in HOSTILE[:3]]


@pytest.fixture(scope="module")
def counted() -> dict[str, list[str]]:
    """Names that were taken, and those that were refused, by what they name."""
    return {}


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, tiny_reference: Path, counted: dict[str, list[str]]
) -> Iterator[Dashboard]:
    """A dashboard on a workspace where everything is called by a hostile name."""
    workspace = tmp_path_factory.mktemp("hostile") / "workspace"
    models = tmp_path_factory.mktemp("models")
    base, reference = models / MODEL_NAME, models / f"reference {MODEL_NAME}"
    shutil.copytree(tiny_base, base)
    shutil.copytree(tiny_reference, reference)
    with Store.open(workspace, "a test") as store:
        for run, first, second in ((OTHER_RUN, reference, base), (RUN, base, reference)):
            score_examples(store, examples(), first, second, run=run, domains=HOSTILE, dataset=DATASET, max_length=512)
        name_everything(store, counted)
        leave_jobs(store)
    (workspace / "models").mkdir(exist_ok=True)
    shutil.copytree(tiny_reference, workspace / "models" / MODEL_NAME)
    dashboard = Dashboard(workspace)
    dashboard.environment = {"OMP_NUM_THREADS": "1"}
    dashboard.start()
    yield dashboard
    dashboard.stop()


def name_everything(store: Store, counted: dict[str, list[str]]) -> None:
    """Datasets, files, rejections, runs and selections, one for each string, where the name is allowed."""
    loss_sets = dict(store.rows("SELECT role, loss_set_id FROM run_loss WHERE run_id = (SELECT max(run_id) FROM run)"))
    description = store.run(RUN)["description"]
    for number, text in enumerate(HOSTILE):
        rows = [DatasetRow(1, text, Example((Message("user", text), Message("assistant", text))), b"{}")]
        left_out = [Rejected(2, next(iter(REASONS)), text)]
        naming: dict[str, Callable[[str], object]] = {
            "dataset": lambda name, rows=rows + left_out: store.add_source(  # type: ignore[misc]
                name, name, "jsonl", f"hash {name}", {}, rows
            ),
            "file": lambda name, number=number: store.add_source(  # type: ignore[misc]
                DATASET, name, "jsonl", f"hash {number}", {}, [Rejected(1, next(iter(REASONS)), name)]
            ),
            "run": lambda name: store.save_run(f"run {name}", DATASET, loss_sets, description),
            "selection": lambda name: save_selection(store, name, Selection(RUN, amount=Amount("ratio", 0.9))),
        }
        for kind, name_it in naming.items():
            try:
                name_it(text)
                counted.setdefault(kind, []).append(text)
            except UserError:
                counted.setdefault(f"{kind} refused", []).append(text)


def leave_jobs(store: Store) -> None:
    """Two jobs that ended, one of them in an error, and a search for near duplicates."""
    for outcome in ({"state": "done", "message": HOSTILE[0]}, {"state": "failed", "message": HOSTILE[3]}):
        job = create_job(store.workspace, {"kind": "score", "run": RUN, "dataset": DATASET, "parts": []}, {})
        (job.folder / "worker.log").write_text("\n".join(HOSTILE), encoding="utf-8")
        job.finish({**outcome, "follow_up_failed": HOSTILE[1]})
        job.settle()
    search = create_near_duplicate_job(store, DATASET, 0.8)
    find_near_duplicates(search)
    ingest_near_duplicates(store, search)
    search.settle()


class Watched:
    """A page, and all that it did which it should not have."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.address = address
        self.context = new_context(browser)
        self.asked_elsewhere: list[str] = []
        self.dialogs: list[str] = []
        self.complaints: list[str] = []
        self.seen = 0
        self.context.route(lambda url: urlparse(url).hostname != "127.0.0.1", self._elsewhere)
        self.page = self.context.new_page()
        self.page.on("dialog", self._dialog)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._console)

    def _console(self, said: Any) -> None:
        # Streamlit itself asks which part of a cold link's path is the app's, and is told so with a 404.
        if said.type == "error" and not said.location["url"].endswith(OWN_PROBES):
            self.complaints.append(f"{said.text} ({said.location['url']})")

    def _elsewhere(self, route: Any) -> None:
        if urlparse(route.request.url).scheme in ("http", "https", "ws", "wss"):
            self.asked_elsewhere.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    def _dialog(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def open(self, path: str, **query: str) -> None:
        """Open a view, and look at what it did to the page."""
        words = "&".join(f"{name}={quote(value)}" for name, value in query.items())
        self.page.goto(f"{self.address}/{path}?{words}")
        self.look(path)

    def open_tab(self, name: str) -> None:
        """Open a tab of the page, and look."""
        tab = self.page.get_by_role("tab", name=name, exact=True)
        tab.click()
        expect(tab).to_have_attribute("aria-selected", "true")
        self.look(name)

    def look(self, view: str) -> None:
        """Wait for the page to come to rest; its navigation has to be where it was, and nothing over it."""
        expect(self.page.get_by_test_id("stMainBlockContainer")).to_be_visible()
        self.page.wait_for_function(AT_REST)
        assert self.page.get_by_test_id("stException").count() == 0, view
        found = self.page.evaluate(LOOK, ELSEWHERE)
        wrong = {name: value for name, value in found.items() if value}
        assert not wrong, f"{view}: {json.dumps(wrong)[:2000]}"
        self.seen += 1


AT_REST = """() => {
    const app = document.querySelector('[data-testid="stApp"]');
    return app && app.dataset.testScriptState === 'notRunning' && document.querySelector('h1, h2, h3')
        && !document.querySelector('[data-testid="stSkeleton"]');
}"""
LOOK = """elsewhere => {
    const all = selector => [...document.querySelectorAll(selector)];
    const brief = elements => elements.map(element => element.outerHTML.slice(0, 300));
    const links = all('[data-testid="stTopNavLink"]');
    const main = document.querySelector('[data-testid="stMain"]');
    const hidden = link => {
        const box = link.getBoundingClientRect();
        const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
        return box.y > 60 || box.width < 10 || !top || !(link.contains(top) || top.contains(link));
    };
    const loading = 'img, iframe, object, embed, video, link, script, base, form, image';
    return {
        taken: window.taken,
        links: links.length === 6 ? '' : `${links.length} links`,
        covered: document.querySelector('[role="dialog"]') ? '' : brief(links.filter(hidden)).join(),
        loads: brief(all(loading).filter(element => element.outerHTML.includes(elsewhere))).join(),
        runs: brief(all('[onload], [onerror], [href^="javascript:"]')).join(),
        huge: brief(all('svg text, svg tspan, p, span').filter(
            element => element.innerHTML && parseFloat(getComputedStyle(element).fontSize) > 60)).join(),
        too_wide: main.scrollWidth > main.clientWidth + 1 ? `${main.scrollWidth} of ${main.clientWidth}` : '',
        title: /^(LoBaSS|Home|Data|Score|Curate|Evidence|Export)/.test(document.title) ? '' : document.title,
    };
}"""


@pytest.fixture(scope="module")
def watched(served: Dashboard, browser: Browser) -> Iterator[Watched]:
    """A browser on that dashboard."""
    watching = Watched(browser, served.address)
    yield watching
    watching.context.close()


def test_at_least_twenty_strings_were_put_wherever_a_name_may_be(
    served: Dashboard, counted: dict[str, list[str]]
) -> None:
    assert len(HOSTILE) >= 20
    for kind in ("dataset", "file", "run", "selection"):
        assert len(counted.get(kind, [])) + len(counted.get(f"{kind} refused", [])) == len(HOSTILE)
        assert len(counted.get(kind, [])) >= 20


def test_data_and_score_show_hostile_names_as_text(watched: Watched) -> None:
    watched.open("data")
    for title in watched.page.get_by_test_id("stExpander").all()[:4]:
        title.locator("summary").click()
    watched.look("data, opened")
    watched.open("score")
    for title in watched.page.get_by_test_id("stExpander").all():
        title.locator("summary").click()
    watched.look("score, opened")


def test_explore_shows_hostile_names_as_text(watched: Watched) -> None:
    watched.open("curate", run=RUN)
    for view in ("Length", "Trust", "Near-duplicates", "Distribution"):
        watched.open_tab(view)
        if view == "Near-duplicates":
            expect(watched.page.get_by_text("Groups 1 to")).to_be_visible()
            watched.page.get_by_role("spinbutton", name="Open group").fill("1")
            watched.page.keyboard.press("Enter")
            expect(watched.page.get_by_role("heading", name="Group 1")).to_be_visible()
            watched.look("a group")
    kinds = watched.page.locator(".st-key-kind").get_by_role("radio")
    expect(kinds.nth(2)).to_be_visible()  # an opened tab can be at rest before its run has begun
    for kind in kinds.all():
        kind.click()
        watched.look(f"distribution {kind.inner_text()}")
    search = {"query": HOSTILE[1], "kind": "phrase", "place": "either"}
    watched.open("curate", run=RUN, filter=json.dumps({"search": search, "domains": list(HOSTILE[:8])}))


def test_rows_show_hostile_data_as_text(watched: Watched) -> None:
    watched.open("curate", run=RUN, example="2")
    panel = watched.page.locator(".st-key-row_panel")
    expect(panel.get_by_text("Row 2", exact=True)).to_be_visible()
    panel.get_by_role("button", name="Show tokens").click()
    expect(watched.page.locator(".lobass-tokens")).to_be_visible()
    watched.look("tokens")
    for number in (8, 12, 16):
        watched.page.get_by_role("spinbutton", name="Open row").fill(str(number))
        watched.page.keyboard.press("Enter")
        expect(panel.get_by_text(f"Row {number}", exact=True)).to_be_visible()
        watched.look(f"row {number}")


def test_compare_select_and_export_show_hostile_names_as_text(watched: Watched) -> None:
    watched.open("evidence", run=RUN, evidence="Compare runs", **{"with": OTHER_RUN})
    watched.open_tab("Top rows")
    watched.open_tab("Movers")
    watched.open("curate", run=RUN, shown="At the cut")
    for part, said in (("At the cut", "First rows not selected"), ("Dropped", "Rows 1 to"), ("Picks", "No hand picks")):
        watched.page.locator(".st-key-shown").get_by_role("radio", name=part).click()
        expect(watched.page.get_by_text(said).first).to_be_visible()
        watched.look(part)
    for view in ("By domain", "Saved selections"):
        watched.open_tab(view)
    watched.open("export")
    watched.page.get_by_role("button", name="Export and download").click()
    expect(watched.page.get_by_text("bytes written")).to_be_visible()
    watched.look("export, written")
    watched.page.get_by_role("radio", name="A bundle for a trainer").click()
    expect(watched.page.get_by_role("button", name="Export and download")).to_be_visible()
    watched.look("bundle")


def test_names_in_an_address_are_shown_as_text(watched: Watched) -> None:
    watched.open("curate", run=f"no run {''.join(HOSTILE)}"[:4_000])
    watched.open("evidence", run=RUN, evidence="Compare runs", **{"with": f"no run {''.join(HOSTILE)}"[:4_000]})


def test_nothing_ran_and_nobody_else_was_asked(watched: Watched) -> None:
    """Last: what all views before did together."""
    assert watched.seen >= 25
    assert watched.asked_elsewhere == []
    assert watched.dialogs == []
    assert sorted(set(watched.complaints)) == []
