"""The Score page, run by Streamlit's own test harness against a real store, real tiny models, and workers that
are processes where their process matters."""

import fcntl
import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button, Selectbox, TextInput

from core.data.examples import DatasetRow, Example, Message
from core.data.scores import score_named
from core.jobs.job import Job, all_jobs, create_job
from core.jobs.job_progress import Progress
from core.near_duplicates.jobs import create_near_duplicate_job
from core.scoring.ingest import save_planned_run
from core.scoring.planning import ScoreRequest, create_score_job, plan_scoring
from core.store import Store
from core.workspace.mapping import begin_embedding_of_run
from core.workspace.vector_imports import VectorRequest, import_vectors
from tests.core.workspace.test_supervision import write_losses
from tests.inline_executor import run_default_jobs_inline
from tests.tiny_models import save_lora_adapter
from tests.waiting import wait_for
from ui.plain_text import escaped
from ui.score.reference_form import CROSS_FITTED, IN_SAMPLE, OWN_LABEL
from ui.shell.session import open_session

PAGE = Path(__file__).parents[2] / "pages" / "score_page.py"
HOSTILE = "![x](http://example.invalid/x.png)</span><script>alert(1)</script>"
OUR_TAGS = {"<style", "</style", "<div", "</div", "<span", "</span"}


@pytest.fixture
def workspace(page_workspace: Path) -> Path:
    """The page's workspace, with three rows to score; the last is hostile text."""
    with Store.open(page_workspace, "a test") as opened:
        texts = ["1, 2", "2, 3\n3, 4", HOSTILE]
        rows = [
            DatasetRow(number, "all", Example((Message("user", "Count."), Message("assistant", text))), b"{}")
            for number, text in enumerate(texts, 1)
        ]
        opened.add_source("numbers", "n.jsonl", "jsonl", "a hash", {}, rows)
    return page_workspace


@pytest.fixture
def score(workspace: Path, tiny_base: Path) -> Callable[[], AppTest]:
    """The page, with the tiny model for a base."""

    def opened() -> AppTest:
        page = healthy(AppTest.from_file(str(PAGE), default_timeout=300).run())
        return healthy(enter(page, "base", str(tiny_base)))

    return opened


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs run in this process: a worker takes longer to start than tiny models to train and score."""
    run_default_jobs_inline(monkeypatch)


def healthy(page: AppTest) -> AppTest:
    assert not page.exception
    assert not page.error, page.error[0].value
    return page


def text_of(page: AppTest) -> str:
    """Everything the page says, markdown unescaped."""
    kinds = (page.markdown, page.caption, page.text, page.info, page.success, page.error, page.code)
    return "\n".join(element.value for elements in kinds for element in elements).replace("\\", "")


def the_error(page: AppTest) -> str:
    """The one sentence of what went wrong."""
    assert not page.exception
    assert len(page.error) == 1
    return page.error[0].value.replace("\\", "")


def button(page: AppTest, label: str) -> Button:
    return next(item for item in page.button if item.label == label)


def labels(page: AppTest) -> list[str]:
    return [item.label for item in page.button]


def headings(page: AppTest) -> list[str]:
    """Labels of what can be opened, markdown unescaped."""
    return [item.label.replace("\\", "") for item in page.expander]


def selectbox(page: AppTest, label: str) -> Selectbox:
    return next(item for item in page.selectbox if item.label == label)


def text_input(page: AppTest, label: str) -> TextInput:
    return next(item for item in page.text_input if item.label == label)


def enter(page: AppTest, field: str, value: str) -> AppTest:
    """Choose a model that is not in the list; Streamlit's harness cannot type a new option, so it is remembered."""
    page.session_state[f"kept_{field}"] = value
    return page.run()


def with_reference(page: AppTest, reference: Path) -> AppTest:
    page.segmented_control[0].set_value("Use an existing model")
    return enter(page, "reference", str(reference))


