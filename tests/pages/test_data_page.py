"""The Data page, run by Streamlit's own test harness against a real store."""

import gzip
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
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


def open_import(page: AppTest) -> AppTest:
    """The page with the import form, which is open by itself in an empty workspace."""
    closed = [item for item in page.button if item.label == "Import files"]
    return closed[0].click().run() if closed else page


def upload(page: AppTest, *files: tuple[str, bytes]) -> AppTest:
    page = open_import(page)
    page.file_uploader[0].set_value([(name, content, "application/octet-stream") for name, content in files])
    return page.run()


def from_path(page: AppTest, path: Path) -> AppTest:
    page = open_import(page).segmented_control(key="file_place").set_value("Path on this server").run()
    return text_input(page, "Path").set_value(str(path)).run()


def press_import(page: AppTest) -> AppTest:
    return button(page, "Import").click().run()


def table_with(page: AppTest, column: str) -> pd.DataFrame:
    return next(table.value for table in page.dataframe if column in table.value)


def edit(page: AppTest, line: int, **values: object) -> AppTest:
    """The page after an edit of a line of the table of files."""
    page.session_state[page.data_editor[0].key] = {
        "edited_rows": {line: values}, "added_rows": [], "deleted_rows": []
    }  # fmt: skip
    return page.run()


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
    page = from_path(data(), tmp_path / "not__here__.jsonl")
    assert not page.exception
    assert len(page.error) == 1
    assert "not__here__.jsonl. Check the path." in text_of(page)
    assert "not__here__" not in page.error[0].value


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


def test_a_file_of_preference_pairs_gives_two_rows_a_pair(data: Callable[[], AppTest]) -> None:
    pair = {"prompt": "Name a moon.", "chosen": "Io", "rejected": "Mars"}
    page = upload(data(), ("pairs.jsonl", jsonl(pair, {**pair, "rejected": "Io"})))
    assert "2 of the first 2 records are preference pairs" in text_of(page)
    page = healthy(press_import(page))
    assert "1 preference pair: two rows each, chosen and rejected." in text_of(page)
    assert "1 skipped, reason 'equal sides'" in text_of(page)
    assert store().rows("SELECT chosen_row, rejected_row FROM preference_pair") == [(1, 2)]


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


def test_a_large_import_offers_a_sample(data: Callable[[], AppTest]) -> None:
    rows = [{"instruction": f"Name moon {n}.", "output": f"Moon {n}"} for n in range(501)]
    page = healthy(press_import(upload(data(), ("moons.jsonl", jsonl(*rows)))))
    healthy(page.button(key="sample_moons").click().run())
    assert store().rows(
        "SELECT count(*) FROM dataset_row JOIN dataset USING (dataset_id) WHERE name = 'moons-sample'"
    ) == [(500,)]


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
    page = healthy(page)  # the table says it, and no box beside it
    assert selectbox(page, "Options for").options == ["one.jsonl", "two.csv"]
    table = table_with(page, "Include")
    assert table["Include"].tolist() == [False, True, True]
    assert table["Problems"][0].startswith("Cannot be read: picture.png")
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
    table = table_with(page, "Include")
    assert table["Problems"].tolist() == ["Already imported into space (as space.jsonl)."]
    assert table["Include"].tolist() == [False]
    assert "No file is included" in text_of(page)
    assert button(page, "Import").disabled
    page = healthy(press_import(edit(page, 0, Include=True)))
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
    page = healthy(button(page, "Rename domain").click().run())
    table = store().run("planets")["table"]
    assert store().rows(f"SELECT domain, learnability FROM {table} ORDER BY 1") == [("chat", 0.5), ("numbers", 0.75)]
    assert table_with(page, "Share")["Domain"].tolist() == ["chat", "numbers"]


def test_removing_a_dataset_says_what_goes_and_can_be_undone(page_workspace: Path, data: Callable[[], AppTest]) -> None:
    build_scored_store(page_workspace, [ScoredRecord("chat", 2.0, 1.0)]).close()
    page = data()
    assert "Removes 1 rows. With it go, until it is restored: 1 run (planets), no selection." in text_of(page)
    page = healthy(button(page, "Remove dataset").click().run())
    assert "space was removed." in text_of(page)
    assert button(page, "Run the demo")
    assert store().rows("SELECT count(*) FROM loss") == [(2,)]
    page = healthy(button(page, "Undo").click().run())
    assert page.radio[0].value == "space"
    assert store().run("planets")["dataset"] == "space"


def test_a_removed_dataset_can_be_restored_later_or_deleted_for_good(
    page_workspace: Path, data: Callable[[], AppTest]
) -> None:
    build_scored_store(page_workspace, [ScoredRecord("chat", 2.0, 1.0)]).close()
    button(data(), "Remove dataset").click().run()
    page = healthy(button(data(), "Restore").click().run())
    assert store().run("planets")["dataset"] == "space"
    page = button(page, "Remove dataset").click().run()
    healthy(button(page, "Delete").click().run())
    assert store().rows("SELECT count(*) FROM dataset_row") == [(0,)]
    assert not [item for item in data().button if item.label == "Restore"]


