"""A server that other machines would reach without a login does not start, and closed defaults hold on the real one."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.browser.dashboard import ROOT, Dashboard
from ui.shell.closed_server import is_loopback

OPENED: list[tuple[dict[str, str], list[str], str]] = [
    ({}, ["--server.address", "0.0.0.0"], "listen on 0.0.0.0"),
    ({}, ["--server.address="], "listen on every address"),
    ({"STREAMLIT_SERVER_ADDRESS": "192.0.2.1"}, [], "listen on 192.0.2.1"),
    ({}, ["--server.enableXsrfProtection", "false"], "enableXsrfProtection is off"),
    ({"STREAMLIT_SERVER_ENABLE_CORS": "false"}, [], "enableCORS is off"),
    ({"STREAMLIT_SERVER_ALLOWED_HOSTS": "*"}, [], "allowedHosts lists no host"),
]


@pytest.mark.parametrize(("environment", "arguments", "sentence"), OPENED, ids=str)
def test_a_server_that_would_be_open_does_not_start(
    tmp_path: Path, environment: dict[str, str], arguments: list[str], sentence: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ui.serve", "--server.port", "1", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment, "LOBASS_WORKSPACE": str(tmp_path / "workspace")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]
    assert sentence in said
    assert "LOBASS_ALLOW_OPEN=1" in said
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "workspace").exists()


@pytest.mark.parametrize(
    ("address", "closed"),
    [
        ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("localhost", True), ("unix:///run/app.sock", True),
        (None, False), ("", False), ("0.0.0.0", False), ("::", False), ("10.0.0.5", False), ("example.org", False),
        ("127.0.0.1.example.org", False), ("localhost.example.org", False),
    ],
)  # fmt: skip
def test_only_loopback_counts_as_closed(address: str | None, closed: bool) -> None:
    assert is_loopback(address) is closed


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """A dashboard as it comes."""
    served = Dashboard(tmp_path_factory.mktemp("closed") / "workspace")
    served.start()
    yield served
    served.stop()


def test_only_loopback_is_listened_on(closed: Dashboard) -> None:
    found = listened_on(closed.port)
    assert found
    assert all(ip_address(address).is_loopback for address in found)


def test_a_host_header_of_another_name_gets_no_data(closed: Dashboard) -> None:
    """A name that an attacker points at 127.0.0.1 (DNS rebinding): pages' data goes over the WebSocket alone."""
    for host in ("127.0.0.1", "localhost"):
        assert handshake(closed.port, f"{host}:{closed.port}") == 101
    for host in ("evil.example", "127.0.0.1.evil.example", f"evil.example:{closed.port}", "127.0.0.1@evil.example"):
        assert handshake(closed.port, host) == 403


def test_a_page_of_another_site_gets_no_data(closed: Dashboard) -> None:
    for origin in ("https://evil.example", "null", f"http://127.0.0.1.evil.example:{closed.port}"):
        assert handshake(closed.port, f"127.0.0.1:{closed.port}", origin) == 403


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/_stcore/upload_file/session/file"), ("POST", "/_stcore/agent/interact")]
)
def test_what_is_sent_to_the_server_past_its_page_is_refused(closed: Dashboard, method: str, path: str) -> None:
    connection = HTTPConnection("127.0.0.1", closed.port, timeout=30)
    connection.request(method, path, b"{}", {"Content-Type": "application/json"})
    assert connection.getresponse().status in (403, 404, 405)


def listened_on(port: int) -> set[str]:
    """The addresses at which something listens on the port, as the kernel has them."""
    found = set()
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{name}").read_text(encoding="ascii").splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            number, _, place = local.partition(":")
            if state == "0A" and int(place, 16) == port:
                words = [bytes.fromhex(number[start : start + 8])[::-1] for start in range(0, len(number), 8)]
                found.add(socket.inet_ntop(family, b"".join(words)))
    return found


def handshake(port: int, host: str, origin: str | None = None) -> int:
    """The status that a WebSocket's first request gets."""
    lines = [
        "GET /_stcore/stream HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: streamlit",
        f"Origin: {origin or f'http://{host}'}",
    ]  # fmt: skip
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return int(connection.recv(1024).split()[1])
