"""A Hub on localhost that datasets can be pushed to: the few answers that huggingface_hub asks for, and a record of
every request."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class FakeHub:
    """Its one dataset owner/curated: whether it exists and is private, files by branch, commits, requests. `refused`:
    the status of each path (a part of it) that is refused."""

    endpoint: str = ""
    exists: bool = False
    private: bool = True
    branches: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"main": {}})
    commits: list[dict[str, Any]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)

    def sha(self, branch: str) -> str:
        """The commit of a branch."""
        state = [(name, self.branches[branch][name].hex()) for name in sorted(self.branches[branch])]
        return hashlib.sha1(json.dumps([branch, state]).encode()).hexdigest()

    def answer(self, method: str, path: str, query: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        """Status, content and headers."""
        for part, status in self.refused.items():
            if part in path:
                return status, b'{"error": "refused"}', {}
        if path == "/api/repos/create":
            created, self.exists = self.exists, True
            if not created:
                self.private = json.loads(body)["visibility"] == "private"
            return 409 if created else 200, *_json({"url": f"{self.endpoint}/datasets/owner/curated"})[1:]
        if path == "/api/validate-yaml":
            return _json({"errors": [], "warnings": []})
        if not self.exists or "/owner/curated" not in path:
            return 404, b"", {"X-Error-Code": "RepoNotFound"}
        of = path.removeprefix("/api").removeprefix("/datasets/owner/curated").strip("/")
        if of in ("", "revision/main") or of.startswith("revision/"):
            return self._info(of.removeprefix("revision/") or "main")
        what, _, rest = of.partition("/")
        if what == "branch":
            self.branches[rest] = dict(self.branches["main"])
            return _json({})
        if what == "preupload":
            files = [{"path": file["path"], "uploadMode": "regular"} for file in json.loads(body)["files"]]
            return _json({"files": [file | {"shouldIgnore": False} for file in files]})
        if what == "commit":
            return self._commit(rest, query, body)
        return self._file(*rest.split("/", 1))

    def _info(self, branch: str) -> tuple[int, bytes, dict[str, str]]:
        if branch not in self.branches:
            return 404, b"", {"X-Error-Code": "RevisionNotFound"}
        files = [{"rfilename": name} for name in self.branches[branch]]
        return _json({"id": "owner/curated", "sha": self.sha(branch), "private": self.private, "siblings": files})

    def _file(self, sha: str, name: str) -> tuple[int, bytes, dict[str, str]]:
        branch = next(branch for branch in self.branches if self.sha(branch) == sha)
        content = self.branches[branch][name]
        return 200, content, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": sha}

    def _commit(self, branch: str, query: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        header, *lines = [json.loads(line) for line in body.splitlines()]
        files = {line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in lines}
        if header["value"].get("parentCommit") != self.sha(branch):
            return 412, b'{"error": "changed"}', {}
        self.commits.append({"branch": branch, "query": query, "files": files, "header": header["value"]})
        if "create_pr=1" not in query:
            self.branches[branch] |= files
        address = f"{self.endpoint}/datasets/owner/curated"
        return _json({
            "commitUrl": f"{address}/commit/{'a' * 40}", "commitOid": "a" * 40,
            "pullRequestUrl": f"{address}/discussions/1",
        })  # fmt: skip


def _json(fields: Mapping[str, Any]) -> tuple[int, bytes, dict[str, str]]:
    return 200, json.dumps(fields).encode(), {"Content-Type": "application/json"}


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """A Hub that runs until the context ends."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path, _, query = self.path.partition("?")
            hub.requests.append(Request(self.command, self.path, dict(self.headers), body))
            status, content, headers = hub.answer(self.command, unquote(path), query, body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_HEAD = _answer

        def log_message(self, *_: object) -> None:
            """Say nothing: a test's output is for its failures."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
