"""Sessions at the same time, by the protocol that a browser speaks: what one person types no other sees."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench.make_rows import make_workspace
from bench.people import Seen, words_of
from bench.people_by_protocol import ProtocolPerson
from tests.browser.dashboard import Dashboard

ROUND = ("curate", "data", "curate", "data", "curate")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Dashboard]:
    """A dashboard on a few rows and two runs."""
    make_workspace(tmp_path / "workspace", 200, domains=2, runs=2)
    dashboard = Dashboard(tmp_path / "workspace")
    dashboard.start()
    yield dashboard
    dashboard.stop()


async def _at_once(address: str) -> tuple[Seen, Seen]:
    """What three people see who go round together, and what a fourth sees who believes to have typed something."""
    seen, seen_by_last = Seen(), Seen()
    people = [ProtocolPerson(number, address, seen) for number in range(3)]
    last = ProtocolPerson(3, address, seen_by_last)
    await asyncio.gather(*(person.begin() for person in (*people, last)))
    for page in ROUND:
        await asyncio.gather(*(person.visit(page) for person in people))
    last.written.add("curate")
    await last.visit("curate")
    for person in (*people, last):
        await person.leave()
    return seen, seen_by_last


def test_what_one_session_types_no_other_sees_and_it_stands_there_on_return(served: Dashboard) -> None:
    # In a thread of its own: while a browser of Playwright's is open, the main one has a loop already.
    with ThreadPoolExecutor(1) as thread:
        seen, seen_by_last = thread.submit(asyncio.run, _at_once(served.address)).result()
    assert (seen.mixed, seen.broken, seen.unfinished) == ([], [], [])
    assert len(seen.actions) == 3 * (1 + len(ROUND) + 1)
    # Without a login all are one person, and who comes anew finds the draft that was changed last.
    assert seen_by_last.mixed in [[f"person 3 found {words_of(number)!r} on curate, not 'to'"] for number in range(3)]