def ended(kind: str) -> Job:
    """The newest job of that kind, as soon as the supervisor has taken it in."""
    workspace = open_session().workspace

    def settled() -> Job | None:
        jobs = [job for job in all_jobs(workspace) if job.kind == kind]
        return jobs[-1] if jobs and jobs[-1].is_settled else None

    job = wait_for(settled, f"the end of a {kind} job")
    assert job is not None
    return job


def running_job(workspace: Path) -> Job:
    """A job of scoring that is under way as far as anyone can tell, while the caller holds its lock."""
    job = create_job(
        workspace, {"kind": "score", "dataset": "numbers", "run": HOSTILE, "base": {"label": "b"}, "parts": []}, {}
    )
    job.report(Progress("scoring with the base model", 1, 4, "rows", 1000.0, 65.0))
    return job


def test_an_empty_workspace_says_what_to_do_next(page_workspace: Path) -> None:
    page = healthy(AppTest.from_file(str(PAGE), default_timeout=300).run())
    assert "Import a dataset first" in text_of(page)
    assert [button.key for button in page.button] == []


def test_without_a_reference_training_one_is_offered_first(score: Callable[[], AppTest]) -> None:
    assert "Train reference" in labels(score())


@pytest.mark.usefixtures("inline")
def test_the_cost_and_the_scored_tokens_are_shown_before_anything_is_scored(
    score: Callable[[], AppTest], tiny_reference: Path
) -> None:
    page = healthy(button(with_reference(score(), tiny_reference), "Estimate time").click().run())
    assert "3 rows, 3 unique; template chat, at most 2,048 tokens per row, float32 on cpu" in text_of(page)
    assert page.dataframe[0].value["To compute"].tolist() == [3, 3]
    assert ended("estimate").state == "done"
    page = healthy(page.run())
    metrics = {metric.label: metric.value for metric in page.metric}
    assert list(metrics) == ["Estimated time", "Memory", "Tokens to run", "GPU-hours"]
    assert int(metrics["Tokens to run"].replace(",", "")) > 20
    assert metrics["Memory"].endswith(("MB", "GB"))
    assert metrics["GPU-hours"] == "none (CPU)"
    strips = [element.proto.body for element in page.get("html")]
    assert len(strips) == 3
    assert any('<span class="marked">↵\n</span>' in strip for strip in strips)
    # Hostile text stays text: of tags there are only ours.
    assert all(set(re.findall(r"</?\w+", strip)) == OUR_TAGS for strip in strips)
    assert open_session().store.rows("SELECT count(*) FROM loss") == [(0,)]


@pytest.mark.usefixtures("inline")
def test_what_a_person_should_know_of_the_models_is_shown_before_and_after_scoring(
    score: Callable[[], AppTest], workspace: Path, tiny_base: Path
) -> None:
    adapter = save_lora_adapter(workspace / "tuned", tiny_base)
    path = adapter / "adapter_config.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**fields, "base_model_name_or_path": HOSTILE}), encoding="utf-8")
    page = with_reference(score(), adapter)
    page = healthy(button(page, "Estimate time").click().run())
    (notice,) = page.warning
    assert "as its base, not" in notice.value
    assert "\\<script\\>" in notice.value  # escaped: it is somebody else's text
    assert ended("estimate").state == "done"
    healthy(button(page, "Start scoring").click().run())
    assert ended("score").state == "done"
    page = healthy(AppTest.from_file(str(PAGE), default_timeout=300).run())
    assert [warning.value for warning in page.warning] == [notice.value]


