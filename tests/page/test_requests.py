"""One question at a time, the newest wins; a service that is slow or gone is said so."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Page, expect

from benchmarks.serving.running import serving
from tests.page.steps import expect_answer_to, hold, move, open_page, pixels, query

SCENES = re.compile(r"/synthesize\?.*predict=true")


def test_a_change_is_one_request(page: Page) -> None:
    open_page(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if SCENES.search(request.url) else None)
    page.locator("#x").fill("70")
    expect_answer_to(page, "x=70")
    assert len(asked) == 1


def test_a_newer_change_cancels_an_older_request(page: Page) -> None:
    open_page(page)
    picture = pixels(page)
    held = hold(page, SCENES)
    page.get_by_role("radio", name="8", exact=True).check(force=True)
    expect(page.locator("#message")).to_contain_text("Asking")
    # Until its answer is there the scene before stays, with its own answer.
    assert pixels(page) == picture
    expect(page.locator("#verdict")).to_have_text("Right: it is a 3.")
    with page.expect_event("requestfailed") as cancelled:
        page.get_by_role("radio", name="5", exact=True).check(force=True)
    assert "digit=8" in cancelled.value.url
    held[-1].continue_()
    page.unroute(SCENES)
    expect_answer_to(page, "digit=5")
    expect(page.locator("#message")).to_be_hidden()
    expect(page.locator("#verdict")).to_contain_text("it is a 5")


def test_a_slow_answer_to_a_drag_is_cancelled_as_well(page: Page) -> None:
    open_page(page)
    held = hold(page, SCENES)
    with page.expect_event("requestfailed") as cancelled:
        page.locator("#x").evaluate(
            """slider => {
                for (const value of [50, 55, 60]) {
                    slider.value = value;
                    slider.dispatchEvent(new Event("input"));
                }
            }"""
        )
    assert "x=50&" in cancelled.value.url
    held[-1].continue_()
    page.unroute(SCENES)
    expect_answer_to(page, "x=60")
    assert not any("x=55&" in route.request.url for route in held)


def test_a_drag_is_live_and_ends_with_its_last_place(page: Page) -> None:
    open_page(page)
    answered: list[str] = []
    page.on("requestfinished", lambda request: answered.append(request.url))
    move(page, *((40 + step, 60 - step) for step in range(30)))
    expect_answer_to(page, "x=69&y=31")
    assert sum(bool(SCENES.search(url)) for url in answered) >= 3


def test_the_picture_is_always_that_of_its_answer(page: Page) -> None:
    """Each painting is checked from inside: the size shown tells the scene, the true box its answer."""
    open_page(page)
    page.evaluate(
        """() => {
            window.mixed = [];
            const box = document.getElementById("true-box");
            const check = () => {
                const pen = document.getElementById("picture").getContext("2d");
                const { data } = pen.getImageData(0, 0, 100, 100);
                let left = 100;
                for (let i = 0; i < 10000; i++) if (data[4 * i] > 100) left = Math.min(left, i % 100);
                window.mixed.push(Math.abs(left - Number(box.getAttribute("x"))));
            };
            new MutationObserver(check).observe(box, { attributes: true });
        }"""
    )
    move(page, *((40 + step, 60 - step) for step in range(25)))
    expect_answer_to(page, "x=64&y=36")
    apart = page.evaluate("() => window.mixed")
    assert len(apart) >= 3
    assert max(apart) <= 2


def test_a_service_that_stops_is_said_and_asked_again(browser: Browser) -> None:
    page = browser.new_page()
    with serving() as address:
        port = int(address.rpartition(":")[2])
        page.goto(f"{address}/?{query()}")
        expect_answer_to(page, query())
        picture = pixels(page)
    page.locator("#x").fill("70")
    expect(page.get_by_role("alert")).to_contain_text("The service does not answer.")
    # What is shown is one scene with its own answer still.
    assert pixels(page) == picture
    expect(page.locator("#curl")).to_contain_text("x=40&")
    expect(page.locator("#verdict")).to_have_text("Right: it is a 3.")
    with serving(port):
        page.get_by_role("button", name="Try again").click()
        expect_answer_to(page, "x=70")
        expect(page.locator("#message")).to_be_hidden()
    page.locator("#x").fill("50")
    expect(page.get_by_role("alert")).to_contain_text("The service does not answer.")
    with serving(port):
        page.locator("#x").fill("60")
        expect_answer_to(page, "x=60")
    page.close()


def test_a_refusal_is_the_sentence_of_the_service(page: Page) -> None:
    open_page(page)
    page.route(SCENES, lambda route: route.fulfill(status=409, json={"detail": "no digits are at hand"}))
    page.locator("#x").fill("70")
    expect(page.get_by_role("alert")).to_contain_text("no digits are at hand")
    page.unroute(SCENES)
    page.route(SCENES, lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    page.locator("#x").fill("71")
    expect(page.get_by_role("alert")).to_contain_text("status 502")
