"""A Hub dataset's files come from a hub on localhost, or a sentence says why not."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
from typer.testing import CliRunner

from core.cli.commands import app
from core.data.errors import SourceUnreadable
from core.importing import SourceOptions, import_source
from core.importing.hub import HubName, download_dataset, hub_name, names_hub_dataset
from core.importing.hub_files import choose_files
from core.store import Store

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "README.md": b"# Tiny",
    "dataset_infos.json": b"{}",
    "data/train-00000-of-00002.jsonl": b'{"question": "1 + 1?", "answer": "2"}\n',
    "data/train-00001-of-00002.jsonl": b'{"question": "2 + 2?", "answer": "4"}\n',
    "data/test.jsonl": b'{"question": "3 + 3?", "answer": "6"}\n',
}


class _FakeHub(BaseHTTPRequestHandler):
    """Answers what huggingface_hub asks of the Hub for the dataset owner/tiny, and 404 for anything else."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(self.path.partition("?")[0])
        _, found, name = path.partition("/datasets/owner/tiny/resolve/")
        if path in ("/api/datasets/owner/tiny", "/api/datasets/owner/tiny/revision/main"):
            info = {"id": "owner/tiny", "sha": COMMIT, "siblings": [{"rfilename": name} for name in FILES]}
            self._send(200, json.dumps(info).encode(), {"Content-Type": "application/json"})
        elif path.startswith("/api/datasets/owner/tiny/"):
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif found and name.partition("/")[0] == COMMIT:
            content = FILES[name.partition("/")[2]]
            etag = hashlib.sha1(content).hexdigest()
            self._send(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})
        elif "/owner/secret" in path:
            self._send(403, b"", {"X-Error-Code": "GatedRepo"})
        else:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing: a test's output is for its failures."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _FakeHub)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield endpoint
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_training_files_of_a_hub_dataset_are_fetched_and_imported(hub: str, tmp_path: Path) -> None:
    found = download_dataset("owner/tiny")
    paths = [path for path, _ in found.files]
    assert found.commit == COMMIT
    assert [path.name for path in paths] == ["train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl"]
    with Store.open(tmp_path / "workspace", "a test") as store:
        reports = [import_source(store, "tiny", path, SourceOptions()) for path in paths]
    assert [(report.rows, report.format) for report in reports] == [(1, "question-answer")] * 2


def test_another_split_is_fetched_on_request(hub: str) -> None:
    ((path, _),) = download_dataset("owner/tiny", split="test").files
    assert path.read_bytes() == FILES["data/test.jsonl"]
    with pytest.raises(SourceUnreadable, match=r"no split 'dev'\. Its splits: test, train"):
        download_dataset("owner/tiny", split="dev")


def test_the_command_line_takes_the_split_and_the_revision(hub: str, tmp_path: Path) -> None:
    command = ["import", "owner/tiny", "--dataset", "tiny", "--workspace", str(tmp_path / "workspace"), "--json"]
    done = CliRunner().invoke(app, [*command, "--split", "test", "--revision", "main"])
    assert [file["file"] for file in json.loads(done.stdout)["files"]] == ["test.jsonl"]
    refused = CliRunner().invoke(app, [*command, "--revision", "v9"])
    assert (refused.exit_code, "no revision 'v9'" in refused.stderr) == (1, True)


def test_a_split_of_a_file_is_wrong_usage(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["import", str(tmp_path / "a.jsonl"), "--dataset", "tiny", "--split", "test"])
    assert (done.exit_code, "none is named" in done.stderr) == (2, True)


def test_what_the_hub_does_not_give_is_said_in_a_sentence(hub: str) -> None:
    with pytest.raises(SourceUnreadable, match="There is no dataset owner/none"):
        download_dataset("owner/none")
    with pytest.raises(SourceUnreadable, match="no revision 'v9'"):
        download_dataset("owner/tiny", revision="v9")
    with pytest.raises(SourceUnreadable, match="accept its terms"):
        download_dataset("owner/secret")
    with pytest.raises(SourceUnreadable, match="owner/name"):
        download_dataset("not an id")


def test_a_hub_that_is_not_there_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(SourceUnreadable, match=r"http://127\.0\.0\.1:9 could not provide the dataset owner/tiny"):
        download_dataset("owner/tiny")


def chosen(*names: str, split: str | None = None, config: str | None = None) -> list[str]:
    return [file.name for file in choose_files("It", names, split, config)]


def test_of_the_same_data_in_two_kinds_of_file_one_is_taken() -> None:
    assert chosen("a.json", "a.jsonl.gz", "sub/a.json", "b.parquet") == ["a.json", "b.parquet", "sub/a.json"]
    assert chosen("train.csv", "constrain.csv", "x/train/0.csv") == ["train.csv", "x/train/0.csv"]
    with pytest.raises(SourceUnreadable, match="has no data file"):
        chosen("README.md", "model.safetensors", ".hidden.json", "dataset_infos.json")


SFT = ("data/train_sft-00000-of-00001.parquet", "data/train_dpo-00000-of-00001.parquet", "data/test_sft.parquet")
MATHS = ("easy/train.jsonl", "easy/test.jsonl", "hard/train.jsonl", "hard/test.jsonl")