@pytest.mark.usefixtures("inline")
def test_scoring_runs_to_a_run_that_can_be_explored(score: Callable[[], AppTest], tiny_reference: Path) -> None:
    page = with_reference(score(), tiny_reference)
    page = text_input(page, "Run name").set_value("first").run()
    healthy(button(page, "Start scoring").click().run())
    assert ended("score").state == "done"
    page = healthy(page.run())
    runs = page.dataframe[-1].value
    assert runs[["Run", "Rows", "Scored"]].to_numpy().tolist() == [["first", 3, 3]]
    assert "Scoring run first on dataset numbers: done" in headings(page)
    assert "tokens per second" in text_of(page)
    page = healthy(button(page, "Estimate time").click().run())
    assert "Nothing to compute: all losses are cached." in text_of(page)
    page = healthy(button(page, "Start scoring").click().run())
    assert "no model had to run" in text_of(page)


@pytest.mark.usefixtures("inline")
def test_models_are_spread_where_that_is_chosen(score: Callable[[], AppTest], tiny_reference: Path) -> None:
    page = healthy(button(with_reference(score(), tiny_reference), "Estimate time").click().run())
    assert "Not estimated with these settings yet." not in text_of(page)
    page = healthy(selectbox(page, "Model placement").set_value("spread").run())
    assert "Not estimated with these settings yet." in text_of(page)
    healthy(button(page, "Start scoring").click().run())
    job = ended("score")
    assert (job.state, job.placement) == ("done", "spread")


@pytest.mark.usefixtures("inline")
def test_a_run_gets_the_scores_without_prompts(score: Callable[[], AppTest], tiny_reference: Path) -> None:
    page = text_input(with_reference(score(), tiny_reference), "Run name").set_value("first").run()
    healthy(button(page, "Start scoring").click().run())
    assert ended("score").state == "done"
    for part, name in (("Base: IFD", "ifd"), ("Reference: PVI-like", "pvi_like")):
        page = healthy(AppTest.from_file(str(PAGE), default_timeout=300).run())
        healthy(page.segmented_control(key="without_prompts_part").set_value(part).run())
        page = healthy(button(page, "Compute").click().run())
        messages = [message.value for message in page.success]  # a quick job ends before the page is drawn
        assert ended("evaluate").state == "done"
        messages += [message.value for message in healthy(page.run()).success]
        said = escaped(f"The run first has {score_named(name).label}. Choose it as the score on Curate.")
        assert messages == [said]
        assert open_session().store.rows(f"SELECT count({name}) FROM scored_1") == [(3,)]


@pytest.mark.usefixtures("inline")
def test_pairs_are_made_of_a_datasets_replies_and_the_bases_responses(score: Callable[[], AppTest]) -> None:
    page = score()
    page.number_input(key="pairs_tokens").set_value(3).run()
    refused = button(page, "Generate pairs").click().run()
    assert "A dataset needs a name. Give it one." in text_of(refused)
    healthy(text_input(page, "Name of the new dataset").set_value("pairs").run())
    page = healthy(button(page, "Show the cost").click().run())
    assert "3 prompts, up to 9 new tokens" in text_of(page)
    page = healthy(button(page, "Generate pairs").click().run())
    assert ended("generate").state == "done"
    store = open_session().store
    made = store.rows(
        "SELECT (SELECT count(*) FROM preference_pair), "
        "(SELECT count(*) FROM dataset_row JOIN dataset USING (dataset_id) WHERE name = 'pairs'), "
        "(SELECT count(*) FROM rejection)"
    )
    ((pairs, rows, skipped),) = made
    assert pairs > 0
    assert (2 * pairs, pairs + skipped) == (rows, 3)
    page = healthy(button(page, "Generate pairs").click().run())
    assert "has these pairs already" in text_of(page)


@pytest.mark.usefixtures("inline")
def test_the_rows_are_embedded_after_the_scoring_if_that_is_chosen(
    score: Callable[[], AppTest], tiny_reference: Path, tmp_path: Path
) -> None:
    page = text_input(with_reference(score(), tiny_reference), "Run name").set_value("first").run()
    healthy(page.checkbox(key="score_embed").check().run())
    healthy(button(page, "Start scoring").click().run())
    assert (ended("score").state, ended("embed").state) == ("done", "done")
    store = open_session().store
    assert begin_embedding_of_run(store, "first") is None  # none is missing
    np.save(tmp_path / "v.npy", np.eye(3))
    import_vectors(store, VectorRequest("first", tmp_path / "v.npy"))
    healthy(button(page, "Start scoring").click().run())
    assert store.run("first")["embeddings"] is None  # its base's came last


