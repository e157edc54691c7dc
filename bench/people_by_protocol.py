"""A person without a browser, for `bench.sessions`: sends and takes what a browser's page would, over its WebSocket.

Drawing a page takes a browser several times the processor time that the server needs for it: with twenty browsers on
one machine it would be the browsers that are measured.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from bench.people import Person, Seen

VIEWS = {
    "curate": ("view", ("Overview", "Distribution", "Trust", "Near-duplicates")),
    "evidence": ("evidence", ("Verdicts", "Compare runs")),
}
"""Tabs by page: the parameter of the address that names the open one, and their names."""
_WHOLE_RUN = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_WITH_COMPILE_ERROR)


class ProtocolPerson(Person):
    """Follows links, types and moves a slider, and waits until the server has sent the page to its end."""

    means = "protocol"

    def __init__(self, number: int, address: str, seen: Seen) -> None:
        super().__init__(number, address, seen)
        self._socket: ClientConnection | None = None
        self._listening: asyncio.Task[None] | None = None
        self._refreshing: dict[str, asyncio.Task[None]] = {}  # by fragment
        self._pages: dict[str, str] = {}
        self._widgets: dict[str, tuple[Any, str]] = {}  # by label: what the server said of it, its fragment
        self._ended = asyncio.Event()
        self._waits_for_fragment = False

    async def come(self) -> None:
        """Over a new connection: the server takes that for somebody new."""
        await self.leave()
        host = self.address.removeprefix("http://")
        self._socket = await connect(
            f"ws://{host}/_stcore/stream",
            subprotocols=[Subprotocol("streamlit")],
            origin=Origin(self.address),
            max_size=None,
        )
        self._listening = asyncio.create_task(self._listen(self._socket))
        await self._run(page_name="data")

    async def leave(self) -> None:
        """Close the connection."""
        self._stop_refreshing()
        if self._listening is not None and self._socket is not None:
            self._listening.cancel()
            await self._socket.close()

    async def open(self, page: str) -> None:
        """By its link."""
        self._stop_refreshing()
        await self._run(page_script_hash=self._pages[page])

    async def search(self, label: str, words: str) -> None:
        """As after the Enter key."""
        widget, fragment = self._widgets[label]
        await self._run(WidgetState(id=widget.id, string_value=words), fragment)

    async def searched(self, label: str) -> str:
        """As a browser would show it."""
        widget, _ = self._widgets[label]
        return str(widget.value if widget.set_value else widget.default)

    def ways_on_page(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        """A slider, or a link to one of the page's tabs."""
        tabs = [("tab", self._open_view)] if self.page in VIEWS else []
        return [("slider", self._move_slider), *tabs] if self.page == "curate" else tabs

    async def _move_slider(self) -> None:
        widget, fragment = next(found for found in self._widgets.values() if "recipe_all_ratio" in found[0].id)
        state = WidgetState(id=widget.id)
        state.double_array_value.data.append(round(self.choice.uniform(1, 30), 1))
        await self._run(state, fragment)

    async def _open_view(self) -> None:
        parameter, names = VIEWS[self.page]
        query = f"{parameter}={self.choice.choice(names).replace(' ', '+')}"
        await self._run(page_script_hash=self._pages[self.page], query_string=query)

    async def _run(self, state: WidgetState | None = None, fragment: str = "", **said: str) -> None:
        """Have the page's script run, or one fragment of it, and wait for its end."""
        self._ended.clear()
        self._waits_for_fragment = bool(fragment)
        message = BackMsg()
        if state is not None:
            message.rerun_script.widget_states.widgets.append(state)
            said["page_script_hash"] = self._pages[self.page]
        for name, value in {**said, "fragment_id": fragment}.items():
            setattr(message.rerun_script, name, value)
        assert self._socket is not None
        await self._socket.send(message.SerializeToString())
        await self._ended.wait()

    async def _listen(self, socket: ClientConnection) -> None:
        async for payload in socket:
            assert isinstance(payload, bytes)
            message = ForwardMsg.FromString(payload)
            kind = message.WhichOneof("type")
            if kind == "delta":
                self._take(message.delta)
            elif kind == "navigation":
                self._pages = {page.url_pathname: page.page_script_hash for page in message.navigation.app_pages}
            elif kind == "auto_rerun" and message.auto_rerun.fragment_id not in self._refreshing:
                asked = message.auto_rerun
                self._refreshing[asked.fragment_id] = asyncio.create_task(self._refresh(socket, asked))
            elif kind == "script_finished" and (
                message.script_finished in _WHOLE_RUN
                or (self._waits_for_fragment and message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN)
            ):
                self._ended.set()

    def _take(self, delta: Any) -> None:
        """Keep what is needed of an element."""
        if delta.WhichOneof("type") != "new_element":
            return
        kind = delta.new_element.WhichOneof("type")
        element = getattr(delta.new_element, kind)
        if kind in ("text_input", "slider"):
            self._widgets[element.label] = element, delta.fragment_id
        elif kind == "exception" or (kind == "alert" and element.format == element.ERROR):
            self.seen.broken.append(
                f"{self.name} on {self.page}: {element.message if kind == 'exception' else element.body}"
            )

    async def _refresh(self, socket: ClientConnection, asked: Any) -> None:
        """Have a fragment run again and again, as a browser does for what shows a job's progress."""
        message = BackMsg()
        message.rerun_script.fragment_id, message.rerun_script.is_auto_rerun = asked.fragment_id, True
        message.rerun_script.page_script_hash = self._pages[self.page]
        while True:
            await asyncio.sleep(asked.interval)
            await socket.send(message.SerializeToString())

    def _stop_refreshing(self) -> None:
        for task in self._refreshing.values():
            task.cancel()
        self._refreshing.clear()
