"""What the tests of the page do and wait for, in the words of a user."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, Route, expect

Scheme = Literal["light", "dark"]

# A lone, large, clean digit: nobody reads this wrong.
EASY = {
    "digit": "3",
    "x": "40",
    "y": "60",
    "size": "40",
    "clutter": "0",
    "noise": "0",
    "digit_noise": "0",
    "style": "7",
    "seed": "7",
}


class Box(NamedTuple):
    """A rectangle on the stage, in px of the picture."""

    x: float
    y: float
    width: float
    height: float

    @property
    def centre(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2


def query(**changes: str) -> str:
    return "&".join(f"{name}={value}" for name, value in {**EASY, **changes}.items())


def open_page(page: Page, **changes: str) -> None:
    """Open the page with an easy scene and wait until it is answered."""
    page.goto(f"/?{query(**changes)}")
    expect_answer_to(page, query(**changes))


def expect_answer_to(page: Page, part: str) -> None:
    """Wait for the answer to a request: its command is written in the same breath as picture and answer."""
    # A word boundary, so that x=4 is not found in x=40.
    expect(page.locator("#curl")).to_contain_text(re.compile(re.escape(part) + r"(?![\w.])"))


def box(page: Page, name: str) -> Box:
    """The found or the true box as the stage has it."""
    rectangle = page.locator(f"#{name}-box")
    return Box(*(float(rectangle.get_attribute(side) or "nan") for side in Box._fields))


def pixels(page: Page, canvas: str = "picture") -> str:
    """A canvas's content as a data URI, to be compared with another."""
    return str(page.locator(f"#{canvas}").evaluate("canvas => canvas.toDataURL()"))


def hold(page: Page, url: str | re.Pattern[str]) -> list[Route]:
    """Hold requests back from now on; the list fills with them, to be let go one by one."""
    held: list[Route] = []

    def keep(route: Route) -> None:
        held.append(route)

    page.route(url, keep)
    return held


def point_on(stage: Locator, x: float, y: float) -> tuple[float, float]:
    """Where a place of the scene, in scene px, lies in the window."""
    place = stage.bounding_box()
    assert place is not None
    return place["x"] + x / 100 * place["width"], place["y"] + y / 100 * place["height"]


def move(page: Page, *places: tuple[float, float]) -> None:
    """Press the mouse at the first place of the scene, pass the others, release it at the last."""
    stage = page.locator("#stage")
    page.mouse.move(*point_on(stage, *places[0]))
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*point_on(stage, *place))
    page.mouse.up()


def assert_no_violation(page: Page) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def watch(page: Page, address: str, faults: list[str]) -> None:
    """Note what no page of ours may do: fail in a script, break its own policy, ask another host."""
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on(
        "console",
        lambda message: faults.append(message.text) if "Security Policy" in message.text else None,
    )
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((f"{address}/", "blob:"))
            else faults.append(f"request: {request.url}")
        ),
    )
