"""Good to use: by keyboard alone, on a phone, for screen readers, in light and dark, and nothing jumps."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.steps import Scheme, assert_no_violation, expect_answer_to, move, open_page, query


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(page: Page, scheme: Scheme) -> None:
    page.emulate_media(color_scheme=scheme)
    open_page(page)
    assert_no_violation(page)
    page.get_by_role("tab", name="Draw").click()
    move(page, (50, 20), (50, 60))
    expect_answer_to(page, "image=@drawing.png")
    assert_no_violation(page)
    page.get_by_role("tab", name="Your picture").click()
    page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": b"no"})
    expect(page.get_by_role("alert")).to_contain_text("no such format")
    assert_no_violation(page)


def test_the_keyboard_is_enough(page: Page) -> None:
    """From the first tab stop on: every control is reached, seen and worked without a mouse."""
    open_page(page)
    stops: list[str] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        stop, outlined = page.evaluate(
            """() => {
                const element = document.activeElement;
                const marked = element.type === "radio" ? element.nextElementSibling : element;
                if (element === document.body) return ["", true]; // past the last stop
                return [element.id || element.name || element.textContent.trim(),
                        getComputedStyle(marked).outlineStyle !== "none"];
            }"""
        )
        if stop in stops or not stop:
            break
        assert outlined, f"{stop} has the focus and does not show it"
        stops.append(stop)
    wanted = "tab-scene stage heat-switch digit x y size clutter noise digit_noise paper style other-style"
    wanted += " seed other-seed surprise copy-link copy-curl save-image save-json curl Clean Brutal"
    assert [stop for stop in [*wanted.split(), "challenge-start"] if stop not in stops] == []

    page.locator("#x").focus()
    page.keyboard.press("ArrowRight")
    expect_answer_to(page, "x=40.5")
    page.get_by_role("radio", name="3", exact=True).focus()
    page.keyboard.press("ArrowRight")
    expect_answer_to(page, "digit=4")
    page.locator("#tab-scene").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Your picture")).to_be_focused()
    expect(page.get_by_label("Choose a picture")).to_be_attached()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#pad")).to_be_visible()
    page.keyboard.press("Home")
    expect(page.locator("#picture")).to_be_visible()


def test_the_answer_is_spoken_once_things_rest(page: Page) -> None:
    open_page(page)
    page.locator("#x").fill("60")
    expect(page.locator("#spoken")).to_contain_text("Right: it is a 3.")
    described = re.compile("^A picture. The model found a 3 from")
    expect(page.locator("#picture")).to_have_attribute("aria-label", described)


@pytest.mark.parametrize("size", [(360, 740), (768, 1024), (1280, 800), (1920, 1080)])
def test_nothing_is_cut_off_and_the_scene_is_seen_first(
    browser: Browser, service: str, size: tuple[int, int]
) -> None:
    width, height = size
    page = browser.new_page(viewport={"width": width, "height": height}, has_touch=width < 1000)
    page.goto(f"{service}/?{query()}")
    expect_answer_to(page, query())
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    for part in ("#stage", "#verdict", "#iou"):
        place = page.locator(part).bounding_box()
        assert place is not None
        assert place["y"] + place["height"] <= height, f"{part} is below the first view"
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, input:not(.unseen), a[href]")]
            .filter((element) => element.checkVisibility() && !element.closest("p, label, footer"))
            .filter((element) => Math.min(element.offsetWidth, element.offsetHeight) < 24)
            .map((element) => element.id || element.textContent)"""
    )
    assert small == [], "too small for a finger"
    page.close()


def test_nothing_jumps(page: Page) -> None:
    """No layout shift in the sense of web vitals, those after a click included, which the metric forgives."""
    page.add_init_script(
        """window.shifts = [];
        new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) {
                const moved = entry.sources.map(({ node }) => node?.id || node?.className);
                window.shifts.push([entry.value, moved]);
            }
        }).observe({ type: "layout-shift", buffered: true });"""
    )
    open_page(page)
    for control, value in (("x", "70"), ("noise", "0.4"), ("clutter", "16"), ("size", "20")):
        page.locator(f"#{control}").fill(value)
        expect_answer_to(page, f"{control}={value}")
    page.route("**/synthesize?*predict=true", lambda route: route.abort())
    page.locator("#x").fill("30")
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
    page.unroute("**/synthesize?*predict=true")
    page.get_by_role("button", name="Try again").click()
    expect_answer_to(page, "x=30")
    # Two frames later all that has been painted has been noted.
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate("() => window.shifts") == []