def test_a_job_goes_to_the_cluster_that_is_chosen_and_says_if_there_is_none(
    score: Callable[[], AppTest], tiny_reference: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    monkeypatch.setenv("LOBASS_RAY_ADDRESS", "127.0.0.1:1")
    page = with_reference(score(), tiny_reference)
    healthy(page.segmented_control(key="runs_on").set_value("ray").run())
    healthy(button(page, "Start scoring").click().run())
    (job,) = all_jobs(workspace)
    assert job.request["executor"] == "ray"
    assert job.request["executor_settings"]["ray_address"] == "127.0.0.1:1"
    wait_for(lambda: job.outcome, "the end of the job")
    assert job.outcome is not None
    assert job.outcome["message"].startswith("No Ray cluster at '127.0.0.1:1' ([Errno 111] Connection refused).")


@pytest.mark.usefixtures("inline")
def test_a_reference_is_trained_then_scored_and_the_base_is_remembered(
    score: Callable[[], AppTest], tiny_base: Path
) -> None:
    page = score()
    text_input(page, "Learning rate").set_value("0.01")
    healthy(button(page, "Train reference").click().run())
    assert ended("train").state == "done"
    assert ended("score").state == "done"
    page = healthy(AppTest.from_file(str(PAGE), default_timeout=300).run())  # another visitor
    assert selectbox(page, "Base model").value == str(tiny_base)
    assert selectbox(page, "Reference model").value == "numbers-reference"
    (run,) = page.dataframe[-1].value[["Run", "Reference", "Kind of reference"]].to_numpy().tolist()
    assert run == ["numbers-reference", "numbers-reference", "Cross-fitted: 2 folds x 1 seed"]
    assert open_session().store.run("numbers-reference")["loss_sets"].keys() == {"base", "reference", "own"}
    assert [box.value for box in page.checkbox if box.label == OWN_LABEL] == [True]
    assert selectbox(page, "Model").options == ["Model 1 of 2: fold 0, seed 0", "Model 2 of 2: fold 1, seed 0"]
    assert len(page.get("plotly_chart")) == 2
    page = page.segmented_control[0].set_value(CROSS_FITTED).run()
    text_input(page, "Learning rate").set_value("0.01")
    page = healthy(button(page, "Train reference").click().run())
    assert "already exists with these settings" in text_of(page)


def test_the_cost_of_each_kind_of_reference_is_said_in_words(score: Callable[[], AppTest]) -> None:
    page = score()
    assert page.segmented_control[0].value == page.segmented_control[0].options[0] == CROSS_FITTED
    assert "Training: 2 models on about 45% of the rows each, together about as much as one model" in text_of(page)
    page.number_input(key="seeds").set_value(2)
    page = healthy(page.run())
    assert "Training: 4 models" in text_of(page)
    assert "about as many tokens as 2 passes. Own losses: about 2 more passes." in text_of(page)
    page = healthy(page.segmented_control[0].set_value(IN_SAMPLE).run())
    assert "Training: one model on all rows. Scoring: one pass of it over all rows." in text_of(page)
    assert OWN_LABEL not in [box.label for box in page.checkbox]


@pytest.mark.usefixtures("inline")
def test_an_in_sample_reference_with_held_out_rows_stops_early(score: Callable[[], AppTest]) -> None:
    page = score().segmented_control[0].set_value(IN_SAMPLE).run()
    assert next(box for box in page.checkbox if box.label == "Stop early").disabled
    page.number_input(key=f"held_out_{IN_SAMPLE}").set_value(20)
    page = page.run()
    next(box for box in page.checkbox if box.label == "Stop early").set_value(True)
    next(box for box in page.checkbox if box.label.startswith("Score the dataset")).set_value(False)
    healthy(button(page, "Train reference").click().run())
    request = ended("train").request
    assert "members" not in request
    assert (request["folding"]["held_out"], request["early_stop"], request["then"]) == (0.2, True, [])
    page = healthy(AppTest.from_file(str(PAGE), default_timeout=300).run())
    assert len(page.get("plotly_chart")) == 2  # the training loss, and the loss on held-out rows by pass


@pytest.mark.parametrize(
    ("rate", "sentence"),
    [("two", "'two' is not a number. Write it like 2e-4."), ("0", "above 0"), ("nan", "above 0")],
)
def test_a_bad_learning_rate_is_one_sentence(score: Callable[[], AppTest], rate: str, sentence: str) -> None:
    page = score()
    page = text_input(page, "Learning rate").set_value(rate).run()
    if not page.error:
        page = button(page, "Train reference").click().run()
    assert sentence in the_error(page)


def test_weights_are_quantized_for_training_and_for_scoring_after_it(
    score: Callable[[], AppTest], workspace: Path
) -> None:
    pytest.importorskip("bitsandbytes", reason="the extra quantized is not installed")
    with open(running_job(workspace).folder / "worker.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the next job waits, and can be read
        page = score()
        selectbox(page, "Weights").set_value("nf4")
        page = selectbox(page, "Method").set_value("full").run()
        page = button(page, "Train reference").click().run()
        assert "Quantized weights cannot be trained themselves." in the_error(page)
        selectbox(page, "Method").set_value("lora")
        page = healthy(button(page, "Train reference").click().run())
        (job,) = (job for job in all_jobs(workspace) if job.kind == "train")
        request = job.request
        healthy(page.button(key=f"cancel_{job.job_id}").click().run())
    assert (request["base"]["quantization"], request["then"][0]["quantization"]) == ("nf4", "nf4")


def test_a_reference_whose_name_is_no_folder_is_one_sentence(score: Callable[[], AppTest]) -> None:
    page = score()
    text_input(page, "Reference name").set_value("../up")
    assert "'../up' is not a valid reference name" in the_error(button(page, "Train reference").click().run())


def test_a_reference_whose_name_is_taken_is_one_sentence(score: Callable[[], AppTest], workspace: Path) -> None:
    (workspace / "models" / "numbers-reference").mkdir(parents=True)
    page = button(score(), "Train reference").click().run()
    assert "'numbers-reference' exists already" in the_error(page)


@pytest.mark.parametrize("press", ["Estimate time", "Start scoring"])
def test_models_that_cannot_be_used_are_one_sentence(
    score: Callable[[], AppTest], tiny_base: Path, tmp_path: Path, press: str
) -> None:
    from tests.tiny_models import save_model_folder

    other = save_model_folder(tmp_path / "other_*x*", "llama", seed=1, vocabulary_size=350)
    bare = shutil.copytree(tiny_base, tmp_path / "bare")
    (bare / "model.safetensors").unlink()
    for reference, sentence in ((other, "share a tokenizer"), (bare, "no *.safetensors"), ("/nowhere", "'/nowhere'")):
        page = button(with_reference(score(), Path(reference)), press).click().run()
        assert sentence in the_error(page)
    page = enter(with_reference(score(), tiny_base), "base", "/no_*base*")
    page = button(page, press).click().run()
    assert "'/no_*base*' is outside the allowed folders" in the_error(page)
    assert "/no_*base*" not in page.error[0].value


def test_a_runs_name_that_is_taken_is_one_sentence(
    score: Callable[[], AppTest], tiny_base: Path, tiny_reference: Path
) -> None:
    page = with_reference(score(), tiny_reference)
    request = ScoreRequest("numbers", str(tiny_base), str(tiny_reference), run="mine", template="plain", device="cpu")
    save_planned_run(open_session().store, plan_scoring(open_session().store, request))
    page = text_input(page, "Run name").set_value("mine").run()
    assert "A run named 'mine' exists with other models" in the_error(button(page, "Start scoring").click().run())


def test_a_check_that_died_can_be_made_again(score: Callable[[], AppTest], tiny_reference: Path) -> None:
    page = button(with_reference(score(), tiny_reference), "Estimate time").click().run()
    job = all_jobs(open_session().workspace)[-1]
    os.kill(json.loads((job.folder / "starting.json").read_text(encoding="utf-8"))["process"], signal.SIGKILL)
    wait_for(lambda: job.state == "interrupted", "the end of the killed worker")
    assert "The estimate stopped before it finished. Run it again." in text_of(healthy(page.run()))
    shutil.rmtree(job.folder)
    assert "no longer in the workspace" in text_of(healthy(page.run()))


def test_a_running_job_is_shown_and_can_be_cancelled(score: Callable[[], AppTest], workspace: Path) -> None:
    job = running_job(workspace)
    with open(job.folder / "worker.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        page = score()
        assert "scoring with the base model: 1 of 4 rows, 1,000 tokens per second, 1 min 5 s left" in text_of(page)
        assert page.get("progress")[0].proto.value == 25
        page = healthy(button(page, "Cancel").click().run())
        assert job.is_cancelled
        assert "Stopping after the current batch..." in text_of(page)
        assert "Cancel" not in labels(page)


@pytest.mark.usefixtures("inline")
def test_an_interrupted_job_can_be_resumed(
    score: Callable[[], AppTest], workspace: Path, tiny_base: Path, tiny_reference: Path
) -> None:
    request = ScoreRequest("numbers", str(tiny_base), str(tiny_reference), run="first", device="cpu")
    with Store.open(workspace, "a test") as opened:
        job = create_score_job(opened, plan_scoring(opened, request))
    page = score()
    assert "The worker stopped before it finished. Computed losses are kept; Resume computes the rest." in text_of(page)
    healthy(button(page, "Resume").click().run())
    assert ended("score") == job
    assert job.state == "done"


def test_an_interrupted_job_can_be_given_up(score: Callable[[], AppTest], workspace: Path) -> None:
    job = running_job(workspace)
    page = healthy(button(score(), "Discard").click().run())
    assert job.is_settled
    assert "Discarded after its worker stopped." in text_of(page)
    assert "Resume" not in labels(page)


@pytest.mark.parametrize("state", [None, {"state": "done"}, {"state": "failed", "message": "It stopped."}])
def test_a_search_for_near_duplicates_stands_among_the_jobs(
    score: Callable[[], AppTest], workspace: Path, state: dict[str, str] | None
) -> None:
    with Store.open(workspace, "a test") as opened:
        job = create_near_duplicate_job(opened, "numbers", 0.8)
    if state:
        job.finish(state)
        job.settle()
    page = AppTest.from_file(str(PAGE), default_timeout=300).run()
    assert not page.exception
    shown = " ".join([*headings(page), text_of(page), *(error.value.replace("\\", "") for error in page.error)])
    assert "Near-duplicate search (threshold 0.8) in dataset numbers" in shown


def test_a_failed_job_says_why_until_that_is_closed(score: Callable[[], AppTest], workspace: Path) -> None:
    job = running_job(workspace)
    job.finish({"state": "failed", "message": f"The worker met {HOSTILE}."})
    job.settle()
    page = AppTest.from_file(str(PAGE), default_timeout=300).run()
    assert f"The worker met {HOSTILE}." in the_error(page)
    assert HOSTILE not in page.error[0].value
    assert all(HOSTILE not in item.label for item in page.expander)
    page = healthy(button(page, "Close").click().run())
    assert f"Scoring run {HOSTILE} on dataset numbers: failed" in headings(page)


def test_a_loss_curve_whose_last_line_is_half_written_is_drawn(score: Callable[[], AppTest], workspace: Path) -> None:
    job = create_job(workspace, {"kind": "train", "dataset": "numbers", "name": "n", "base": {"label": "b"}}, {})
    point = json.dumps({"step": 1, "tokens": 10, "domain": "all", "loss": 3.0})
    (job.folder / "curve.jsonl").write_text(point + '\n{"step": 2, "tok', encoding="utf-8")
    assert len(score().get("plotly_chart")) == 1


def test_of_several_models_the_one_in_work_is_shown(score: Callable[[], AppTest], workspace: Path) -> None:
    members = [{"model": f"fold-{fold}-seed-0", "fold": fold, "seed": 0} for fold in (0, 1)]
    request = {"kind": "train", "dataset": "numbers", "name": "n", "base": {"label": "b"}, "members": members}
    job = create_job(workspace, request, {})
    point = json.dumps({"step": 1, "tokens": 10, "domain": "all", "loss": 3.0}) + "\n"
    losses = {"passes": 0, "step": 0, "domain": "all", "examples": 1, "tokens": 10, "nll_sum": 30.0}
    for folder in ("members/fold-0-seed-0", "work/fold-1-seed-0"):
        (job.folder / folder).mkdir(parents=True)
        (job.folder / folder / "curve.jsonl").write_text(point, encoding="utf-8")
    text = "".join(json.dumps({**losses, "rows": rows}) + "\n" for rows in ("own", "held_out"))
    (job.folder / "work/fold-1-seed-0/passes.jsonl").write_text(text, encoding="utf-8")
    job.report(Progress("Training model 2 of 2", 1, 2, "steps"))
    page = score()
    assert "Model 2 of 2: fold 1, seed 0" in text_of(page)
    assert page.get("progress")[0].proto.value == 75
    assert len(page.get("plotly_chart")) == 2


def test_choices_are_remembered_between_visits(
    score: Callable[[], AppTest], tiny_base: Path, tiny_reference: Path
) -> None:
    page = with_reference(score(), tiny_reference)
    again = AppTest.from_file(str(PAGE), default_timeout=300)  # coming back from another page, whose widgets are gone
    for key in ("kept_dataset", "kept_base", "kept_reference"):
        again.session_state[key] = page.session_state[key]
    again = healthy(again.run())
    assert selectbox(again, "Base model").value == str(tiny_base)
    again = again.segmented_control[0].set_value("Use an existing model").run()
    assert selectbox(again, "Reference model").value == str(tiny_reference)


def test_the_base_is_checked_as_it_is_named(score: Callable[[], AppTest]) -> None:
    page = score()
    assert "Ready: " in text_of(page)
    assert "tokenizer found" in text_of(page)
    page = healthy(enter(page, "base", "/no_*base*"))
    assert "'/no_*base*' is outside the allowed folders" in text_of(page)
    assert all("/no_*base*" not in item.value for item in page.markdown)


def test_the_encoding_of_an_existing_reference_is_the_default(score: Callable[[], AppTest], workspace: Path) -> None:
    folder = workspace / "models" / "taught"
    folder.mkdir(parents=True)
    encoding = {"template": "plain", "max_length": 77, "tokenizer_fingerprint": "t", "replies": "last"}
    (folder / "provenance.json").write_text(json.dumps({"encoding": encoding}), encoding="utf-8")
    page = score()
    assert selectbox(page, "Reference model").value == "taught"
    assert selectbox(page, "Template").value == "plain"
    assert selectbox(page, "Scored replies").value == "last"
    assert [item.value for item in page.number_input if item.label.startswith("Maximum length")] == [77]


def test_the_queue_can_be_reordered_and_a_waiting_job_cancelled(
    score: Callable[[], AppTest], workspace: Path, tiny_reference: Path
) -> None:
    running = running_job(workspace)
    with open(running.folder / "worker.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        page = with_reference(score(), tiny_reference)
        page = text_input(page, "Run name").set_value("first").run()
        page = healthy(button(page, "Start scoring").click().run())
        (first,) = (job for job in all_jobs(workspace) if job != running)  # of one second: in any order
        page = healthy(page.segmented_control[0].set_value(IN_SAMPLE).run())
        page = healthy(button(page, "Train reference").click().run())
        (train,) = (job for job in all_jobs(workspace) if job.kind == "train")
        assert "Scoring run first on dataset numbers\nWaiting, 1st in the queue" in text_of(page)
        page = healthy(page.button(key=f"front_{train.job_id}").click().run())
        assert "Scoring run first on dataset numbers\nWaiting, 2nd in the queue" in text_of(page)
        for job in (first, train):
            page = healthy(page.button(key=f"cancel_{job.job_id}").click().run())
            assert job.state == "cancelled"
            assert not job.log_text
        assert "in the queue" not in text_of(healthy(page.run())).replace("waited in the queue", "")


@pytest.mark.usefixtures("inline")
def test_a_cancelled_run_opens_as_a_partial_one_and_can_be_completed(
    score: Callable[[], AppTest], workspace: Path, tiny_base: Path, tiny_reference: Path
) -> None:
    request = ScoreRequest("numbers", str(tiny_base), str(tiny_reference), run="first", device="cpu")
    with Store.open(workspace, "a test") as opened:
        job = create_score_job(opened, plan_scoring(opened, request))
    for role in ("base", "reference"):
        write_losses(job, role, rows=2)
    job.finish({"state": "cancelled", "message": "Cancelled at 2 of 3 rows."})
    page = score()
    wait_for(lambda: job.is_settled, "the cancelled job's intake")
    page = healthy(button(page.run(), "Open what is scored").click().run())
    assert "Run first: 2 of 3 rows scored." in text_of(page)
    runs = page.dataframe[-1].value
    assert runs[["Run", "Rows", "Scored"]].to_numpy().tolist() == [["first", 3, 2]]
    healthy(button(page, "Score the rest").click().run())
    wait_for(lambda: len(all_jobs(workspace)) == 2 and all(job.is_settled for job in all_jobs(workspace)), "the rest")
    page = healthy(AppTest.from_file(str(PAGE), default_timeout=300).run())
    assert page.dataframe[-1].value["Scored"].tolist() == [3]


@pytest.mark.usefixtures("inline")
def test_training_is_estimated_before_it_starts(score: Callable[[], AppTest], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOBASS_PROBE_SECONDS", "0.1")
    page = healthy(button(score(), "Estimate time and memory").click().run())
    assert ended("trial_probe").state == "done"
    page = healthy(page.run())
    metrics = {metric.label: metric.value for metric in page.metric}
    assert list(metrics) == ["Training time", "Memory", "Steps", "GPU-hours"]
    assert metrics["Steps"] == "2"
    assert "2 models, measured on a sample of the 3 rows." in text_of(page)
    page = healthy(page.number_input(key="train_processes").set_value(2).run())
    assert "Not estimated with these settings yet." in text_of(page)
    page = healthy(healthy(button(page, "Estimate time and memory").click().run()).run())
    assert "3 rows, with one process; 2 share each batch and take less time." in text_of(page)


@pytest.mark.parametrize("name", ["job.json", "outcome.json", "progress.json", "starting.json"])
@pytest.mark.parametrize("content", [b"", b'{"kind"'])
def test_a_job_with_a_damaged_file_is_said_above_the_page_and_the_page_works(
    score: Callable[[], AppTest], workspace: Path, name: str, content: bytes
) -> None:
    job = running_job(workspace)
    (job.folder / name).write_bytes(content)
    open_session()
    expected = name in ("job.json", "outcome.json")

    def page_says_it() -> bool:
        page = AppTest.from_file(str(PAGE), default_timeout=300).run()
        assert not page.exception
        said = any(f"{name} is not valid JSON" in item.value.replace("\\", "") for item in page.warning)
        return said == expected

    wait_for(page_says_it, "the notice")