@pytest.mark.parametrize(
    ("names", "split", "config", "expected"),
    [
        (SFT, "train_sft", None, [SFT[0]]),
        (SFT, "test", None, [SFT[2]]),
        (SFT[::2], None, None, [SFT[0]]),
        (SFT, None, None, "no single training split. Its splits: test_sft, train_dpo, train_sft"),
        (SFT, "train", None, "no split 'train'"),
        (MATHS, None, "easy", ["easy/train.jsonl"]),
        (MATHS, "test", "hard", ["hard/test.jsonl"]),
        (MATHS, None, None, "several configs: easy, hard. Choose one as the config"),
        (MATHS, "easy", None, r"no split 'easy'. Its splits: test, train. .*, or easy as the config"),
        (MATHS, None, "medium", "no config 'medium'. It has: easy, hard"),
        (("data/default/train.csv", "data/more/train.csv"), None, None, ["data/default/train.csv"]),
        (("training.jsonl", "validation.jsonl"), None, None, ["training.jsonl"]),
        (("Train.csv", "Test.csv", "Dev.csv"), None, None, ["Train.csv"]),
        (("Train.csv", "Test.csv", "Dev.csv"), "validation", None, ["Dev.csv"]),
        (("talks.jsonl", "test.jsonl", "eval.jsonl"), None, None, ["talks.jsonl"]),
        (("test.jsonl", "valid.jsonl"), None, None, "no single training split. Its splits: test, valid"),
        (("a.train.jsonl", "b.train.jsonl", "a.test.jsonl"), None, None, ["a.train.jsonl", "b.train.jsonl"]),
        (("train/a.jsonl", "train/b.jsonl", "test/a.jsonl"), None, None, ["train/a.jsonl", "train/b.jsonl"]),
        (("en-00000-of-00001.csv", "de-00000-of-00001.csv"), "de", None, ["de-00000-of-00001.csv"]),
    ],
)  # fmt: skip
def test_files_of_one_split_and_one_config_are_chosen_or_the_choice_is_asked_for(
    names: tuple[str, ...], split: str | None, config: str | None, expected: list[str] | str
) -> None:
    if isinstance(expected, list):
        assert chosen(*names, split=split, config=config) == expected
    else:
        with pytest.raises(SourceUnreadable, match=expected):
            chosen(*names, split=split, config=config)


def test_what_the_datasets_card_says_of_configs_goes_before_the_names_of_folders() -> None:
    described = [
        {
            "config_name": "short",
            "data_files": [{"split": "train", "path": "a/*.jsonl"}, {"split": "test", "path": "b.jsonl"}],
        },
        {"config_name": "long", "default": True, "data_files": [{"split": "train", "path": ["c/**/x.jsonl", "d"]}]},
    ]
    names = ["a/1.jsonl", "a/deep/2.jsonl", "b.jsonl", "c/x.jsonl", "c/y/x.jsonl", "d/3.jsonl"]
    for config, split, expected in (
        ("short", None, ["a/1.jsonl"]),
        ("short", "test", ["b.jsonl"]),
        (None, None, ["c/x.jsonl", "c/y/x.jsonl", "d/3.jsonl"]),
    ):
        assert [file.name for file in choose_files("It", names, split, config, described)] == expected


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("owner/name", ("owner/name", None, "")),
        ("hf://datasets/owner/name", ("owner/name", None, "")),
        ("hf://datasets/owner/name@v2", ("owner/name", "v2", "")),
        ("hf://datasets/owner/name@v2/data/train.jsonl", ("owner/name", "v2", "data/train.jsonl")),
        ("hf://datasets/owner/name/data/train.jsonl@v2", ("owner/name", "v2", "data/train.jsonl")),
        ("hf://datasets/owner/name/data/*.parquet", ("owner/name", None, "data/*.parquet")),
    ],
)
def test_an_address_of_the_hub_names_a_dataset_a_revision_and_files(text: str, meant: tuple[str, str, str]) -> None:
    assert hub_name(text) == HubName(*meant)


@pytest.mark.parametrize("text", ["hf://owner/name", "hf://datasets/name", "hf://datasets/../x", "hf://models/a/b"])
def test_an_address_that_is_none_is_said(text: str) -> None:
    with pytest.raises(SourceUnreadable, match="Write it as hf://datasets/owner/name"):
        hub_name(text)


def test_an_address_with_a_path_brings_those_files_and_the_commit_is_told_and_kept(hub: str, tmp_path: Path) -> None:
    address = "hf://datasets/owner/tiny@main/data/test.jsonl"
    command = ["import", address, "--dataset", "tiny", "--workspace", str(tmp_path / "workspace"), "--json"]
    done = CliRunner().invoke(app, command)
    assert f"owner/tiny at commit {COMMIT}" in done.stderr
    (file,) = json.loads(done.stdout)["files"]
    assert (file["file"], file["origin"]) == (
        "test.jsonl",
        {"hub": "owner/tiny", "commit": COMMIT, "file": "data/test.jsonl"},
    )
    with Store.open(tmp_path / "workspace", "a test") as store:
        ((options,),) = store.rows("SELECT options FROM source")
    assert json.loads(options)["origin"]["commit"] == COMMIT
    with pytest.raises(SourceUnreadable, match=r"no data file 'other\.jsonl'"):
        download_dataset("owner/tiny", path="other.jsonl")


def test_the_same_file_at_a_later_commit_is_not_added_twice(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(FILES["data/test.jsonl"])
    with Store.open(tmp_path / "workspace", "a test") as store:
        for commit in ("1", "2"):
            options = SourceOptions(origin={"hub": "owner/tiny", "commit": commit})
            report = import_source(store, "tiny", tmp_path / "a.jsonl", options)
        assert report.already_imported
        assert store.rows("SELECT count(*) FROM dataset_row") == [(1,)]


def test_a_hub_id_is_told_from_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "data").touch()
    assert names_hub_dataset("tatsu-lab/alpaca")
    assert names_hub_dataset("openai/gsm8k_v1.1")
    for text in ("here/data", "alpaca", "a/b/c", "./a", "/a/b", "data/chat.jsonl", "data/chat.json.gz", "~/a"):
        assert not names_hub_dataset(text), text
