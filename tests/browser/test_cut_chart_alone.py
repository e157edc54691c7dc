"""The cut chart's own script in a real browser, with a server that answers when the test says so."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

import ui.kit.cut_chart
from tests.browser.dashboard import new_context

pytestmark = pytest.mark.browser
SCRIPT, STYLE = (
    Path(ui.kit.cut_chart.__file__).with_name(f"cut_chart.{kind}").read_text(encoding="utf-8") for kind in ("js", "css")
)
MOUNT = """async ([script, data]) => {
    const module = await import(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
    window.events = [];
    window.answer = (data) => module.default({
        parentElement: document.body, data, setTriggerValue: (name, event) => window.events.push(event),
    });
    window.answer(data);
}"""


def drawn(cuts: tuple[float | None, ...] = (0.5, 0.5), turn: int = 0, **more: Any) -> dict[str, Any]:
    """What the server sends: domains a, b ... with ten bins of ten rows from 0 to 1, five rows outside each end."""
    domains = [
        {"name": "ab"[place], "colour": "#0072B2", "rows": [10] * 10, "below": 5, "above": 5, "cut": cut}
        for place, cut in enumerate(cuts)
    ]
    data = {"edges": [number / 10 for number in range(11)], "domains": domains, "order": "highest", "linked": False}
    return data | {"fixed": False, "label": "Learnability", "title": "Rows", "turn": turn} | more


@pytest.fixture
def mount(browser: Browser) -> Any:
    contexts = []

    def mounted(data: dict[str, Any], *, touch: bool = False) -> Page:
        context = new_context(browser, viewport={"width": 1000, "height": 600}, has_touch=touch)
        contexts.append(context)
        page = context.new_page()
        page.set_content("<body style='margin:0'><div class='cuts'></div></body>")
        page.add_style_tag(content=STYLE)
        page.evaluate(MOUNT, [SCRIPT, data])
        expect(page.locator("svg .axis text, svg text").first).to_be_attached()
        return page

    yield mounted
    for context in contexts:
        context.close()


def values(page: Page) -> list[float]:
    return [float(cut.get_attribute("aria-valuenow") or "nan") for cut in page.get_by_role("slider").all()]


def events(page: Page) -> list[dict[str, Any]]:
    return list(page.evaluate("window.events"))


def grip(page: Page, place: int = 0) -> tuple[float, float]:
    box = page.locator(".grip").nth(place).bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def hold(page: Page, by: int, place: int = 0) -> None:
    x, y = grip(page, place)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by, y, steps=3)


Mount = Callable[..., Page]


def test_a_held_line_sends_nothing_until_its_release_and_then_once(mount: Mount) -> None:
    page = mount(drawn())
    hold(page, -200)
    assert events(page) == []
    held = values(page)[0]
    assert held < 0.5
    page.mouse.up()
    assert events(page) == [{"domain": "a", "score": held, "turn": 1}]
    page.mouse.move(10, 10)
    assert len(events(page)) == 1


def test_a_late_answer_moves_neither_a_held_line_nor_one_that_waits_for_its_own(mount: Mount) -> None:
    page = mount(drawn())
    hold(page, -100)
    page.mouse.up()
    released = values(page)[0]
    hold(page, 200)
    held = values(page)[0]
    page.evaluate("window.answer", drawn((0.41, 0.9), turn=1))
    assert values(page) == [held, 0.9]
    page.mouse.up()
    page.evaluate("window.answer", drawn((released, 0.9), turn=1))
    assert values(page) == [held, 0.9]
    page.evaluate("window.answer", drawn((0.71, 0.9), turn=2))
    assert values(page) == [0.71, 0.9]
    assert [event["turn"] for event in events(page)] == [1, 2]


def test_keys_move_a_line_and_send_when_they_are_let_go(mount: Mount) -> None:
    page = mount(drawn())
    first = page.get_by_role("slider").first
    first.focus()
    for _ in range(3):
        page.keyboard.down("ArrowRight")
    assert events(page) == []
    page.keyboard.up("ArrowRight")
    assert [event["score"] for event in events(page)] == [0.515]
    page.keyboard.down("PageUp")
    page.keyboard.press("Escape")
    assert values(page)[0] == 0.515
    page.keyboard.press("Home")
    assert first.get_attribute("aria-valuetext") == "all"
    page.keyboard.press("ArrowRight")
    assert values(page)[0] == 0.0
    assert first.get_attribute("aria-valuetext") == "0.000: about 105 of 110 rows"


def test_the_axis_and_the_bars_stay_while_a_line_moves(mount: Mount) -> None:
    page = mount(drawn())
    parts = page.locator("path.faint, line.axis, svg > g:last-child text")
    before = parts.evaluate_all("all => all.map((each) => each.outerHTML)")
    hold(page, -200)
    assert parts.evaluate_all("all => all.map((each) => each.outerHTML)") == before
    page.mouse.up()


def test_a_finger_drags_a_line(mount: Mount) -> None:
    page = mount(drawn(), touch=True)
    x, y = grip(page)
    session = page.context.new_cdp_session(page)
    for kind, at in (("touchStart", x), ("touchMove", x - 60), ("touchMove", x - 120)):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": at, "y": y}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_function("window.events.length === 1")
    assert events(page)[0]["score"] == values(page)[0] < 0.5


def test_linked_lines_move_together_and_fixed_ones_are_no_sliders(mount: Mount) -> None:
    page = mount(drawn(linked=True))
    hold(page, -100)
    first, second = values(page)
    assert first == second < 0.5
    page.mouse.up()
    assert len(events(page)) == 1
    page.evaluate("window.answer", drawn(fixed=True))
    assert page.get_by_role("slider").count() == 0


def test_a_domain_without_a_cut_has_its_line_at_the_end_where_nothing_is_selected(mount: Mount) -> None:
    page = mount(drawn((None, 0.5)))
    assert page.get_by_role("slider").first.get_attribute("aria-valuetext") == "none"
    assert page.locator("path.solid").first.get_attribute("d") == ""
    page.evaluate("window.answer", drawn((None, 0.5), order="lowest"))
    assert grip(page)[0] < grip(page, 1)[0]
