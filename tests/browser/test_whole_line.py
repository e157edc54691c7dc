"""The demo as a newcomer walks it: explore, move a slider, save, export, read the downloaded file. And a link that is
opened cold, and a killed server.

tests/pages/test_demo_page.py runs the demo by its button; test_three_files.py walks from one's own files.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from core.importing import DomainRule, SourceOptions, import_source
from core.jobs.job import all_jobs
from core.store import Store
from core.workspace import demo
from core.workspace.shipped_demo import open_shipped_demo
from tests.browser.dashboard import Dashboard, go_to
from tests.command_line import write_rows
from tests.waiting import wait_for

pytestmark = pytest.mark.browser
ROWS = 80


def test_a_newcomer_goes_from_the_demo_to_a_curated_file(
    unserved: Dashboard, open_page: Callable[[str], Page], tmp_path: Path
) -> None:
    with Store.open(unserved.workspace, "a test") as store:
        open_shipped_demo(store)
    unserved.start()
    page = open_page(f"{unserved.address}/explore")
    expect(page.get_by_role("heading", name="Curate")).to_be_visible()
    expect(page.get_by_text("1,000 of 1,000 rows")).to_be_visible()
    expect(page.get_by_text("Base loss against reference loss")).to_be_visible()
    expect(page.get_by_text("Rows 1 to 10 of 1,000")).to_be_visible()

    kept = page.get_by_test_id("stMetric").filter(has_text="Rows selected").get_by_test_id("stMetricValue")
    expect(kept).to_be_visible()
    before = int(kept.inner_text().replace(",", ""))
    slider = _slider(page, "math")
    for _ in range(10):
        slider.press("ArrowRight")
    expect(kept).not_to_have_text(f"{before:,}")
    page.get_by_role("textbox", name="Name").fill("more math")
    page.get_by_role("textbox", name="Name").press("Enter")
    page.get_by_role("button", name="Save selection").click()
    expect(page.get_by_text(re.compile("more math")).first).to_be_visible()
    settled = _settled_number(page, kept)
    assert settled > before

    go_to(page, "Export")
    with page.expect_download() as at_once:
        page.get_by_role("button", name="Export and download").click()
    assert at_once.value.suggested_filename.endswith(".jsonl.all.zip")
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download file").click()
    downloaded = tmp_path / "downloaded.jsonl"
    downloading.value.save_as(downloaded)
    lines = downloaded.read_bytes().splitlines()
    originals = set(demo.DATASET.read_bytes().splitlines())
    assert len(lines) == settled
    assert all(line in originals for line in lines)
    domains = [json.loads(line)["domain"] for line in lines]
    assert domains.count("math") > domains.count("chat")


def test_a_link_opens_cold_and_a_killed_server_finds_its_job_again(
    unserved: Dashboard, open_page: Callable[[str], Page], tmp_path: Path, tiny_base: Path, tiny_reference: Path
) -> None:
    dashboard = unserved
    with Store.open(dashboard.workspace, "a test") as store:
        rows = write_rows(tmp_path / "rows.jsonl", ROWS)
        import_source(store, "numbers", rows, SourceOptions(domain=DomainRule(field="domain")))
    dashboard.environment = {"LOBASS_CPU_BATCH_TOKENS": "64", "LOBASS_SHARD_SECONDS": "0", "OMP_NUM_THREADS": "1"}
    dashboard.start()
    page = open_page(f"{dashboard.address}/score")
    expect(page.get_by_role("heading", name="Score", exact=True)).to_be_visible()
    assert page.get_by_text("Page not found").count() == 0
    _choose(page, "Base model", str(tiny_base))
    page.get_by_role("radio", name="Use an existing model").click()
    _choose(page, "Reference model", str(tiny_reference))
    page.get_by_role("button", name="Start scoring").click()
    wait_for(lambda: any(job.shards for job in all_jobs(dashboard.workspace)), "the first shard")
    dashboard.kill()

    dashboard.start()
    page = open_page(f"{dashboard.address}/score")
    expect(page.get_by_text(f"{ROWS}").first).to_be_visible()
    wait_for(lambda: all(job.is_settled for job in all_jobs(dashboard.workspace)), "the end of the job")
    assert len(all_jobs(dashboard.workspace)) == 1
    page = open_page(f"{dashboard.address}/explore?score=base_loss")
    expect(page.get_by_text(f"{ROWS} of {ROWS} rows")).to_be_visible()
    assert page.get_by_text("Page not found").count() == 0
    assert "run=" in page.url


def _slider(page: Page, domain: str) -> Locator:
    return page.get_by_role("slider", name=re.compile(f"^{domain}"))


def _choose(page: Page, label: str, value: str) -> None:
    """Type a new option into a selectbox that takes them."""
    box = page.get_by_role("combobox", name=re.compile(label))
    box.fill(value)
    box.press("Enter")
    expect(box).to_have_value(value)
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)


def _settled_number(page: Page, metric: Locator) -> int:
    """The metric's number once the page has stopped running."""
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
    return int(metric.inner_text().replace(",", ""))
