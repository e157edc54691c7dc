"""The Export page, run by Streamlit's own test harness against a real store."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.data.filters import Range, RowFilter
from core.exporting import TRAINERS, selection_from_manifest
from core.selection import Amount, Selection, save_selection
from core.system.paths import file_stem, plain_name
from tests.core.bundle_rows import ALL, SEVERAL, example, talk_store
from tests.fakes import ScoredRecord, build_scored_store

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


def test_without_a_saved_selection_the_page_says_what_to_do_next(page_workspace: Path) -> None:
    build_scored_store(page_workspace, ROWS).close()
    page = healthy(AppTest.from_file(str(PAGE), default_timeout=30).run())
    assert "save it under a name" in page.info[0].value


def test_the_page_says_how_much_it_writes_and_where(export: Callable[..., AppTest], page_workspace: Path) -> None:
    page = export()
    assert page.text[0].value.startswith("5 of 10 rows, 50 of 100 tokens, from run planets")
    assert codes(page)[:1] == ['{"question": "What is it?", "answer": "=answer 0"}']
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
    assert [button.label for button in page.get("download_button")] == ["Download file", "Download manifest"]


def test_a_large_export_is_left_on_disk_with_its_path(
    export: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOBASS_DOWNLOAD_MEGABYTES", "0")
    page = healthy(export().button(key="write_export").click().run())
    assert [button.label for button in page.get("download_button")] == ["Download manifest"]
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
    assert json.loads(codes(page)[0])["lobass"]["learnability"] == 1.0


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
    written = [path.name for path in (page_workspace / "exports").iterdir()]
    assert len(written) == 2
    assert str(page_workspace / "exports" / written[0]).removesuffix(".manifest.json") in codes(page)
    assert all(HOSTILE not in element.value for kind in (page.markdown, page.caption) for element in kind)


def as_bundle(page: AppTest, trainer: str = "llama-factory") -> AppTest:
    page = healthy(page.segmented_control(key="export_form").set_value("bundle").run())
    return healthy(page.selectbox(key="bundle_trainer").set_value(trainer).run())


@pytest.mark.parametrize("trainer", TRAINERS)
def test_the_preview_shows_records_as_the_trainer_will_see_them(export: Callable[..., AppTest], trainer: str) -> None:
    page = as_bundle(export(), trainer)
    first = json.loads(codes(page)[0])
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
    page = healthy(page.button(key="write_bundle").click().run())
    written = page_workspace / "exports" / f"{STEM}-trl.zip"
    with zipfile.ZipFile(written) as archive:
        assert archive.read(f"{plain_name(STEM, '')}-trl/train.jsonl").count(b"\n") == 5
    assert "trl sft --config sft.yaml" in codes(page)
    assert [button.label for button in page.get("download_button")] == ["Download file", "Download manifest"]


def test_a_bundle_may_be_a_folder_which_is_not_offered_as_a_download(
    export: Callable[..., AppTest], page_workspace: Path
) -> None:
    page = as_bundle(export())
    page = healthy(page.segmented_control(key="bundle_packing").set_value("folder").run())
    page = healthy(page.button(key="write_bundle").click().run())
    assert (page_workspace / "exports" / f"{STEM}-llama-factory" / "manifest.json").exists()
    assert [button.label for button in page.get("download_button")] == ["Download manifest"]


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
    assert page.button(key="write_bundle").disabled


def test_controls_are_written_beside_the_export_with_their_index(
    export: Callable[..., AppTest], page_workspace: Path
) -> None:
    page = export()
    page.multiselect(key="controls_kinds").set_value(["random", "longest"])
    page.number_input(key="controls_seeds").set_value(2)
    page = healthy(page.button(key="write_controls").click().run())
    folder = page_workspace / "exports" / f"{STEM}.jsonl.controls"
    index = json.loads((folder / "controls.json").read_text())
    assert [control["name"] for control in index["controls"]] == ["random-1", "random-2", "longest"]
    assert page.dataframe[0].value["Tokens"].tolist() == [50, 50, 50]
    assert str(folder / "controls.json") in codes(page)


def test_without_a_kind_there_are_no_controls_to_write(export: Callable[..., AppTest]) -> None:
    page = healthy(export().multiselect(key="controls_kinds").set_value([]).run())
    assert page.button(key="write_controls").disabled
