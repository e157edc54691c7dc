"""Which paths may be named: folder by folder, links followed, and nothing that only looks like a path of ours."""

import json
import os
import re
import shutil
import zipfile
from pathlib import Path

import pytest

from core.data.errors import ModelUnusable, NotFound, PathRefused, UserError
from core.exporting import export_bundle
from core.importing.hub import names_hub_dataset
from core.importing.sources import data_files
from core.importing.unpacking import open_unpacked
from core.jobs.job import find_job
from core.models.resolving import check_allowed_model, resolve_model
from core.store import Store
from core.system.durable_file import DurableFile
from core.system.paths import (
    allowed_folders,
    allowed_matches,
    allowed_path,
    file_stem,
    is_hub_id,
    is_pattern,
    open_file,
    plain_name,
)
from core.training.training_plan import TrainRequest, train_fields
from tests import command_line
from tests.core.bundle_rows import ALL, example, talk_store

TALKS = [example(("user", "Name a river."), ("assistant", "The Thames."))]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file system of a test: workspace/, data/ (allowed), database/ and secret/ (not), links between them."""
    for folder in ("workspace/exports", "data/deep", "database", "secret", "Data2"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("workspace/w.jsonl", "data/d.jsonl", "data/deep/e.jsonl", "database/d.jsonl", "secret/s.jsonl"):
        (tmp_path / file).write_text("{}\n", encoding="utf-8")
    (tmp_path / "data/link_in").symlink_to(tmp_path / "data/d.jsonl")
    (tmp_path / "data/link_out").symlink_to(tmp_path / "secret/s.jsonl")
    (tmp_path / "data/folder_out").symlink_to(tmp_path / "secret")
    (tmp_path / "data/over_two").symlink_to(tmp_path / "data/folder_out/s.jsonl")
    (tmp_path / "data/circle").symlink_to(tmp_path / "data/circle")
    (tmp_path / "data/relative_out").symlink_to("../secret/s.jsonl")
    (tmp_path / "secret/link_back").symlink_to(tmp_path / "data/d.jsonl")
    (tmp_path / "linked_data").symlink_to(tmp_path / "data")
    os.mkfifo(tmp_path / "data/pipe")
    monkeypatch.setenv("LOBASS_ALLOWED_FOLDERS", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path / "secret"))
    monkeypatch.chdir(tmp_path / "workspace")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("{place}/data/d.jsonl", "data/d.jsonl"),
        ("{place}/data", "data"),
        ("{place}/data/", "data"),
        ("{place}/data/deep/e.jsonl", "data/deep/e.jsonl"),
        ("{place}/data/deep/../d.jsonl", "data/d.jsonl"),
        ("{place}//data//d.jsonl", "data/d.jsonl"),
        ("{place}/data/./d.jsonl", "data/d.jsonl"),
        ("{place}/data/link_in", "data/d.jsonl"),
        ("{place}/linked_data/d.jsonl", "data/d.jsonl"),
        ("{place}/secret/link_back", "data/d.jsonl"),
        ("{place}/data/not_there.jsonl", "data/not_there.jsonl"),
        ("{place}/data/..data", "data/..data"),
        ("{place}/data/ünï cödé 🎉.jsonl", "data/ünï cödé 🎉.jsonl"),
        ("{place}/data/trailing.", "data/trailing."),
        ("{place}/data/~", "data/~"),
        ("w.jsonl", "workspace/w.jsonl"),
        ("file:///etc/passwd", "workspace/file:/etc/passwd"),
        ("./w.jsonl", "workspace/w.jsonl"),
        ("../data/d.jsonl", "data/d.jsonl"),
        ("{place}/workspace/exports/x.csv", "workspace/exports/x.csv"),
    ],
)
def test_a_path_within_the_folders_is_what_it_leads_to(place: Path, text: str, meant: str) -> None:
    assert allowed_path(text.format(place=place), place / "workspace") == place / meant


@pytest.mark.parametrize(
    "text",
    [
        "{place}/secret/s.jsonl",
        "{place}/secret",
        "{place}",
        "{place}/database/d.jsonl",
        "{place}/Data2",
        "{place}/DATA/d.jsonl",
        "{place}/data../secret/s.jsonl",
        "{place}/data/../secret/s.jsonl",
        "{place}/data/deep/../../secret/s.jsonl",
        "{place}/data/not_there/../../secret/s.jsonl",
        "{place}/data/link_out",
        "{place}/data/relative_out",
        "{place}/data/folder_out/s.jsonl",
        "{place}/data/folder_out",
        "{place}/data/over_two",
        "{place}/data/folder_out/../secret/s.jsonl",
        "{place}/linked_data/folder_out/s.jsonl",
        "{place}/workspace/../secret/s.jsonl",
        "{place}/workspace2/x",
        "{place}/data/circle",
        "../secret/s.jsonl",
        "../../../../../../../../etc/passwd",
        "/etc/passwd",
        "/etc/not_there",
        "/proc/self/environ",
        "/proc/self/fd/0",
        "/proc/self/root/etc/passwd",
        "/dev/zero",
        "/dev/stdin",
        "/",
        "//",
        "//etc/passwd",
        "~",
        "~/s.jsonl",
        "~root/.ssh/id_rsa",
        "~nobody_of_this_name/x",
        "{place}/data/d.jsonl\0.png",
        "{place}/data/new\nline",
        "{place}/data/escape\x1b[2J",
        "{place}/data/delete\x7f",
        "{place}/data/\udc80\ud800",
        "{place}/data/" + "n" * 256,
        "{place}/data/" + "deep/" * 1000,
        "",
        "   ",
        "\\\\server\\share\\..\\..\\x/../../secret",
    ],
)
def test_a_path_outside_them_or_no_path_at_all_is_one_sentence(place: Path, text: str) -> None:
    with pytest.raises(PathRefused) as refused:
        allowed_path(text.format(place=place), place / "workspace")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600


def test_a_path_that_is_no_text_says_what_to_rename(place: Path) -> None:
    with pytest.raises(PathRefused, match=r"not valid UTF-8\. Rename the file or folder"):
        allowed_path(f"{place}/data/\udc80", place / "workspace")


def test_what_is_there_and_what_is_not_are_refused_alike(place: Path) -> None:
    sentences = []
    for name in ("s.jsonl", "x.jsonl"):
        path = f"{place}/secret/{name}"
        with pytest.raises(PathRefused) as refused:
            allowed_path(path, place / "workspace")
        sentences.append(str(refused.value).replace(path[:80], ""))  # a sentence shows no more of a path
    assert sentences[0] == sentences[1]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("{place}/data", ["workspace", "data"]),
        ("{place}/data:{place}/secret", ["workspace", "data", "secret"]),
        ("{place}/linked_data", ["workspace", "data"]),
        ("", ["workspace"]),
        (":: :", ["workspace"]),
        (".", ["workspace"]),
        ("~", ["workspace", "secret"]),
        ("{place}/not_there", ["workspace", "not_there"]),
    ],
)
def test_the_setting_names_folders_and_the_workspace_always_counts(
    place: Path, monkeypatch: pytest.MonkeyPatch, setting: str, expected: list[str]
) -> None:
    monkeypatch.setenv("LOBASS_ALLOWED_FOLDERS", setting.format(place=place))
    assert allowed_folders(place / "workspace") == tuple(place / name for name in expected)


def test_without_the_setting_the_folder_of_the_start_counts_unless_it_is_the_root(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOBASS_ALLOWED_FOLDERS")
    monkeypatch.chdir(place / "data")
    assert allowed_folders(place / "workspace") == (place / "workspace", place / "data")
    monkeypatch.chdir("/")
    assert allowed_folders(place / "workspace") == (place / "workspace",)
    monkeypatch.setenv("LOBASS_ALLOWED_FOLDERS", "/")
    assert allowed_folders(place / "workspace") == (place / "workspace", Path("/"))


# Files that are opened


@pytest.mark.parametrize("name", ["data/pipe", "/dev/zero", "/dev/null", "data"])
def test_what_is_no_file_is_refused_without_waiting_for_it(place: Path, name: str) -> None:
    with pytest.raises((PathRefused, IsADirectoryError)):
        open_file(place / name)


def test_a_file_that_a_pipe_takes_the_place_of_does_not_hang_its_reader(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place / "data/d.jsonl"
    looked_at = Path.is_file

    def swapped_after(self: Path) -> bool:
        found = looked_at(self)
        if self == path and found:
            path.unlink()
            os.mkfifo(path)
        return found

    monkeypatch.setattr(Path, "is_file", swapped_after)  # the moment between a look and the opening
    with pytest.raises(UserError, match="is not a regular file"), open_unpacked(path):
        pass


@pytest.mark.parametrize("name", ["n" * 300, "a/" + "b" * 300, "nul\0l", "new\nline", "~nobody_of_this_name/x"])
def test_the_command_line_says_in_a_sentence_what_is_no_path(name: str) -> None:
    with pytest.raises(PathRefused):
        data_files(name, Path("unused"))


def test_the_command_line_takes_any_path(place: Path) -> None:
    for name in (str(place / "secret/s.jsonl"), "~/s.jsonl"):
        assert [file.path for file in data_files(name, place)] == [place / "secret/s.jsonl"]


def test_an_export_leaves_devices_and_pipes_alone(place: Path) -> None:
    with pytest.raises(OSError, match="not a regular file"):
        DurableFile(place / "data/pipe")
    (place / "data/null").symlink_to("/dev/null")
    with pytest.raises(OSError, match="not a regular file"):
        DurableFile(place / "data/null")
    assert sorted(path.name for path in (place / "data").glob(".*")) == []


# Names that become files


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("my selection", "my-selection~"),
        ("a/b", "a-b~"),
        ("../../etc/passwd", "etc-passwd~"),
        ("/etc/passwd", "etc-passwd~"),
        ("..", "otherwise~"),
        (".", "otherwise~"),
        ("", "otherwise~"),
        (".hidden", "hidden~"),
        ("-rf", "rf~"),
        ("trailing. . .", "trailing~"),
        ("a\\..\\b", "a-..-b~"),
        ("nul\0byte", "nul-byte~"),
        ("line\nbreak\ttab", "line-break-tab~"),
        ("\u202egpj.exe", "gpj.exe~"),
        ("C:\\windows", "C-windows~"),
        ("x;rm -rf ~", "x-rm--rf~"),
        ("Ünïcode", "Ünïcode"),
        ("kept_as.it-is+1", "kept_as.it-is+1"),
        ("n" * 300, "n" * 120 + "~"),
        ("é" * 300, "é" * 60 + "~"),
        ("\udc80", "otherwise~"),
        ("~", "otherwise~"),
    ],
)
def test_a_name_becomes_one_plain_file_name(name: str, stem: str) -> None:
    """What is changed gets a hash, after a sign that no other stem has."""
    found = file_stem(name, "otherwise")
    plain, changed, digest = found.partition("~")
    assert plain + changed == stem
    assert re.fullmatch("[0-9a-f]{10}" if changed else "", digest)


def test_two_names_never_have_one_file_name() -> None:
    names = [
        "a b",
        "a-b",
        "a/b",
        "a\tb",
        " a-b",
        "a-b.",
        ".a-b",
        "-a-b",
        "a--b",
        "a~b",
        "",
        "otherwise",
        "n" * 120,
        "n" * 121,
        "n" * 122,
    ]
    names += [file_stem(name, "otherwise") for name in names]  # a name that looks like another's file
    stems = {name: file_stem(name, "otherwise") for name in names}
    assert len(set(stems.values())) == len(stems)
    assert not any(set(stem) & set("/ \t") for stem in stems.values())


def test_a_reference_has_a_name_that_is_a_folders(tmp_path: Path) -> None:
    with Store.open(tmp_path / "workspace", "a test") as store:
        for name in (
            "..",
            ".",
            "../up",
            "a/b",
            "/abs",
            "",
            " ",
            "a\0b",
            "a\nb",
            "-rf",
            "end.",
            "~",
            "x" * 61,
            "a\\b",
            "\u202e",
        ):
            with pytest.raises(ModelUnusable, match="is not a valid reference name"):
                train_fields(store, TrainRequest("data", "base", name))


@pytest.mark.parametrize("job_id", ["..", ".", "../jobs/x", "a/b", "/etc", "", "x\0"])
def test_a_job_is_found_by_its_own_name_alone(tmp_path: Path, job_id: str) -> None:
    (tmp_path / "jobs" / "x").mkdir(parents=True)
    for folder in (tmp_path, tmp_path / "jobs", tmp_path / "jobs" / "x"):
        (folder / "job.json").write_text("{}", encoding="utf-8")
    assert find_job(tmp_path, "x").job_id == "x"
    with pytest.raises(NotFound):
        find_job(tmp_path, job_id)


def test_the_members_of_a_zip_lie_in_one_plain_folder(tmp_path: Path) -> None:
    with talk_store(tmp_path / "workspace", TALKS) as store:
        for name in ("...zip", "..zip.zip", "a b.zip", "-x.zip", "\\..\\up.zip"):
            export_bundle(store, ALL, tmp_path / name, "plain")
            with zipfile.ZipFile(tmp_path / name) as archive:
                folders = {tuple(Path(member).parts[:-1]) for member in archive.namelist()}
            assert folders == {(plain_name(Path(name).stem, "bundle"),)}


# Hub ids and models


@pytest.mark.parametrize("text", ["owner/name", "o/n", "owner-1/name.v2_x", "0/1"])
def test_an_id_of_the_hub_is_no_path(text: str) -> None:
    assert is_hub_id(text)
    assert names_hub_dataset(text)


@pytest.mark.parametrize(
    "text",
    [
        "../name", "owner/..", "owner/../x", "/name", "owner/", "owner", "./x", "~/x", "a/b/c", "a/b\n", "a\0/b",
        "o/n..x", "o--x/n", "owner/name.", "http://x", "ö/x", "a b/c", "-a/b", "a/-b",
    ],
)  # fmt: skip
def test_what_looks_like_a_way_through_folders_is_no_id(text: str) -> None:
    assert not is_hub_id(text)
    assert not names_hub_dataset(text)


def test_a_user_of_the_dashboard_names_models_in_the_folders_alone(place: Path, tiny_base: Path) -> None:
    for folder in ("data/model", "secret/model", "workspace/models/taught"):
        shutil.copytree(tiny_base, place / folder)
    (place / "workspace/models/taught/provenance.json").write_text("{}", encoding="utf-8")
    workspace = place / "workspace"
    for name in ("owner/name", "taught", "demo/base", "saturn", str(place / "data/model"), "../data/model"):
        check_allowed_model(name, workspace)
    for name in (str(place / "secret/model"), "../secret/model", "~/model", "~", "..", "/not/there", "/etc/passwd"):
        with pytest.raises(PathRefused):
            check_allowed_model(name, workspace)
    assert resolve_model(str(place / "secret/model"), workspace).label  # the command line may


def test_nor_by_an_adapter_that_leads_on(place: Path, tiny_base: Path) -> None:
    shutil.copytree(tiny_base, place / "secret/model")
    (place / "data/adapter").mkdir()
    fields = {"peft_type": "LORA", "base_model_name_or_path": str(place / "secret/model")}
    (place / "data/adapter/adapter_config.json").write_text(json.dumps(fields), encoding="utf-8")
    with pytest.raises(PathRefused):
        check_allowed_model(str(place / "data/adapter"), place / "workspace")
    check_allowed_model(str(place / "data/adapter"), place / "workspace", is_base=False)


@pytest.mark.parametrize("name", ["n" * 300, "a/" + "b" * 5000, "a\0b/c", "~nobody_of_this_name", "\udc80/x"])
def test_a_model_that_can_be_no_path_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelUnusable, match="No model"):
        resolve_model(name, tmp_path)


# Through the whole command line


def test_a_command_says_in_a_sentence_where_it_cannot_write(tmp_path: Path) -> None:
    talk_store(tmp_path / "workspace", TALKS).close()
    (tmp_path / "null.csv").symlink_to("/dev/null")
    done = command_line.run(tmp_path / "workspace", "losses", "--run", "talks", "--output", tmp_path / "null.csv")
    assert done.returncode == 1
    assert "cannot be written (the existing path is not a regular file)" in " ".join(done.stderr.split())


def test_a_pattern_means_the_files_of_allowed_folders_that_match(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    for folder in (mine / "a", mine / "b", other):
        folder.mkdir(parents=True)
        (folder / "x.jsonl").write_bytes(b"{}")
    monkeypatch.setenv("LOBASS_ALLOWED_FOLDERS", str(mine))
    assert is_pattern(f"{mine}/*/x.jsonl")
    assert allowed_matches(f"{mine}/*/x.jsonl", tmp_path / "workspace") == [mine / "a/x.jsonl", mine / "b/x.jsonl"]
    for pattern, why in (
        (f"{other}/*.jsonl", "outside the allowed folders"),
        (f"{tmp_path}/*/x.jsonl", "outside the allowed folders"),
        (f"{mine}/*/../../other/*.jsonl", "outside the allowed folders"),
        (f"{mine}/*/../a/x*.jsonl", "has .. or"),
        (f"{mine}/**/x.jsonl", "has .. or"),
        (f"{mine}/*/y.jsonl", "No file matches"),
    ):
        with pytest.raises(PathRefused, match=why):
            allowed_matches(pattern, tmp_path / "workspace")
    (mine / "a" / "link.jsonl").symlink_to(other / "x.jsonl")
    with pytest.raises(PathRefused, match="outside the allowed folders"):
        allowed_matches(f"{mine}/a/*.jsonl", tmp_path / "workspace")
    monkeypatch.setattr("core.system.paths._MOST_MATCHES", 1)
    with pytest.raises(PathRefused, match="more than 1 files"):
        allowed_matches(f"{mine}/*/x.jsonl", tmp_path / "workspace")


def test_a_file_with_wildcards_in_its_name_is_itself(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    for name in ("a[1].jsonl", "a1.jsonl"):
        (workspace / name).write_bytes(b"{}")
    assert allowed_matches(str(workspace / "a[1].jsonl"), workspace) == [workspace / "a[1].jsonl"]
    assert allowed_matches(str(workspace / "a[1-2].jsonl"), workspace) == [workspace / "a1.jsonl"]