def test_a_dataset_is_renamed_and_stays_chosen(page_workspace: Path, data: Callable[[], AppTest]) -> None:
    build_scored_store(page_workspace, [ScoredRecord("chat", 2.0, 1.0)]).close()
    page = text_input(data(), "Name").set_value("cosmos").run()
    page = healthy(button(page, "Rename dataset").click().run())
    assert (page.radio[0].value, store().run("planets")["dataset"]) == ("cosmos", "cosmos")
    healthy(button(page, "Undo").click().run())
    assert store().run("planets")["dataset"] == "space"


def test_a_name_that_is_taken_is_one_sentence(page_workspace: Path, data: Callable[[], AppTest]) -> None:
    opened = build_scored_store(page_workspace, [ScoredRecord("chat", 2.0, 1.0)])
    add_scored_records(opened, [ScoredRecord("chat", 2.0, 1.0)], run="ships", dataset="sea", source="sea.jsonl")
    opened.close()
    page = text_input(data(), "Name").set_value("space").run()
    page = button(page, "Rename dataset").click().run()
    assert [error.value.replace("\\", "") for error in page.error] == [
        "A dataset named 'space' exists already. Choose another name, or rename that one first."
    ]


def test_datasets_are_merged_and_the_merge_is_undone(page_workspace: Path, data: Callable[[], AppTest]) -> None:
    opened = build_scored_store(page_workspace, [ScoredRecord("chat", 2.0, 1.0)])
    add_scored_records(opened, [ScoredRecord("fish", 2.0, 1.0)], run="ships", dataset="sea", source="sea.jsonl")
    opened.close()
    page = data()
    assert page.radio[0].value == "sea"
    assert "The 1 rows of sea are added to space." in text_of(page)
    page = healthy(button(page, "Merge datasets").click().run())
    assert page.radio[0].options == ["space"]
    assert table_with(page, "Share")["Domain"].tolist() == ["chat", "fish"]
    page = healthy(button(page, "Undo").click().run())
    assert page.radio[0].value == "sea"
    assert store().rows("SELECT count(*) FROM dataset_row") == [(2,)]


def test_rows_are_searched_and_read_before_scoring(data: Callable[[], AppTest]) -> None:
    page = healthy(press_import(upload(data(), ("space.jsonl", jsonl(*ROWS)))))
    assert table_with(page, "prompt")["response"].tolist() == ["Io", "Europa", "Mars"]
    assert "Rows 1 to 3; 3 rows." in text_of(page)
    assert [code.value for code in page.code] == ["Name a moon of Jupiter.", "Io"]
    page = healthy(text_input(page, "Search").set_value("another").run())
    assert table_with(page, "prompt")["row_number"].tolist() == [2]
    assert "Rows 1 to 1; 1 of 3 rows match." in text_of(page)
    page = healthy(text_input(page, "Search").set_value("nowhere").run())
    assert "None of the 3 rows matches" in text_of(page)
    page = healthy(button(page, "Clear the search").click().run())
    assert "Rows 1 to 3; 3 rows." in text_of(page)
    page = healthy(page.multiselect[0].set_value(["planets"]).run())
    assert table_with(page, "prompt")["response"].tolist() == ["Mars"]


def test_a_bad_pattern_is_a_sentence_and_stays_in_its_box(data: Callable[[], AppTest]) -> None:
    page = press_import(upload(data(), ("space.jsonl", jsonl(*ROWS))))
    page = selectbox(page, "Match").set_value("regex").run()
    page = text_input(page, "Search").set_value("(moon").run()
    assert not page.exception
    assert "The pattern '(moon' is invalid" in text_of(page)
    assert text_input(page, "Search").value == "(moon"


def test_a_long_dataset_is_paged(data: Callable[[], AppTest]) -> None:
    rows = [{"instruction": f"Count to {number}.", "output": "Done"} for number in range(60)]
    page = healthy(press_import(upload(data(), ("count.jsonl", jsonl(*rows)))))
    assert "Rows 1 to 25; 60 rows." in text_of(page)
    page = healthy(page.pagination[0].set_value(3).run())
    assert "Rows 51 to 60; 60 rows." in text_of(page)
    assert page.code[0].value == "Count to 50."


