"""The Data page, run by Streamlit's own test harness against a real store."""

import gzip
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button, Selectbox, TextInput

from core.jobs.job import all_jobs, create_job
from core.store import Store
from tests.fakes import ScoredRecord, add_scored_records, build_scored_store
from ui.shell.session import close_sessions, open_session
from ui.shell.staged_files import remove_leftovers

PAGE = Path(__file__).parents[2] / "pages" / "data_page.py"
HOSTILE = "![x](http://example.invalid/x.png) <b>$x$</b> :red[a]"
ROWS = [
    {"instruction": "Name a moon of Jupiter.", "output": "Io", "domain": "moons"},
    {"instruction": "Name another.", "output": "Europa", "domain": "moons"},
    {"instruction": "Name a planet.", "output": "Mars", "domain": "planets"},
]


@pytest.fixture
def data(page_workspace: Path) -> Callable[[], AppTest]:
    return lambda: healthy(AppTest.from_file(str(PAGE), default_timeout=60).run())


def healthy(page: AppTest) -> AppTest:
    assert not page.exception
    assert not page.error, page.error[0].value
    return page


def jsonl(*records: object) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def text_of(page: AppTest) -> str:
    """Everything the page says, markdown unescaped."""
    kinds = (page.markdown, page.caption, page.text, page.info, page.warning, page.error, page.code)
    return "\n".join(element.value for elements in kinds for element in elements).replace("\\", "")


def button(page: AppTest, label: str) -> Button:
    return next(item for item in page.button if item.label == label)


def selectbox(page: AppTest, label: str) -> Selectbox:
    return next(item for item in page.selectbox if item.label == label)


def text_input(page: AppTest, label: str) -> TextInput:
    return next(item for item in page.text_input if item.label == label)


def upload(page: AppTest, *files: tuple[str, bytes]) -> AppTest:
    page.file_uploader[0].set_value([(name, content, "application/octet-stream") for name, content in files])
    return page.run()


def from_path(page: AppTest, path: Path) -> AppTest:
    page = page.segmented_control(key="file_place").set_value("Path on this server").run()
    return text_input(page, "Path").set_value(str(path)).run()


def press_import(page: AppTest) -> AppTest:
    return button(page, "Import").click().run()


def store() -> Store:
    """The store that the page holds open."""
    return open_session().store


def staged(workspace: Path) -> list[str]:
    return [path.name for path in (workspace / "uploads").glob("*/*")]


def test_an_empty_workspace_offers_the_demo(data: Callable[[], AppTest]) -> None:
    page = data()
    assert button(page, "Run the demo")
    assert "needs no network" in text_of(page)
    assert not [item for item in page.button if item.label == "Import"]


def test_a_workspace_in_use_is_one_sentence(page_workspace: Path) -> None:
    with Store.open(page_workspace, "a *long* evening"):
        page = AppTest.from_file(str(PAGE), default_timeout=60).run()
    assert not page.exception
    assert "is in use by a *long* evening" in text_of(page)
    assert "*long*" not in page.error[0].value


def test_an_upload_is_shown_as_it_will_be_read_then_imported(data: Callable[[], AppTest], page_workspace: Path) -> None:
    page = healthy(upload(data(), ("space.jsonl", jsonl(*ROWS))))
    assert "space.jsonl is read as jsonl, format alpaca: 3 of the first 3 records have instruction and output." in (
        text_of(page)
    )
    assert "Record 1, domain moons" in text_of(page)
    assert [code.value for code in page.code][:2] == ["Name a moon of Jupiter.", "Io"]
    assert staged(page_workspace) == ["space.jsonl"]
    page = healthy(press_import(page))
    assert "space.jsonl: 3 rows added to space, 0 records skipped (format alpaca)." in text_of(page)
    assert "By domain: moons 2, planets 1" in text_of(page)
    assert store().rows("SELECT domain, count(*) FROM dataset_row GROUP BY ALL ORDER BY 1") == [
        ("moons", 2),
        ("planets", 1),
    ]
    assert staged(page_workspace) == []
    assert not [item for item in page.button if item.label == "Run the demo"]


def test_the_report_of_an_import_stays_until_it_is_closed(data: Callable[[], AppTest]) -> None:
    page = press_import(upload(data(), ("space.jsonl", jsonl(*ROWS)))).run()
    assert "3 rows added" in text_of(page)
    assert "3 rows added" not in text_of(button(page, "Close").click().run())


def test_a_file_is_read_where_it_lies_and_stays_there(data: Callable[[], AppTest], tmp_path: Path) -> None:
    path = tmp_path / "space.jsonl.gz"
    path.write_bytes(gzip.compress(jsonl(*ROWS)))
    page = healthy(press_import(healthy(from_path(data(), path))))
    assert "3 rows added to space" in text_of(page)
    assert path.exists()


