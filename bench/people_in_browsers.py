"""A person with a real browser, in a context of their own, for `bench.sessions`."""

import asyncio
from collections.abc import Awaitable, Callable

from playwright.async_api import Browser, BrowserContext, Page
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from bench.people import LONGEST_SECONDS, Person, Seen

_POLL_MILLISECONDS = 50
# Whether the script runs cannot be told from the page alone: a run that ends at once is never drawn.
_DRAWN = """
    () => document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState === 'notRunning'
        && !document.querySelector('[data-testid="stSkeleton"]')
"""


class BrowserPerson(Person):
    """Clicks and types, and waits until the page is drawn."""

    means = "browser"

    def __init__(self, number: int, address: str, seen: Seen, browser: Browser) -> None:
        super().__init__(number, address, seen)
        self._browser = browser
        self._context: BrowserContext | None = None
        self._page: Page
        self._runs_ended = 0

    async def come(self) -> None:
        """In a new tab: the server takes that for somebody new."""
        if self._context is None:
            self._context = await self._browser.new_context(viewport={"width": 1440, "height": 900})
            self._context.set_default_timeout(2000 * LONGEST_SECONDS)  # the person gives up first
        else:
            await self._page.close()
        self._page = await self._context.new_page()
        self._page.on("websocket", lambda socket: socket.on("framereceived", self._take_frame))
        before = self._runs_ended
        await self._page.goto(f"{self.address}/data")
        await self._arrived("Data", before)

    async def open(self, page: str) -> None:
        """By a click on the navigation."""
        before = self._runs_ended
        await self._page.get_by_test_id("stTopNavLink").filter(has_text=page.capitalize()).click()
        await self._arrived(page.capitalize(), before)

    async def search(self, label: str, words: str) -> None:
        """Ended by the Enter key."""
        before, field = self._runs_ended, self._page.get_by_role("textbox", name=label, exact=True)
        await field.fill(words)
        await field.press("Enter")
        await self._at_rest(before)

    async def searched(self, label: str) -> str:
        """As it is shown."""
        return await self._page.get_by_role("textbox", name=label, exact=True).input_value()

    def ways_on_page(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        """A tab, a slider, the order of the rows."""
        ways: dict[str, list[tuple[str, Callable[[], Awaitable[None]]]]] = {
            "curate": [
                ("tab", self._open_tab),
                ("order of rows", self._turn_rows_round),
                ("slider", self._move_slider),
            ],
            "evidence": [("tab", self._open_tab)],
        }
        return ways.get(self.page, [])

    async def _move_slider(self) -> None:
        before = self._runs_ended
        await self._page.get_by_role("slider").first.press(self.choice.choice(["ArrowRight", "ArrowLeft"]))
        await self._at_rest(before)

    async def _turn_rows_round(self) -> None:
        before = self._runs_ended
        await self._page.get_by_role("radio", name="first", checked=False).last.click()
        await self._at_rest(before)

    async def _open_tab(self) -> None:
        before = self._runs_ended
        closed = self._page.get_by_role("tab", selected=False).filter(has_not_text="Saved selections")
        await closed.nth(self.choice.randrange(await closed.count())).click()
        await self._at_rest(before)

    def _take_frame(self, payload: str | bytes) -> None:
        if isinstance(payload, bytes):
            message = ForwardMsg.FromString(payload)
            ended = message.WhichOneof("type") == "script_finished"
            if ended and message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                self._runs_ended += 1

    async def _arrived(self, heading: str, before: int) -> None:
        await self._page.get_by_role("heading", name=heading, exact=True).wait_for()
        await self._at_rest(before)

    async def _at_rest(self, before: int) -> None:
        while self._runs_ended <= before:
            await asyncio.sleep(_POLL_MILLISECONDS / 1000)
        await self._page.wait_for_function(_DRAWN, polling=_POLL_MILLISECONDS)
        shown = self._page.locator('[data-testid="stException"], [data-testid="stAlertContentError"]')
        self.seen.broken += [f"{self.name} on {self.page}: {text}" for text in await shown.all_inner_texts()]