def test_of_eight_files_the_good_ones_are_imported_and_each_problem_is_said(data: Callable[[], AppTest]) -> None:
    good = [(f"good {n}.jsonl", jsonl({"instruction": f"Say {n}.", "output": f"{n}"})) for n in range(5)]
    pairs = jsonl(*[{"prompt": f"Moon {n}?", "chosen": "Io", "rejected": "Io"} for n in range(2)])
    files = [*good, ("broken.jsonl.gz", gzip.compress(jsonl(*ROWS))[:-12]), ("twice.jsonl", good[0][1])]
    page = upload(data(), *files, ("pairs.jsonl", pairs))
    table = table_with(page, "Include").set_index("File")
    assert table["Include"].to_dict() == {
        **{name: True for name, _ in good}, "broken.jsonl.gz": False, "twice.jsonl": False, "pairs.jsonl": True
    }  # fmt: skip
    assert "damaged or truncated" in table.loc["broken.jsonl.gz", "Problems"]
    assert table.loc["twice.jsonl", "Problems"] == "Same content as good 0.jsonl."
    assert table.loc["pairs.jsonl", "Format"] == "preference"
    assert table.loc["pairs.jsonl", "Records"] == 2
    assert "6 of 8 files included. Creates a new dataset." in text_of(page)
    page = press_import(page)
    assert not page.exception
    assert "1 of 6 files was not imported." in text_of(page)
    assert "The chosen and the rejected answer of the preference pair are the same." in text_of(page)
    assert store().rows("SELECT count(*), count(DISTINCT source_id) FROM dataset_row") == [(5, 5)]


def test_a_domain_written_in_the_table_is_that_of_the_whole_file(data: Callable[[], AppTest]) -> None:
    page = upload(data(), ("one.jsonl", jsonl(*ROWS)), ("two.json", b'[{"question": "Sun?", "answer": "Yes"}]'))
    assert table_with(page, "Include")["Domain"].tolist() == ["(from field domain)", "two"]
    healthy(press_import(edit(page, 0, Domain="astronomy")))
    assert store().rows("SELECT DISTINCT domain FROM dataset_row ORDER BY 1") == [("astronomy",), ("two",)]


def test_options_of_files_that_are_not_shown_are_kept(data: Callable[[], AppTest]) -> None:
    page = upload(data(), ("one.jsonl", jsonl(*ROWS)), ("two.json", b'[{"question": "Sun?", "answer": "Yes"}]'))
    page = selectbox(page, "Domain comes from").set_value("The file name").run()
    options = selectbox(page, "Options for")
    page = healthy(options.select_index(1).run())
    assert table_with(page, "Include")["Domain"].tolist() == ["one", "two"]
    healthy(press_import(page))
    assert store().rows("SELECT DISTINCT domain FROM dataset_row ORDER BY 1") == [("one",), ("two",)]


def test_the_next_files_go_to_the_dataset_at_hand(data: Callable[[], AppTest]) -> None:
    page = press_import(upload(data(), ("space.jsonl", jsonl(*ROWS))))
    assert page.radio[0].value == "space"
    page = upload(page, ("more.csv", b"question,answer\nSun?,Yes\n"))
    assert text_input(page, "Add to dataset").value == "space"
    page = text_input(page, "Add to dataset").set_value("more").run()
    page = healthy(press_import(page))
    assert page.radio[0].value == "more"
    assert page.session_state["kept_dataset"] == "more"


def test_the_next_files_do_not_go_to_the_demo(page_workspace: Path, data: Callable[[], AppTest]) -> None:
    opened = Store.open(page_workspace, "a test")
    add_scored_records(opened, [ScoredRecord("chat", 2.0, 1.0)], run="demo", dataset="demo")
    opened.close()
    page = upload(data(), ("space.jsonl", jsonl(*ROWS)))
    assert text_input(page, "Add to dataset").value == "space"


def test_a_pattern_takes_the_files_that_match_it(data: Callable[[], AppTest], tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "c.txt"):
        (tmp_path / name).write_bytes(jsonl(*ROWS) + name.encode())
    page = from_path(data(), tmp_path / "*.jsonl")
    assert table_with(page, "Include")["File"].tolist() == ["a.jsonl", "b.jsonl"]
    page = from_path(data(), tmp_path / "*.parquet")
    assert "No file matches" in text_of(page)


def test_text_of_files_is_never_markdown(data: Callable[[], AppTest]) -> None:
    row = {"instruction": HOSTILE, "output": HOSTILE, "domain": HOSTILE}
    page = healthy(upload(data(), (f"{HOSTILE.replace('/', '')}.jsonl", jsonl(row))))
    page = healthy(text_input(page, "Add to dataset").set_value(HOSTILE).run())
    page = healthy(press_import(page))
    labels = [item.label for kind in (page.expander, page.button, page.checkbox) for item in kind]
    shown = [element.value for kind in (page.markdown, page.caption) for element in kind]
    assert all("![x]" not in text and ":red[" not in text for text in labels + shown)
    assert HOSTILE in table_with(page, "Share")["Domain"].tolist()


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