def test_a_wrong_path_is_one_sentence(data: Callable[[], AppTest], tmp_path: Path) -> None:
    page = from_path(data(), tmp_path / "not_*here*.jsonl")
    assert not page.exception
    assert len(page.error) == 1
    assert "not_*here*.jsonl. Check the path." in text_of(page)
    assert "not_*here*" not in page.error[0].value


def test_a_file_outside_the_folders_that_are_allowed_is_refused(
    data: Callable[[], AppTest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "space.jsonl").write_bytes(b'{"instruction": "a", "output": "b"}\n')
    (tmp_path / "mine" / "link.jsonl").symlink_to(tmp_path / "space.jsonl")
    monkeypatch.setenv("LOBASS_ALLOWED_FOLDERS", str(tmp_path / "mine"))
    for path in (tmp_path / "space.jsonl", tmp_path / "mine" / "link.jsonl", tmp_path / "mine" / ".." / "space.jsonl"):
        page = from_path(data(), path)
        assert not page.exception
        assert "is outside the allowed folders" in text_of(page)
        assert not [button for button in page.button if button.label == "Import"]


def test_a_folder_and_a_file_that_is_no_data_are_one_sentence(data: Callable[[], AppTest], tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    for path in (tmp_path, picture):
        page = from_path(data(), path)
        assert not page.exception
        assert len(page.error) == 1
        assert path.name in text_of(page)


def test_a_damaged_archive_is_one_sentence(data: Callable[[], AppTest]) -> None:
    page = upload(data(), ("space.jsonl.gz", gzip.compress(jsonl(*ROWS))[:-12]))
    assert not page.exception
    assert "space.jsonl.gz is damaged or truncated" in text_of(page)


def test_records_left_out_are_counted_by_reason_and_listed(data: Callable[[], AppTest]) -> None:
    content = jsonl(*ROWS, {"instruction": "Say nothing.", "output": " "}) + b"{oops\n" + b"[1]\n[2]\n"
    page = healthy(press_import(upload(data(), ("space.jsonl", content))))
    assert "3 rows added to space, 4 records skipped" in text_of(page)
    assert "2 skipped, reason 'not an object': The record is a list" in text_of(page)
    counts = next(frame.value for frame in page.dataframe if "Meaning" in frame.value)
    assert dict(zip(counts["Reason"], counts["Records"], strict=True)) == {
        "not an object": 2,
        "bad JSON": 1,
        "empty response": 1,
    }
    listed = next(frame.value for frame in page.dataframe if "Found" in frame.value)
    assert listed["Record"].tolist() == [4, 5, 6, 7]


def test_a_file_of_preference_pairs_says_what_it_is_and_what_to_do(data: Callable[[], AppTest]) -> None:
    pair = {"prompt": "Name a moon.", "chosen": "Io", "rejected": "Mars"}
    page = upload(data(), ("pairs.jsonl", jsonl(pair, pair)))
    assert "2 of the first 2 records are preference pairs" in text_of(page)
    page = press_import(page)
    assert not page.exception
    assert "it is for preference training (DPO), not for supervised fine-tuning" in text_of(page)
    assert store().rows("SELECT count(*) FROM dataset") == [(0,)]


def test_a_column_can_be_mapped_and_the_preview_follows(data: Callable[[], AppTest]) -> None:
    row = {"ask": "Name a moon.", "reply": "Io", "input": "of Jupiter"}
    page = upload(data(), ("odd.jsonl", jsonl(row, row)))
    assert "its columns are not recognised" in text_of(page)
    page = selectbox(page, "Format").set_value("alpaca").run()
    assert "skipped: missing field" in text_of(page)
    page = selectbox(page, "instruction").set_value("ask").run()
    page = healthy(selectbox(page, "output").set_value("reply").run())
    assert [code.value for code in page.code][:3] == ["Name a moon.", "of Jupiter", "Io"]
    page = healthy(selectbox(page, "input (optional)").set_value("").run())
    assert [code.value for code in page.code][:2] == ["Name a moon.", "Io"]
    healthy(press_import(page))
    assert store().rows("SELECT response FROM example") == [("Io",)]


def test_a_column_known_by_another_name_can_be_left_out(data: Callable[[], AppTest]) -> None:
    row = {"instruction": "Name a moon.", "context": "of Jupiter", "response": "Io"}
    page = upload(data(), ("odd.jsonl", jsonl(row)))
    assert [code.value for code in page.code] == ["Name a moon.", "of Jupiter", "Io"]
    page = healthy(selectbox(page, "input (optional)").set_value("").run())
    assert [code.value for code in page.code] == ["Name a moon.", "Io"]


@pytest.mark.parametrize(
    ("rule", "label", "choice", "domains"),
    [
        ("A field of each record", "Field", "output", {"Io", "Europa", "Mars"}),
        ("One name for all rows", "Domain", "astronomy", {"astronomy"}),
        ("The file name", None, None, {"space"}),
    ],
)
def test_a_domain_comes_from_a_field_a_name_or_the_file(
    data: Callable[[], AppTest], rule: str, label: str | None, choice: str | None, domains: set[str]
) -> None:
    page = upload(data(), ("space.jsonl", jsonl(*ROWS)))
    page = selectbox(page, "Domain comes from").set_value(rule).run()
    if label == "Field":
        page = selectbox(page, "Field").set_value(choice).run()
    elif label == "Domain":
        page = text_input(page, "Domain").set_value(str(choice)).run()
    healthy(press_import(page))
    assert {domain for (domain,) in store().rows("SELECT domain FROM dataset_row")} == domains


def test_several_files_become_one_dataset(data: Callable[[], AppTest]) -> None:
    page = upload(data(), ("one.jsonl", jsonl(*ROWS)), ("two.json", b'[{"question": "Sun?", "answer": "Yes"}]'))
    page = healthy(press_import(page))
    assert "one.jsonl: 3 rows added to one" in text_of(page)
    assert "two.json: 1 rows added to one" in text_of(page)
    assert "(format question-answer)" in text_of(page)


def test_when_one_of_several_files_cannot_be_used_the_page_says_which(data: Callable[[], AppTest]) -> None:
    page = press_import(upload(data(), ("one.jsonl", jsonl(*ROWS)), ("two.jsonl", jsonl({"a": 1}))))
    assert not page.exception
    assert "one.jsonl: 3 rows added" in text_of(page)
    assert "No record of two.jsonl can be used" in text_of(page)


def test_files_that_cannot_be_read_keep_no_other_from_being_imported(data: Callable[[], AppTest]) -> None:
    page = upload(
        data(),
        ("picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        ("one.jsonl", jsonl(*ROWS)),
        ("two.csv", b"question,answer\nSun?,Yes\n"),
    )
    assert not page.exception
    assert [element.value.partition(" ")[0].replace("\\", "") for element in page.error] == ["picture.png"]
    assert "Options for one.jsonl" in text_of(page)
    assert [item.value for item in page.selectbox if item.label == "Format"] == ["auto", "auto"]
    page = press_import(page)
    assert "one.jsonl: 3 rows added to one" in text_of(page)
    assert "two.csv: 1 rows added to one" in text_of(page)


def test_what_deserves_a_look_is_said_before_and_after_the_import(data: Callable[[], AppTest]) -> None:
    page = healthy(upload(data(), ("a.csv", b"Instruction,Input,Output\nAdd,nan,3\nAdd,NaN,4\n")))
    assert "Note: it has an input nan, kept as text." in text_of(page)
    page = healthy(press_import(page))
    assert "2 rows have an input nan, kept as text." in text_of(page)


def test_the_data_files_of_an_uploaded_zip_are_imported(data: Callable[[], AppTest], page_workspace: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("one.jsonl", jsonl(*ROWS))
        file.writestr("deep/two.json", json.dumps([{"question": "Sun?", "answer": "Yes"}]))
    page = healthy(press_import(healthy(upload(data(), ("all.zip", archive.getvalue())))))
    assert "all.zip/one.jsonl: 3 rows added to all" in text_of(page)
    assert "all.zip/deep/two.json: 1 rows added to all" in text_of(page)


def test_importing_the_same_file_again_says_that_nothing_was_added(data: Callable[[], AppTest]) -> None:
    press_import(upload(data(), ("space.jsonl", jsonl(*ROWS))))
    page = upload(data(), ("space.jsonl", jsonl(*ROWS)))
    assert "Adds to the existing dataset of 3 rows." in text_of(page)
    page = healthy(press_import(page))
    assert "space.jsonl was already imported into space with the same options. Nothing was added" in text_of(page)
    assert store().rows("SELECT count(*) FROM dataset_row") == [(3,)]


def test_no_dataset_can_be_imported_without_a_name(data: Callable[[], AppTest]) -> None:
    page = upload(data(), ("space.jsonl", jsonl(*ROWS)))
    assert "Creates a new dataset." in text_of(page)
    assert button(text_input(page, "Add to dataset").set_value("  ").run(), "Import").disabled


def test_a_hub_id_of_the_wrong_form_is_one_sentence(data: Callable[[], AppTest]) -> None:
    page = data().segmented_control(key="file_place").set_value("Hugging Face Hub").run()
    page = text_input(page, "Dataset id").set_value("just-a-name").run()
    page = button(page, "Fetch").click().run()
    assert not page.exception
    assert "Write it as owner/name" in text_of(page)


def test_uploads_of_an_earlier_server_are_removed(page_workspace: Path, data: Callable[[], AppTest]) -> None:
    upload(data(), ("space.jsonl", jsonl(*ROWS)))
    assert staged(page_workspace)
    close_sessions()
    data()
    assert staged(page_workspace) == []


def test_an_abandoned_upload_is_removed_and_one_in_use_is_not(tmp_path: Path) -> None:
    for name in ("new", "old"):
        (tmp_path / "uploads" / name).mkdir(parents=True)
    os.utime(tmp_path / "uploads" / "old", (0, 0))
    remove_leftovers(tmp_path, 3600.0)
    assert [path.name for path in (tmp_path / "uploads").iterdir()] == ["new"]


@pytest.mark.parametrize("name", ["../../../evil.jsonl", "..\\evil.jsonl", "..", "ä" * 300 + ".jsonl"])
def test_an_uploads_name_is_not_trusted_with_a_path(
    data: Callable[[], AppTest], page_workspace: Path, name: str
) -> None:
    page = upload(data(), (name, jsonl(*ROWS)))
    assert not page.exception
    (file,) = (path for path in page_workspace.rglob("*") if path.is_file() and path.read_bytes() == jsonl(*ROWS))
    assert file.parent.parent == page_workspace / "uploads"


def test_renaming_a_domain_keeps_its_losses(page_workspace: Path, data: Callable[[], AppTest]) -> None:
    build_scored_store(page_workspace, [ScoredRecord("chat", 2.0, 1.0), ScoredRecord("math", 2.0, 0.5)]).close()
    page = selectbox(data(), "Domain").set_value("math").run()
    page = text_input(page, "New name").set_value("numbers").run()
    page = healthy(button(page, "Rename").click().run())
    table = store().run("planets")["table"]
    assert store().rows(f"SELECT domain, learnability FROM {table} ORDER BY 1") == [("chat", 0.5), ("numbers", 0.75)]
    assert page.dataframe[0].value["Domain"].tolist() == ["chat", "numbers"]


def test_removing_a_dataset_asks_first_and_keeps_losses(page_workspace: Path, data: Callable[[], AppTest]) -> None:
    build_scored_store(page_workspace, [ScoredRecord("chat", 2.0, 1.0)]).close()
    page = data()
    assert button(page, "Remove").disabled
    page = page.checkbox[0].check().run()
    page = healthy(button(page, "Remove").click().run())
    assert button(page, "Run the demo")
    assert store().rows("SELECT count(*) FROM loss") == [(2,)]


def test_text_of_files_is_never_markdown(data: Callable[[], AppTest]) -> None:
    row = {"instruction": HOSTILE, "output": HOSTILE, "domain": HOSTILE}
    page = healthy(upload(data(), (f"{HOSTILE.replace('/', '')}.jsonl", jsonl(row))))
    page = healthy(text_input(page, "Add to dataset").set_value(HOSTILE).run())
    page = healthy(press_import(page))
    labels = [item.label for kind in (page.expander, page.button, page.checkbox) for item in kind]
    shown = [element.value for kind in (page.markdown, page.caption) for element in kind]
    assert all("![x]" not in text and ":red[" not in text for text in labels + shown)
    assert HOSTILE in page.dataframe[0].value["Domain"].tolist()


def test_a_demo_that_was_stopped_can_be_gone_on_with(page_workspace: Path, data: Callable[[], AppTest]) -> None:
    opened = Store.open(page_workspace, "a test")
    add_scored_records(opened, [ScoredRecord("chat", 2.0, 1.0)], run="other", dataset="demo")
    opened.close()
    assert button(data(), "Continue the demo")


def test_the_sentence_of_a_failed_job_is_shown_until_it_is_closed(
    page_workspace: Path, data: Callable[[], AppTest]
) -> None:
    job = create_job(page_workspace, {"kind": "train", "name": "taught", "dataset": "space"}, {})
    job.finish({"state": "failed", "message": f"No memory left for {HOSTILE}."})
    job.settle()
    page = AppTest.from_file(str(PAGE), default_timeout=60).run()
    assert "Training reference taught on dataset space: No memory left" in text_of(page)
    assert HOSTILE not in page.error[0].value
    healthy(button(page, "Close").click().run())
    assert all_jobs(page_workspace) == [job]
