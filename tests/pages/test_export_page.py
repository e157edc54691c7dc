"""The Export page, run by Streamlit's own test harness against a real store."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from core.data.examples import DatasetRow, Example, Message, Rejected
from core.data.filters import Range, RowFilter
from core.exporting import TRAINERS, selection_from_manifest
from core.jobs.shards import SHARD_SCHEMA
from core.selection import Amount, Selection, save_selection
from core.store import Store
from core.system.paths import file_stem, plain_name
from tests.core.bundle_rows import ALL, SEVERAL, example, talk_store
from tests.fake_hub import fake_hub
from tests.fakes import ScoredRecord, build_scored_store

OF_ROWS = [name for name, trainer in TRAINERS.items() if not trainer.pair_record]
PAGE = Path(__file__).parents[2] / "pages" / "export_page.py"
HOSTILE = "![x](http://example.invalid/x.png)"
ROWS = [ScoredRecord("chat", 2.0, number / 10, response=f"=answer {number}") for number in range(10)]
STEM = file_stem("top half", "selection")
HALF = Selection("planets", amount=Amount("ratio", 0.5))


@pytest.fixture
def export(page_workspace: Path) -> Callable[[Selection, str], AppTest]:
    """Opens the page on one saved selection."""

    def opened(selection: Selection = HALF, name: str = "top half") -> AppTest:
        with build_scored_store(page_workspace, ROWS) as store:
            save_selection(store, name, selection)
        return healthy(AppTest.from_file(str(PAGE), default_timeout=30).run())

    return opened


def healthy(page: AppTest) -> AppTest:
    assert not page.exception
    assert not page.error
    return page


def codes(page: AppTest) -> list[str]:
    return [code.value for code in page.code]


def previewed(page: AppTest) -> list[str]:
    """The records that the page shows."""
    return [value for value in codes(page) if value.startswith("{")]


def downloads(page: AppTest) -> list[str]:
    return [button.label for button in page.get("download_button")]


def test_without_a_saved_selection_the_page_says_what_to_do_next(page_workspace: Path) -> None:
    build_scored_store(page_workspace, ROWS).close()
    page = healthy(AppTest.from_file(str(PAGE), default_timeout=30).run())
    assert "save it under a name" in page.info[0].value


def test_the_page_says_how_much_it_writes_and_where(export: Callable[..., AppTest], page_workspace: Path) -> None:
    page = export()
    assert page.text[0].value.startswith("5 of 10 rows, 50 of 100 tokens, from run planets")
    assert previewed(page)[:1] == ['{"question": "What is it?", "answer": "=answer 0"}']
    assert str(page_workspace / "exports" / f"{STEM}.jsonl") in codes(page)
    assert not (page_workspace / "exports" / f"{STEM}.jsonl").exists()


def test_writing_leaves_the_records_and_a_manifest_and_offers_both(
    export: Callable[..., AppTest], page_workspace: Path
) -> None:
    page = healthy(export().button(key="write_export").click().run())
    written = page_workspace / "exports" / f"{STEM}.jsonl"
    assert [json.loads(line)["answer"] for line in written.read_bytes().splitlines()] == [
        f"=answer {number}" for number in range(5)
    ]
    assert selection_from_manifest(written.with_name(f"{STEM}.jsonl.manifest.json")) == HALF
    assert page.success[0].value.startswith("5 rows")
    assert downloads(page) == ["Download all (.zip)", "Download file", "Download manifest"]


def test_a_large_export_is_left_on_disk_with_its_path(
    export: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOBASS_DOWNLOAD_MEGABYTES", "0")
    page = healthy(export().button(key="write_export").click().run())
    assert downloads(page) == ["Download manifest"]
    assert any("larger than 0 MB" in text.value for text in page.text)


def test_scores_and_the_guard_are_written_on_request(export: Callable[..., AppTest], page_workspace: Path) -> None:
    page = export()
    page = healthy(page.selectbox(key="export_format").set_value("csv").run())
    page.checkbox(key="export_scores").check()
    page.checkbox(key="export_guard").check()
    healthy(page.button(key="write_export").click().run())
    header, first = (page_workspace / "exports" / f"{STEM}.csv").read_text().splitlines()[:2]
    assert header.startswith('"question","answer","lobass_learnability"')
    assert '"\'=answer 0"' in first


def test_the_preview_shows_the_scores_that_will_be_added(export: Callable[..., AppTest]) -> None:
    page = healthy(export().checkbox(key="export_scores").check().run())
    assert json.loads(previewed(page)[0])["lobass"]["learnability"] == 1.0


def test_a_compressed_export_ends_in_gz(export: Callable[..., AppTest], page_workspace: Path) -> None:
    page = healthy(export().checkbox(key="export_gzip").check().run())
    healthy(page.button(key="write_export").click().run())
    assert (page_workspace / "exports" / f"{STEM}.jsonl.gz").read_bytes()[:2] == b"\x1f\x8b"


def test_a_selection_that_keeps_nothing_cannot_be_exported(export: Callable[..., AppTest]) -> None:
    nothing = RowFilter(ranges=(Range("token_count", 1000, None),))
    page = export(Selection("planets", filter=nothing))
    assert "is empty" in page.info[0].value
    assert [button.key for button in page.button] == []


def test_a_name_cannot_lead_out_of_the_exports_folder(export: Callable[..., AppTest], page_workspace: Path) -> None:
    page = healthy(export(HALF, f"../../{HOSTILE}").button(key="write_export").click().run())
    written = sorted((path.name for path in (page_workspace / "exports").iterdir()), key=len)
    assert [name.removeprefix(written[0]) for name in written] == ["", ".all.zip", ".manifest.json"]
    assert str(page_workspace / "exports" / written[0]) in codes(page)
    assert all(HOSTILE not in element.value for kind in (page.markdown, page.caption) for element in kind)


def as_bundle(page: AppTest, trainer: str = "llama-factory") -> AppTest:
    page = healthy(page.segmented_control(key="export_form").set_value("bundle").run())
    return healthy(page.selectbox(key="bundle_trainer").set_value(trainer).run())


@pytest.mark.parametrize("trainer", OF_ROWS)
def test_the_preview_shows_records_as_the_trainer_will_see_them(export: Callable[..., AppTest], trainer: str) -> None:
    page = as_bundle(export(), trainer)
    first = json.loads(previewed(page)[0])
    expected = {
        "llama-factory": {"messages", "system", "tools"},
        "trl": {"prompt", "completion"},
        "axolotl": {"messages"},
        "plain": {"question", "answer"},
    }
    assert set(first) == expected[trainer]


def test_a_bundle_is_written_as_a_zip_and_offered_with_its_command(
    export: Callable[..., AppTest], page_workspace: Path
) -> None:
    page = as_bundle(export(), "trl")
    assert "All 5 rows can be written" in page.success[0].value
    page = healthy(page.button(key="write_export").click().run())
    written = page_workspace / "exports" / f"{STEM}-trl.zip"
    with zipfile.ZipFile(written) as archive:
        assert archive.read(f"{plain_name(STEM, '')}-trl/train.jsonl").count(b"\n") == 5
    assert "trl sft --config sft.yaml" in codes(page)
    assert downloads(page) == ["Download all (.zip)", "Download file", "Download manifest"]


def test_a_bundle_that_is_a_folder_is_downloaded_as_a_zip_of_it(
    export: Callable[..., AppTest], page_workspace: Path
) -> None:
    page = as_bundle(export())
    page = healthy(page.segmented_control(key="bundle_packing").set_value("folder").run())
    page = healthy(page.button(key="write_export").click().run())
    folder = page_workspace / "exports" / f"{STEM}-llama-factory"
    assert downloads(page) == ["Download all (.zip)", "Download manifest"]
    assert unpacked(folder.with_name(f"{folder.name}.all.zip")) == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }


def test_rows_that_a_trainer_refuses_are_counted_with_their_reason(page_workspace: Path) -> None:
    refused = example(("user", "One."), ("user", HOSTILE), ("assistant", "Yes."))
    with talk_store(page_workspace, [*SEVERAL, refused, example(("assistant", "Hello."))]) as store:
        save_selection(store, "all", ALL)
    page = as_bundle(AppTest.from_file(str(PAGE), default_timeout=30).run())
    assert "7 of 9 rows can be written (70 of 90 tokens)" in page.warning[0].value
    table = page.dataframe[0].value
    assert table[table["Outcome"] == "Skipped"]["Rows"].tolist() == [1, 1]
    assert table["First rows"].tolist()[:2] == ["9", "8"]
    assert all(HOSTILE not in element.value for kind in (page.markdown, page.caption) for element in kind)
    page = as_bundle(page, "axolotl")
    assert "All 9 rows can be written" in page.success[0].value


def test_a_bundle_that_would_hold_nothing_cannot_be_written(page_workspace: Path) -> None:
    with talk_store(page_workspace, [example(("assistant", "Hello."))]) as store:
        save_selection(store, "all", ALL)
    page = as_bundle(AppTest.from_file(str(PAGE), default_timeout=30).run())
    assert "0 of 1 rows" in page.warning[0].value
    assert page.button(key="write_export").disabled


def test_controls_are_written_beside_the_export_with_their_index_and_come_in_the_zip(
    export: Callable[..., AppTest], page_workspace: Path
) -> None:
    page = healthy(export().checkbox(key="controls_wanted").check().run())
    page.multiselect(key="controls_kinds").set_value(["random", "longest"])
    page.number_input(key="controls_seeds").set_value(2)
    page = healthy(page.button(key="write_export").click().run())
    written = page_workspace / "exports" / f"{STEM}.jsonl"
    folder = written.with_name(f"{written.name}.controls")
    index = json.loads((folder / "controls.json").read_text())
    assert [control["name"] for control in index["controls"]] == ["random-1", "random-2", "longest"]
    assert page.dataframe[0].value["Tokens"].tolist() == [50, 50, 50]
    assert str(folder / "controls.json") in codes(page)
    beside = [written, written.with_name(f"{written.name}.manifest.json")]
    assert unpacked(written.with_name(f"{written.name}.all.zip")) == {
        **{path.name: path.read_bytes() for path in beside},
        **{f"controls/{path.name}": path.read_bytes() for path in folder.iterdir()},
    }


def test_a_bundle_with_controls_comes_as_one_zip(export: Callable[..., AppTest], page_workspace: Path) -> None:
    page = as_bundle(export(), "trl")
    page = healthy(page.checkbox(key="controls_wanted").check().run())
    page = healthy(page.multiselect(key="controls_kinds").set_value(["longest"]).run())
    healthy(page.button(key="write_export").click().run())
    files = unpacked(page_workspace / "exports" / f"{STEM}-trl.all.zip")
    assert {"train.jsonl", "manifest.json", "controls/controls.json", "controls/longest.zip"} <= set(files)


def test_without_a_kind_no_controls_are_written(export: Callable[..., AppTest], page_workspace: Path) -> None:
    page = healthy(export().checkbox(key="controls_wanted").check().run())
    page = healthy(page.multiselect(key="controls_kinds").set_value([]).run())
    healthy(page.button(key="write_export").click().run())
    assert not list((page_workspace / "exports").glob("*.controls"))


def unpacked(archive: Path) -> dict[str, bytes]:
    """The files of a zip, without its top folder."""
    with zipfile.ZipFile(archive) as opened:
        return {name.partition("/")[2]: opened.read(name) for name in opened.namelist()}


def test_rows_of_several_formats_are_counted_and_bundles_come_first(page_workspace: Path) -> None:
    with build_scored_store(page_workspace, ROWS) as store:
        found = Example((Message("user", "What?"), Message("assistant", "That.")))
        rows = [DatasetRow(1, "chat", found, b"{}"), Rejected(2, "bad JSON", "{")]
        store.add_source("space", "other.jsonl", "messages", "another", {}, rows)
        complete_losses(store)
        save_selection(store, "all", Selection("planets", amount=Amount("ratio", 1.0)))
    page = healthy(AppTest.from_file(str(PAGE), default_timeout=30).run())
    assert page.segmented_control(key="export_form").value == "bundle"
    assert "2 record formats \\(jsonl 10, messages 1 rows\\)" in page.warning[0].value
    page = healthy(page.segmented_control(key="export_form").set_value("file").run())
    assert page.segmented_control(key="export_form").value == "file"


def complete_losses(store: Store) -> None:
    """Score the rows that were added since."""
    run = store.run("planets")
    for role, loss_set in store.loss_sets(run["run_id"]).items():
        rows = store.rows("SELECT DISTINCT example_id::VARCHAR FROM dataset_row")
        losses = [
            {"example_id": row, "nll_sum": 10.0 if role == "base" else 5.0, "token_count": 10, "truncated": False}
            for (row,) in rows
        ]
        store.ingest_shard(f"more-{role}", loss_set, pa.Table.from_pylist(losses, SHARD_SCHEMA))
    store.save_run("planets", "space", store.loss_sets(run["run_id"]), {"base": "base", "reference": "reference"})


def test_the_export_is_pushed_to_the_hub(
    export: Callable[..., AppTest], page_workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_hub() as hub:
        for name, value in {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": "hf_secret", "NO_PROXY": "127.0.0.1"}.items():
            monkeypatch.setenv(name, value)
        page = export()
        page.text_input(key="hub_dataset").set_value("owner/curated")
        page = healthy(page.button(key="push_export").click().run())
        assert f"{hub.endpoint}/datasets/owner/curated" in codes(page)
        written = page_workspace / "exports" / f"{STEM}.jsonl"
        assert hub.branches["main"]["train.jsonl"] == written.read_bytes()
        assert hub.private
        hub.refused = {"/commit/": 403}
        page = page.button(key="push_export").click().run()
        assert "may not write to the dataset owner" in page.error[0].value


def test_without_a_token_the_push_is_closed_with_a_sentence(
    export: Callable[..., AppTest], page_workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    page = export()
    assert page.button(key="push_export").disabled
    assert "No Hugging Face token is set" in page.info[0].value
