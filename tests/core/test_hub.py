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

from core.__main__ import app
from core.errors import SourceUnreadable
from core.importing import SourceOptions, import_source
from core.importing.hub import choose_files, download_dataset, is_hub_id
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
    paths = download_dataset("owner/tiny")
    assert [path.name for path in paths] == ["train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl"]
    with Store.open(tmp_path / "workspace", "a test") as store:
        reports = [import_source(store, "tiny", path, SourceOptions()) for path in paths]
    assert [(report.rows, report.format) for report in reports] == [(1, "question-answer")] * 2


def test_another_split_is_fetched_on_request(hub: str) -> None:
    (path,) = download_dataset("owner/tiny", split="test")
    assert path.read_bytes() == FILES["data/test.jsonl"]
    with pytest.raises(SourceUnreadable, match=r"no file for 'dev'.*data/test.jsonl"):
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
    with pytest.raises(SourceUnreadable, match="terms accepted"):
        download_dataset("owner/secret")
    with pytest.raises(SourceUnreadable, match="owner/name"):
        download_dataset("not an id")


def test_a_hub_that_is_not_there_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(SourceUnreadable, match=r"http://127\.0\.0\.1:9 did not give the dataset owner/tiny"):
        download_dataset("owner/tiny")


def test_of_the_same_data_in_two_kinds_of_file_one_is_taken() -> None:
    assert choose_files("o/n", ["a.json", "a.jsonl.gz", "sub/a.json", "b.parquet"]) == [
        "a.json",
        "b.parquet",
        "sub/a.json",
    ]
    assert choose_files("o/n", ["train.csv", "constrain.csv", "x/train/0.csv"]) == ["train.csv", "x/train/0.csv"]
    with pytest.raises(SourceUnreadable, match="has no data file"):
        choose_files("o/n", ["README.md", "model.safetensors", ".hidden.json", "dataset_infos.json"])


def test_a_hub_id_is_told_from_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "data").touch()
    assert is_hub_id("tatsu-lab/alpaca")
    assert is_hub_id("openai/gsm8k_v1.1")
    for text in ("here/data", "alpaca", "a/b/c", "./a", "/a/b", "data/chat.jsonl", "data/chat.json.gz", "~/a"):
        assert not is_hub_id(text), text
