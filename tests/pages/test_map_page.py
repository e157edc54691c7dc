"""The map on Curate: from a run without embeddings to a chart whose box filters the page."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.data.examples import Example, Message
from core.jobs.job import all_jobs
from core.selection import Pick
from core.store import Store
from core.workspace.mapping import begin_embedding_of_run, map_run
from core.workspace.vector_imports import VectorRequest, import_vectors
from tests.core.scored_models import score_examples
from tests.inline_executor import run_jobs_inline
from tests.pages.closed_parts import with_open_parts
from tests.tiny_models import make_tokenizer
from tests.trial_workspace import wait_quietly
from tests.waiting import wait_for
from ui.shell.session import open_session

pytest.importorskip("pacmap", reason="the extra map is not installed")

PAGE = Path(__file__).parents[2] / "pages" / "curate_page.py"
HOSTILE = "<b>What</b> ![x](http://example.invalid/x.png)"


def opened(**query: str) -> AppTest:
    page = with_open_parts(AppTest.from_file(str(PAGE), default_timeout=90))
    page.query_params.update({"view": "Map", **query})
    return page.run()


def press(page: AppTest, label: str, workspace: Path) -> AppTest:
    """Start a job by its button; the page once its result has been taken in."""
    next(item for item in page.button if item.label == label).click().run()
    assert not page.exception
    assert not page.error
    wait_for(lambda: all(job.is_settled for job in all_jobs(workspace)), f"the taking in of {label}")
    return page.run()


@pytest.fixture(scope="module")
def made(made_once: Callable[[str, Callable[[Path], object]], Path], tiny_base: Path, tiny_reference: Path) -> Path:
    """A scored run of 14 rows."""
    talks = [
        Example((Message("user", f"{HOSTILE} is {number}?"), Message("assistant", "A river. " * (1 + number % 4))))
        for number in range(14)
    ]

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch, Store.open(folder, "a test") as store:
            run_jobs_inline(patch)
            score_examples(store, talks, tiny_base, tiny_reference)

    return made_once("scored-for-a-map", make)


@pytest.fixture
def scored(made: Path, page_workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    run_jobs_inline(monkeypatch)
    shutil.copytree(made, page_workspace)
    return page_workspace


def test_the_page_leads_from_no_embeddings_to_a_map_that_a_link_filters(scored: Path) -> None:
    page = opened()
    assert "A map needs an embedding of each row" in page.info[0].value
    page = press(page, "Compute embeddings", scored)
    assert any("No map yet." in info.value for info in page.info)
    page = press(page, "Make the map", scored)
    assert [job.kind for job in all_jobs(scored)][-2:] == ["embed", "map"]
    note = r"on the embeddings of \S+\. Only what is near means much"
    assert any(re.search(note, caption.value) for caption in page.caption)
    for colour in ("Score", "Selection", "Flag"):
        control = next(item for item in page.segmented_control if item.key == "map_colours")
        page = control.set_value(colour).run()
        assert not page.exception
    assert next(box for box in page.selectbox if box.key == "map_flag").options == ["Short response", "Repetitive"]


def test_vectors_of_a_file_take_the_place_of_the_bases_and_give_it_back(scored: Path) -> None:
    np.save(scored / "v.npy", np.eye(14))
    page = opened()
    page.text_input(key="vectors_path_0").set_value(str(scored / "missing.npy")).run()
    refused = next(item for item in page.button if item.label == "Use these vectors").click().run()
    assert "There is no file" in refused.error[0].value
    page = opened()
    page.text_input(key="vectors_path_0").set_value(str(scored / "v.npy")).run()
    page = next(item for item in page.button if item.label == "Use these vectors").click().run()
    assert not page.exception
    assert "for 14 of 14 unique rows" in page.success[0].value
    store = open_session().store
    assert store.run("tiny")["embeddings"]["label"] == "v.npy"
    page = press(page, "Use those of the base again", scored)
    assert store.run("tiny")["embeddings"] is None
    assert not page.success


def test_the_rows_are_embedded_by_a_sentence_model_that_is_named(
    scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sentence_transformers", reason="the extra sentence is not installed")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    model = SentenceTransformer(modules=[StaticEmbedding(make_tokenizer(), embedding_dim=8)], device="cpu")
    for folder in (scored / "static", tmp_path / "static"):
        model.save(str(folder), create_model_card=False)
    monkeypatch.setenv("LOBASS_ALLOWED_FOLDERS", "")
    page = opened()
    control = next(item for item in page.segmented_control if item.key == "embeddings_source")
    page = control.set_value("A sentence model").run()
    page.text_input(key="sentence_model").set_value(str(tmp_path / "static")).run()
    refused = next(item for item in page.button if item.label == "Embed the rows").click().run()
    assert "outside the allowed folders" in refused.error[0].value
    page.text_input(key="sentence_model").set_value(str(scored / "static")).run()
    page = press(page, "Embed the rows", scored)
    found = open_session().store.run("tiny")["embeddings"]
    assert found["label"] == str(scored / "static")
    assert (found["model"].partition(":")[0], found["truncated"]) == ("sentence", 0)
    assert any("The run uses those of a sentence model." in caption.value for caption in page.caption)


def test_rows_like_a_pick_are_scored_and_the_ranking_can_use_the_score(scored: Path) -> None:
    with Store.open(scored, "a test") as store:
        picked = store.rows("SELECT example_id::VARCHAR FROM scored_1 WHERE row_number = 3")[0][0]
    page = opened(view="Overview", shown="Picks")
    page.session_state["like_0"] = True
    page = press(page.run(), "Compute embeddings", scored)
    page.session_state["like_1"] = True
    page = page.run()
    assert any("No rows yet." in caption.value for caption in page.caption)
    page.session_state["kept_picks"] = {"talk": (Pick(picked),)}
    page = press(page.run(), "Score rows", scored)
    assert [job.kind for job in all_jobs(scored)][-1] == "like"
    said = next(success.value for success in page.success).replace("\\", "")
    assert "how like the chosen rows (1) each row is" in said
    assert "13 other rows nearly repeat one of them. The target has one row" in said
    next(item for item in page.button if item.label == "Rank by it").click().run()
    assert next(box for box in page.selectbox if box.key == "recipe_score").value == "imported_like_picks"


def test_rows_like_those_of_a_file_are_scored_unless_the_run_uses_vectors_from_a_file(scored: Path) -> None:
    (scored / "wanted.jsonl").write_text('{"prompt": "Name a river.", "completion": "The Thames."}\n')
    np.save(scored / "v.npy", np.eye(14))
    with Store.open(scored, "a test") as store:
        job = begin_embedding_of_run(store, "tiny")
        assert job
        wait_quietly(store, job)
    page = opened(view="Overview")
    page.session_state["like_0"] = True
    page = page.run()
    next(item for item in page.segmented_control if item.key == "like_which").set_value("Rows of a file").run()
    next(item for item in page.segmented_control if item.key == "file_place").set_value("Path on this server").run()
    next(item for item in page.text_input if item.label == "Path").set_value(str(scored / "wanted.jsonl")).run()
    page = press(page, "Score rows", scored)
    assert [job.kind for job in all_jobs(scored)] == ["embed", "like_file"]
    said = next(success.value for success in page.success).replace("\\", "")
    assert "New score like_wanted (imported): how like the chosen rows (1) each row is" in said
    assert "0 rows of the dataset nearly repeat one of them" in said
    store = open_session().store
    import_vectors(store, VectorRequest("tiny", scored / "v.npy"))
    page = page.run()
    page.session_state["like_1"] = True
    page = page.run()
    next(item for item in page.segmented_control if item.key == "like_which").set_value("Rows of a file").run()
    assert not page.exception
    said = [error.value.replace("\\", "") for error in page.error]
    assert any("uses vectors of v.npy, and the rows of a file have none" in sentence for sentence in said), said


def test_a_link_to_another_workspaces_map_loses_that_filter_in_a_sentence(scored: Path) -> None:
    page = opened(filter='{"ranges":[["map_0123456789abcdef_x",0,1]]}')
    assert not page.exception
    assert [error.value for error in page.error] == [
        "The filter is on a map that this workspace does not have. It was removed."
    ]
    assert any("**14** of 14 rows" in text.value for text in page.markdown)


def test_half_of_the_rows_pass_a_range_on_the_map_and_its_chip_says_so(scored: Path) -> None:
    with Store.open(scored, "a test") as store:
        job = begin_embedding_of_run(store, "tiny")
        assert job
        wait_quietly(store, job)
        key = map_run(store, "tiny", 0, wait_quietly)["key"]
        places = sorted(x for (x,) in store.rows("SELECT x FROM map_place"))
    middle = (places[6] + places[7]) / 2
    page = opened(filter=f'{{"ranges":[["map_{key}_x",null,{middle!r}]]}}')
    assert not page.exception
    assert any("**7** of 14 rows" in text.value for text in page.markdown)
    assert any(button.label.startswith("Map x to") for button in page.button)
