"""From a scored run to a trial's verdict, on the Evidence page, with a server that is killed in between.

The first models of the trial and its last are really trained; results of those between are put beside them while no
server runs: tests/core/workspace/test_trials.py has whole trials.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Page, expect

from core.evidence import cells
from core.evidence.trial_folder import Trial, load_trial
from core.jobs.job import all_jobs
from tests.browser.dashboard import Dashboard
from tests.trial_workspace import build_trial_workspace
from tests.waiting import wait_for

pytestmark = pytest.mark.browser
SECONDS = 600  # a tiny model or two; a busy machine takes long to start their workers


def test_a_trial_is_planned_started_and_gives_its_verdict_though_the_server_is_killed(
    unserved: Dashboard, open_page: Callable[[str], Page], tiny_base: Path, tiny_reference: Path
) -> None:
    dashboard = unserved
    build_trial_workspace(dashboard.workspace, tiny_base, tiny_reference)
    dashboard.environment = {"LOBASS_PROBE_SECONDS": "1", "OMP_NUM_THREADS": "1"}
    dashboard.start()
    page = open_page(f"{dashboard.address}/evidence?run=first&details=Trial")
    page.get_by_label("Name", exact=True).fill("by hand")
    _choose_only(page, "Selections", "half")
    _choose_only(page, "Other arms", "Random by domain")
    for label, value in (("Random draws", "3"), ("Budget (tokens)", "200")):
        field = page.get_by_label(label, exact=True)
        field.fill(value)
        field.press("Enter")
    page.get_by_role("button", name="Measure the cost").click()
    expect(page.get_by_text(re.compile("12 runs take about"))).to_be_visible(timeout=SECONDS * 1000)
    assert len(load_trial(dashboard.workspace, "by hand").missing()) == 12

    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_text(re.compile("Model [0-9]+ of 12"))).to_be_visible(timeout=SECONDS * 1000)
    wait_for(lambda: len(load_trial(dashboard.workspace, "by hand").missing()) < 12, "the first model", SECONDS)
    dashboard.kill()
    _fill_between(dashboard.workspace, load_trial(dashboard.workspace, "by hand"))

    dashboard.start()
    page = open_page(f"{dashboard.address}/evidence?run=first&details=Trial")
    # Whether the page still sees the last model at work depends on how busy the machine is.
    wait_for(lambda: not load_trial(dashboard.workspace, "by hand").missing(), "the last model", SECONDS)
    verdict = re.compile("half: (better than|worse than|not distinguishable from) random, for this base, budget and")
    expect(page.get_by_text(verdict).first).to_be_visible(timeout=SECONDS * 1000)
    expect(page.get_by_text("Difference from random-by-domain")).to_be_visible()
    expect(page.get_by_text(re.compile("better: lower loss"))).to_be_visible()


def _fill_between(workspace: Path, trial: Trial) -> None:
    """Give the models that no worker has begun the losses of the first, each other ones by up to 1 %, but not the last
    model."""
    first, *others, _ = cells(trial.plan)
    begun = {job.request["cell"] for job in all_jobs(workspace) if job.kind == "trial_cell"}
    losses = pq.read_table(trial.result_path(first, "parquet")).to_pandas()
    fields = json.loads(trial.result_path(first, "json").read_text(encoding="utf-8"))
    measured = {name: value for name, value in fields.items() if name not in ("arm", "ratio", "draw", "seed")}
    random = np.random.default_rng(3)
    for cell in others:
        if cell.name not in begun:
            changed = losses.assign(nll_sum=losses["nll_sum"] * random.uniform(0.99, 1.01, len(losses)))
            trial.save_result(cell, pa.Table.from_pandas(changed, preserve_index=False), measured)


def _choose_only(page: Page, label: str, option: str) -> None:
    """Choose one option of a multiselect and no other."""
    box = page.get_by_test_id("stMultiSelect").filter(has_text=label)
    clear = box.get_by_role("button", name="Clear all")
    if clear.count():
        clear.click()
    field = box.get_by_role("combobox")
    field.fill(option)
    page.get_by_role("option", name=option, exact=True).click()
    field.press("Escape")
    expect(box.get_by_text(option, exact=True)).to_be_visible()
