"""A person who uses the dashboard, for `bench.sessions`: thinks, acts, and knows what they had typed."""

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import ClassVar

from bench.synthetic_text import COMMON_WORDS

PAGES = ("data", "score", "curate", "evidence", "export")
SEARCHES = {"curate": "Search"}
"""Pages that keep a draft of what is looked for, and the name of its field."""
LONGEST_SECONDS = 60.0
"""An action that takes longer counts as one that did not end."""


@dataclass(slots=True)
class Seen:
    """What people saw: (kind, seconds) of each action that ended, and sentences on what went wrong."""

    actions: list[tuple[str, float]] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)


class Person(ABC):
    """Somebody in a session of their own. No two of them look for the same words."""

    means: ClassVar[str]

    def __init__(self, number: int, address: str, seen: Seen) -> None:
        self.name, self.words = f"person {number}", words_of(number)
        self.address, self.seen, self.choice = address, seen, random.Random(number)
        self.page = "data"
        self.written: set[str] = set()

    @abstractmethod
    async def come(self) -> None:
        """Open the dashboard, as somebody new: nothing is written yet."""

    @abstractmethod
    async def open(self, page: str) -> None:
        """Go to a page by the navigation."""

    @abstractmethod
    async def search(self, label: str, words: str) -> None:
        """Type words into the field of that name."""

    @abstractmethod
    async def searched(self, label: str) -> str:
        """What stands in the field of that name."""

    async def leave(self) -> None:  # noqa: B027
        """Go for good."""

    @abstractmethod
    def ways_on_page(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        """What else can be done on this page: its kind, and how; each ends when the page is at rest."""

    async def begin(self) -> None:
        """Come, and have the time taken."""
        await self._do("come", self.come)

    async def visit(self, page: str) -> None:
        """Go to a page; where one can search, write what this person looks for, or see whether it stands there."""
        self.page = page
        await self._do(f"open {page}", lambda: self.open(page))
        await self._mind_draft()

    async def stay(self, until: float, think_seconds: float) -> None:
        """Think and act in turn until then, by the running loop's clock."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(self.choice.uniform(0.0, 2.0) * think_seconds)
            if clock() > until:
                return
            await self._act()

    async def _act(self) -> None:
        chance, ways = self.choice.random(), self.ways_on_page()
        if chance < 0.03:
            self.page = "data"
            self.written.clear()
            await self._do("come again", self.come)
        elif chance < 0.5 or not ways:
            await self.visit(self.choice.choice([name for name in PAGES if name != self.page]))
        else:
            await self._do(*self.choice.choice(ways))

    async def _mind_draft(self) -> None:
        if (label := SEARCHES.get(self.page)) is None:
            return
        if self.page not in self.written:
            self.written.add(self.page)
            await self._do("search", lambda: self.search(label, self.words))
        elif (found := await self.searched(label)) != self.words:
            self.seen.mixed.append(f"{self.name} found {found!r} on {self.page}, not {self.words!r}")

    async def _do(self, kind: str, act: Callable[[], Awaitable[None]]) -> None:
        """Act, and note how long it took."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                await act()
        except TimeoutError:
            self.seen.unfinished.append(f"{self.name}, {kind} ({self.means})")
            self.page = "data"
            self.written.clear()
            await self._do("come again", self.come)
            return
        self.seen.actions.append((f"{self.means}: {kind}", time.perf_counter() - started))


def words_of(number: int) -> str:
    """A word that many synthetic rows hold, and another one for each; from the 60th person or so, two words."""
    more, first = divmod(number, len(COMMON_WORDS))
    return (
        COMMON_WORDS[first] if not more else f"{COMMON_WORDS[first]} {COMMON_WORDS[(first + more) % len(COMMON_WORDS)]}"
    )
