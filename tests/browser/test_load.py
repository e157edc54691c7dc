"""On a real server: queries that nobody waits for end, and addresses of downloads are secret."""

import asyncio
import hashlib
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from tests.browser.dashboard import Dashboard
from tests.waiting import wait_for

PAGE = Path(__file__).with_name("slow_page.py")
CONTENT = b"the same content" * 1_000


class Served(Dashboard):
    """The page, served, and what it notes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "workspace")
        self.command = (sys.executable, "-m", "streamlit", "run", str(PAGE))
        self.notes = folder / "notes"
        self.notes.mkdir()

    async def connect(self) -> ClientConnection:
        """A browser's tab, as the server sees it."""
        host = self.address.removeprefix("http://")
        return await connect(
            f"ws://{host}/_stcore/stream",
            subprotocols=[Subprotocol("streamlit")],
            origin=Origin(self.address),
            max_size=None,
        )

    async def noted(self, name: str) -> str:
        """What the page wrote into the note, once it is there."""
        note = self.notes / name
        await asyncio.to_thread(wait_for, note.exists, f"the note '{name}'")
        return await asyncio.to_thread(wait_for, note.read_text, f"what '{name}' says") if "ended" in name else ""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    dashboard = Served(tmp_path)
    dashboard.start()
    yield dashboard
    dashboard.stop()


async def draw(tab: ClientConnection, asked: str) -> None:
    """Have the page drawn for `?ask=...`."""
    message = BackMsg()
    message.rerun_script.query_string = f"ask={asked}"
    await tab.send(message.SerializeToString())


def run(scene: Callable[[], Awaitable[Any]]) -> Any:
    """In a thread of its own: while a browser of Playwright's is open, the main one has a loop already."""

    async def played() -> Any:
        return await scene()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, played()).result()


def test_a_query_ends_when_the_browser_leaves_or_its_person_clicks_on(served: Served) -> None:
    async def scene() -> tuple[str, str, bool]:
        leaves, stays, clicks = [await served.connect() for _ in range(3)]
        for tab, name in ((leaves, "one"), (stays, "three"), (clicks, "seven")):
            await draw(tab, name)
            await served.noted(f"{name} asks")
        await leaves.close()
        await draw(clicks, "something else")
        ended = await served.noted("one ended"), await served.noted("seven ended")
        unharmed = not (served.notes / "three ended").exists()
        await stays.close()
        await served.noted("three ended")
        return *ended, unharmed

    assert run(scene) == ("StopException", "StopException", True)  # Streamlit's ways to end a run


def test_equal_downloads_of_two_sessions_have_addresses_of_their_own_that_the_content_does_not_tell(
    served: Served,
) -> None:
    async def scene() -> tuple[list[str], list[str]]:
        return await addresses(served), await addresses(served)

    ours, others = run(scene)
    ready, *later = ours
    assert len({*ours, *others}) == 8
    assert later[0] == later[1]  # asked for again: no second copy
    for address, content in ((ready, CONTENT), *((address, b"made later") for address in later)):
        with urlopen(served.address + address, timeout=300) as answer:
            assert answer.read() == content
            name = "ready" if address == ready else "later"
            assert f'filename="{name}.bin"' in str(answer.headers["Content-Disposition"])
        assert streamlits_own_id(content, f"{name}.bin") not in address


def streamlits_own_id(content: bytes, name: str) -> str:
    """What Streamlit would call a file of less than 1 MiB."""
    parts = (f"{len(content)}:".encode(), content, b"application/octet-stream", name.encode())
    return hashlib.blake2b(b"".join(parts), digest_size=16).hexdigest()


async def addresses(served: Served) -> list[str]:
    """Of a new tab's downloads: the ready one, one made on a click, twice, and one of nobody's, twice."""
    tab = await served.connect()
    await draw(tab, "download")
    ready, deferred, made, session = "", [], [], ""
    async for payload in tab:
        message = ForwardMsg.FromString(bytes(payload))  # type: ignore[arg-type]
        kind = message.WhichOneof("type")
        if kind == "new_session":
            session = message.new_session.initialize.session_id
        elif kind == "delta":
            button = message.delta.new_element.download_button
            ready = button.url or ready
            deferred += [button.deferred_file_id] * 2 * button.HasField("deferred_file_id")
        elif kind == "script_finished":
            for number, file_id in enumerate(deferred):
                ask = BackMsg()
                ask.backend_operation_request.request_id = f"{number}"
                ask.backend_operation_request.session_id = session
                ask.backend_operation_request.deferred_file.file_id = file_id
                await tab.send(ask.SerializeToString())
        elif kind == "backend_operation_response":
            made.append(
                (message.backend_operation_response.request_id, message.backend_operation_response.deferred_file.url)
            )
            if len(made) == len(deferred):
                return [ready, *(url for _, url in sorted(made))]
    raise ConnectionError("The server closed the connection.")
